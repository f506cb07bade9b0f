/** Clients that vanish in the middle of something: nothing of theirs stays locked, and nothing half done. */
import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import pg from 'pg';
import { Cluster } from '../../src/index.ts';
import { must } from '../../src/util/index.ts';
import { encodeLine } from '../pgwire/wire-client.ts';
import { until } from './replicated.ts';

let cluster: Cluster;
let look: pg.Client;

beforeAll(async () => {
  cluster = await Cluster.start({ nodes: 3 });
  look = new pg.Client({ connectionString: cluster.url(0) });
  await look.connect();
  await look.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
  await look.query("INSERT INTO t SELECT i, 'old' FROM generate_series(1, 100) i");
  await look.query('ALTER TABLE t SPLIT AT VALUES (50)');
}, 60_000);

afterAll(async () => {
  await look.end();
  await cluster.stop();
}, 60_000);

const noKey = (): never => {
  throw new Error('nothing is cancelled here');
};

/** Speaks these lines as one piece each, the next one when the answer to the last has these bytes in it; then it is gone. */
async function vanishAfter(
  node: number,
  steps: readonly (readonly [string, string])[],
): Promise<void> {
  const { hostname, port } = new URL(cluster.url(node));
  const socket: Socket = createConnection(Number(port), hostname);
  let heard = '';
  let wake = (): void => {};
  socket.on('data', (bytes) => {
    heard += bytes.toString('latin1');
    wake();
  });
  for (const [line, answer] of [
    ['Startup user=root database=defaultdb', 'Z\0\0\0\x05I'] as const,
    ...steps,
  ]) {
    heard = '';
    socket.write(Buffer.concat(line.split('\n').map((each) => encodeLine(each, noKey))));
    while (!heard.includes(answer)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  socket.destroy();
}

/** Locks and intents of anybody on the table, rows that are not as they were. */
async function left(): Promise<{ locks: number; intents: number; changed: number }> {
  const { rows } = await look.query<{ locks: number; intents: number; changed: number }>(`
    SELECT (SELECT count(*)::int FROM skein_internal.cluster_locks WHERE table_name = 't') AS locks,
           (SELECT sum((span_stats->>'intent_count')::int)::int FROM [SHOW RANGES FROM TABLE t WITH DETAILS]) AS intents,
           (SELECT count(*)::int FROM t WHERE v <> 'old') AS changed`);
  return must(rows[0]);
}

const inTransaction = 'Z\0\0\0\x05T';

it.each([
  [
    'in a transaction',
    [["Query begin; update t set v = 'new'; select * from t for update", inTransaction]],
  ],
  [
    'with intents on the ranges',
    [
      [
        "Query begin; insert into t select i, repeat('x', 1000) from generate_series(1000, 5000) i",
        inTransaction,
      ],
    ],
  ],
  [
    'behind a savepoint, failed',
    [["Query begin; update t set v = 'new'; savepoint s; select 1 / 0", 'Z\0\0\0\x05E']],
  ],
  [
    'with a portal half read',
    [
      ['Query begin; select * from t where id < 60 for update', inTransaction],
      ['Parse | select * from t\nBind \nExecute  7\nFlush', 's\0\0\0\x04'],
    ],
  ],
  [
    'in the middle of COPY',
    [
      ['Query copy t from stdin', 'G\0'],
      ['CopyData 500\\tnew\\n\nCopyData 501\\tnew\\n', ''],
    ],
  ],
  [
    'in the middle of COPY, in a block',
    [
      ["Query begin; update t set v = 'new' where id = 70", inTransaction],
      ['Query copy t from stdin', 'G\0'],
      ['CopyData 500\\tnew\\n', ''],
    ],
  ],
  [
    'while it waits for a lock',
    [
      ["Query begin; update t set v = 'new' where id = 1", inTransaction],
      ["Query update t set v = 'new' where id = 99", ''],
    ],
  ],
] satisfies [string, [string, string][]][])(
  'a client that vanishes %s leaves nothing',
  async (_when, steps) => {
    const holder = new pg.Client({ connectionString: cluster.url(1) });
    await holder.connect();
    await holder.query('begin; select * from t where id = 99 for key share');
    const blocks = steps.some(([line]) => line.includes('id = 99'));
    if (!blocks) await holder.query('rollback');
    await vanishAfter(2, steps);
    await holder.query('rollback');
    await holder.end();
    await until(async () => {
      const { locks, intents } = await left();
      return locks === 0 && intents === 0;
    });
    expect(await left()).toEqual({ locks: 0, intents: 0, changed: 0 });
  },
  60_000,
);

it('a client that vanishes after it has sent COMMIT has committed all or nothing', async () => {
  for (let i = 0; i < 10; i++) {
    const text = `round ${i}`;
    const changes = `update t set v = '${text}' where id in (1, 2, 98, 99)`;
    await vanishAfter(i % 3, [
      [`Query begin; ${changes}`, inTransaction],
      ['Query commit', ''],
    ]);
    await until(async () => {
      const { locks, intents } = await left();
      return locks === 0 && intents === 0;
    });
    const { rows } = await look.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM t WHERE v = '${text}'`,
    );
    expect([0, 4]).toContain(rows[0]?.n);
  }
}, 60_000);
