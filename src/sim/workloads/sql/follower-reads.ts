/** Reads AS OF SYSTEM TIME at any replica, while what they read goes on changing: the past must not. */
import {
  checkPastReads,
  pastReadsCodec,
  type PastReadsOperation,
} from '../../checkers/past-reads.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const counters = 6;
/** Times that are read again. */
const timesKept = 10;

export function followerReads(): CheckedWorkload<PastReadsOperation> {
  const times: string[] = [];
  const timeOf = (random: SqlRandom): string | undefined =>
    times.length === 0 ? undefined : random.pick(times.slice(-timesKept));
  return {
    tables: ['past'],
    setup: [
      'CREATE TABLE past (id int PRIMARY KEY, value int NOT NULL)',
      `INSERT INTO past SELECT id, 0 FROM generate_series(0, ${counters - 1}) id`,
    ],
    codec: pastReadsCodec,
    next(random) {
      if (random.chance(0.5)) return add(random.between(0, counters - 1));
      const time = random.chance(0.1) ? undefined : timeOf(random);
      return time === undefined ? askTime((now) => times.push(now)) : readAt(time);
    },
    finalReads: () => times.slice(-timesKept).map(readAt),
    permitted: [],
    check: checkPastReads,
  };
}

function add(counter: number): Step<PastReadsOperation> {
  const what = { kind: 'add', value: counter } as const;
  return {
    what,
    async run(sql) {
      await transact(sql, (txn) =>
        txn.query('UPDATE past SET value = value + 1 WHERE id = $1', [counter]),
      );
      return what;
    },
  };
}

function askTime(onTime: (now: string) => void): Step<PastReadsOperation> {
  // A little ago, so that the first reads still have to wait for what is under way; later ones find it closed.
  const select = `SELECT (extract(epoch from clock_timestamp() - interval '0.5s') * 1000000)::int8 AS now`;
  return {
    what: { kind: 'now', value: '' },
    async run(sql) {
      const { rows } = await execute<{ now: string }>(sql, select);
      const now = rows[0]?.now ?? '0';
      onTime(now);
      return { kind: 'now', value: now };
    },
  };
}

function readAt(time: string): Step<PastReadsOperation> {
  return {
    what: { kind: 'read', value: [time, []] },
    async run(sql) {
      const { rows } = await execute<{ id: number; value: number }>(
        sql,
        `SELECT id, value FROM past AS OF SYSTEM TIME '${time}000'`,
      );
      return {
        kind: 'read',
        value: [time, rows.map(({ id, value }) => [id, value] as const)],
      };
    },
  };
}
