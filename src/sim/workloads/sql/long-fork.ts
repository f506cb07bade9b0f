/** The long-fork workload (Jepsen): the keys of a group, in several tables, are each written once and read together. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { checkLongFork, longForkCodec, type LongForkOperation } from '../../checkers/long-fork.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = ['fork_0', 'fork_1', 'fork_2'] as const;
const activeGroups = 4;
/** Reads and writes of a group before it is replaced. */
const operationsPerGroup = 20;

interface Group {
  group: number;
  operations: number;
  unwritten: number[];
}

export function longFork(isolation: IsolationLevel): CheckedWorkload<LongForkOperation> {
  let groups = 0;
  const fresh = (): Group => ({ group: groups++, operations: 0, unwritten: [...tables.keys()] });
  const active = Array.from({ length: activeGroups }, fresh);
  return {
    tables,
    setup: tables.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY)`),
    codec: longForkCodec,
    next(random) {
      const slot = random.pick(active);
      if (slot.operations++ >= operationsPerGroup) Object.assign(slot, fresh());
      const key = random.chance(0.3) ? slot.unwritten.pop() : undefined;
      return key === undefined
        ? read(slot.group, isolation, random.chance(0.5))
        : write(slot.group, key);
    },
    finalReads: () => active.map(({ group }) => read(group, isolation, false)),
    permitted: [],
    check: checkLongFork,
  };
}

function write(group: number, key: number): Step<LongForkOperation> {
  const what = { kind: 'write', value: [group, key] } as const;
  return {
    what,
    async run(sql) {
      await execute(sql, `INSERT INTO ${tables[key]} VALUES ($1)`, [group]);
      return what;
    },
  };
}

function read(
  group: number,
  isolation: IsolationLevel,
  inStatements: boolean,
): Step<LongForkOperation> {
  const parts = tables.map(
    (table, key) => `SELECT ${key} AS key FROM ${table} WHERE id = ${group}`,
  );
  // In READ COMMITTED each statement sees a state of its own.
  const isOne = isolation === 'read committed' || !inStatements;
  const statements = isOne ? [parts.join(' UNION ALL ')] : parts;
  return {
    what: { kind: 'read', value: [group, null] },
    run: (sql) =>
      transact(sql, async (txn) => {
        const keys: number[] = [];
        for (const statement of statements) {
          const { rows } = await txn.query<{ key: number }>(statement);
          keys.push(...rows.map(({ key }) => key));
        }
        return { kind: 'read', value: [group, keys] };
      }),
  };
}
