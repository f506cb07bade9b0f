/** Rows that want the same value of a unique column, by INSERT, ON CONFLICT and UPDATE. */
import { checkUnique, uniqueCodec, type UniqueOperation } from '../../checkers/unique.ts';
import { KeySlots } from '../key-slots.ts';
import { AttemptFailure, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const activeValues = 3;
const operationsPerValue = 12;

export function unique(): CheckedWorkload<UniqueOperation> {
  let rows = 0;
  /** The latest row that was to give up its own value, under which nobody may find it any more. */
  let renamed = 0;
  const slots = new KeySlots(activeValues, operationsPerValue);
  return {
    tables: ['unique_rows'],
    setup: [
      'CREATE TABLE unique_rows (id int PRIMARY KEY, value int NOT NULL, source int DEFAULT 1)',
      'CREATE UNIQUE INDEX unique_value ON unique_rows (value)',
    ],
    codec: uniqueCodec,
    next(random) {
      const value = slots.draw(random);
      const kind = random.pick(['insert', 'claim', 'rename', 'read']);
      if (kind === 'read') return read(random.chance(0.7) ? value : -renamed);
      const row = ++rows;
      if (kind === 'rename') renamed = row;
      return ask(kind, [value, row]);
    },
    finalReads: () => slots.keys.map(read),
    permitted: [],
    check: checkUnique,
  };
}

type Kind = Exclude<UniqueOperation['kind'], 'read'>;

const statements: Record<Kind, string> = {
  insert: 'INSERT INTO unique_rows VALUES ($2, $1)',
  claim: 'INSERT INTO unique_rows VALUES ($2, $1) ON CONFLICT (value) DO NOTHING',
  rename: 'UPDATE unique_rows SET value = $1 WHERE id = $2',
};

/** `rename`: a row that has a value of its own gets another one; both in one transaction. */
function ask(kind: string, [value, row]: readonly [number, number]): Step<UniqueOperation> {
  const how: Kind = kind === 'insert' || kind === 'claim' ? kind : 'rename';
  return {
    what: { kind: how, value: [value, row, null] },
    async run(sql) {
      try {
        return await transact(sql, async (txn) => {
          if (how === 'rename') await txn.query('INSERT INTO unique_rows VALUES ($1, -$1)', [row]);
          const { rowCount } = await txn.query(statements[how], [value, row]);
          return { kind: how, value: [value, row, rowCount === 1] };
        });
      } catch (error) {
        // Another one has it: that is an answer.
        if (!(error instanceof AttemptFailure) || error.code !== '23505') throw error;
        return { kind: how, value: [value, row, false] };
      }
    },
  };
}

function read(value: number): Step<UniqueOperation> {
  // The index has no column `source`: it does not serve the first one.
  const byKey = `SELECT id, source FROM unique_rows WHERE value + 0 = ${value}`;
  const byIndex = `SELECT id, 2 AS source FROM unique_rows WHERE value = ${value}`;
  return {
    what: { kind: 'read', value: [value, [], []] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const { rows } = await txn.query<{ id: number; source: number }>(
          `${byKey} UNION ALL ${byIndex} ORDER BY id`,
        );
        const from = (source: number): number[] =>
          rows.filter((row) => row.source === source).map(({ id }) => id);
        return { kind: 'read', value: [value, from(1), from(2)] };
      }),
  };
}
