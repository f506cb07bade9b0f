/** The comments workload (CockroachDB's Jepsen suite): blind inserts into several tables, and reads of all of them. */
import { checkComments, commentsCodec, type CommentsOperation } from '../../checkers/comments.ts';
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { execute } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const tables = Array.from({ length: 5 }, (_, i) => `comments_${i}`);

export function comments(isolation: IsolationLevel): CheckedWorkload<CommentsOperation> {
  let ids = 0;
  return {
    tables,
    setup: tables.map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY)`),
    codec: commentsCodec,
    next: (random) => (random.chance(0.6) ? write(ids++) : read()),
    finalReads: () => [read()],
    // Only transactions that share a key agree with real time by themselves.
    permitted: isolation === 'strict' ? [] : ['causal-reverse'],
    check: checkComments,
  };
}

function write(id: number): Step<CommentsOperation> {
  const what = { kind: 'write', value: id } as const;
  return {
    what,
    async run(sql) {
      await execute(sql, `INSERT INTO ${tables[id % tables.length]} VALUES ($1)`, [id]);
      return what;
    },
  };
}

function read(): Step<CommentsOperation> {
  const union = tables.map((table) => `SELECT id FROM ${table}`).join(' UNION ALL ');
  return {
    what: { kind: 'read', value: null },
    async run(sql) {
      const { rows } = await execute<{ id: number }>(sql, union);
      return { kind: 'read', value: rows.map(({ id }) => id) };
    },
  };
}
