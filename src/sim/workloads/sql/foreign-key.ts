/** Children are inserted while their parents are removed. */
import {
  checkForeignKeys,
  foreignKeyCodec,
  type ForeignKeyOperation,
} from '../../checkers/foreign-key.ts';
import { AttemptFailure, execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

/** Parents that operations choose from: the latest. */
const window = 4;

export function foreignKey(): CheckedWorkload<ForeignKeyOperation> {
  let parents = 0;
  let children = 0;
  return {
    tables: ['parents', 'children'],
    setup: [
      'CREATE TABLE parents (id int PRIMARY KEY)',
      'CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents (id))',
      'CREATE INDEX ON children (parent)',
    ],
    codec: foreignKeyCodec,
    next(random) {
      const kind = random.pick(['parent', 'child', 'child', 'remove', 'read']);
      if (kind === 'parent' || parents === 0) return parent(parents++);
      if (kind === 'read') return read;
      const chosen = random.between(Math.max(0, parents - window), parents - 1);
      return kind === 'child' ? child(children++, chosen) : remove(chosen);
    },
    finalReads: () => [read],
    permitted: [],
    check: checkForeignKeys,
  };
}

function parent(id: number): Step<ForeignKeyOperation> {
  const what = { kind: 'parent', value: id } as const;
  return {
    what,
    async run(sql) {
      await execute(sql, 'INSERT INTO parents VALUES ($1)', [id]);
      return what;
    },
  };
}

/** Without its parent it is refused (23503): then it has failed. */
function child(id: number, parentId: number): Step<ForeignKeyOperation> {
  const what = { kind: 'child', value: [id, parentId] } as const;
  return {
    what,
    async run(sql) {
      await transact(sql, (txn) =>
        txn.query('INSERT INTO children VALUES ($1, $2)', [id, parentId]),
      );
      return what;
    },
  };
}

function remove(id: number): Step<ForeignKeyOperation> {
  const gone = (done: boolean): ForeignKeyOperation => ({ kind: 'remove', value: [id, done] });
  return {
    what: { kind: 'remove', value: [id, null] },
    async run(sql) {
      try {
        const { rowCount } = await transact(sql, (txn) =>
          txn.query('DELETE FROM parents WHERE id = $1', [id]),
        );
        return gone(rowCount === 1);
      } catch (error) {
        // It has children: that is an answer.
        if (!(error instanceof AttemptFailure) || error.code !== '23503') throw error;
        return gone(false);
      }
    },
  };
}

/** In one statement, which sees one state at any level. */
const read: Step<ForeignKeyOperation> = {
  what: { kind: 'read', value: [[], []] },
  async run(sql) {
    const { rows } = await execute<{ child: number | null; parent: number }>(
      sql,
      'SELECT id AS child, parent FROM children UNION ALL SELECT NULL, id FROM parents',
    );
    const parents = rows.filter(({ child: id }) => id === null).map((row) => row.parent);
    const children = rows.flatMap((row) =>
      row.child === null ? [] : [[row.child, row.parent] as const],
    );
    return { kind: 'read', value: [children, parents] };
  },
};
