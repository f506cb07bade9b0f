/** Jobs that are taken with SKIP LOCKED. */
import { checkQueue, queueCodec, type QueueOperation } from '../../checkers/queue.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

interface Row {
  readonly id: number;
}

export function queue(): CheckedWorkload<QueueOperation> {
  let jobs = 0;
  return {
    tables: ['jobs'],
    setup: ['CREATE TABLE jobs (id int PRIMARY KEY)'],
    codec: queueCodec,
    next(random) {
      if (random.chance(0.5)) return produce(jobs++);
      return consume(random.chance(0.3));
    },
    finalReads: () => [rest],
    permitted: [],
    check: checkQueue,
  };
}

function produce(job: number): Step<QueueOperation> {
  const what = { kind: 'produce', value: job } as const;
  return {
    what,
    async run(sql) {
      await execute(sql, 'INSERT INTO jobs VALUES ($1)', [job]);
      return what;
    },
  };
}

/** Perhaps it is worked on for a while. */
function consume(pause: boolean): Step<QueueOperation> {
  const take = 'SELECT id FROM jobs ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED';
  return {
    what: { kind: 'consume', value: null },
    run: (sql) =>
      transact(sql, async (txn) => {
        const job = (await txn.query<Row>(take)).rows[0]?.id;
        if (job === undefined) return { kind: 'consume', value: null };
        if (pause) await txn.query('SELECT pg_sleep(0.1)');
        await txn.query('DELETE FROM jobs WHERE id = $1', [job]);
        return { kind: 'consume', value: job };
      }),
  };
}

const rest: Step<QueueOperation> = {
  what: { kind: 'rest', value: null },
  async run(sql) {
    const { rows } = await execute<Row>(sql, 'SELECT id FROM jobs');
    return { kind: 'rest', value: rows.map(({ id }) => id) };
  },
};
