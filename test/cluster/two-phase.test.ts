/** Real processes: prepared transactions and advisory locks outlive the nodes that they came through, and those that lead their ranges. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { connect } from './writer.ts';

let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster();
  await use(0, async (client) => {
    await client.query('CREATE TABLE acc (id int PRIMARY KEY, v int)');
    await client.query('INSERT INTO acc SELECT i, 0 FROM generate_series(1, 20) i');
    await client.query('ALTER TABLE acc SPLIT AT VALUES (10)');
  });
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

async function use<T>(node: number, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(target.cluster.url(node));
  try {
    return await body(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Tries until the cluster has found itself again and the answer is as wanted; the test's own time limit bounds it. */
async function eventually<T>(
  node: number,
  body: (client: pg.Client) => Promise<T>,
  isWanted = (_answer: T): boolean => true,
): Promise<T> {
  for (;;) {
    try {
      const answer = await use(node, body);
      if (isWanted(answer)) return answer;
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

function prepare(node: number, gid: string, ids: readonly number[], v: number): Promise<void> {
  return use(node, async (client) => {
    await client.query('BEGIN');
    await client.query('UPDATE acc SET v = $1 WHERE id = ANY($2)', [v, ids]);
    await client.query(`PREPARE TRANSACTION '${gid}'`);
  });
}

async function values(node: number, ids: readonly number[]): Promise<number[]> {
  const { rows } = await use(node, (client) =>
    client.query<{ v: number }>('SELECT v FROM acc WHERE id = ANY($1) ORDER BY id', [ids]),
  );
  return rows.map(({ v }) => v);
}

async function names(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ gid: string }>(
    'SELECT gid FROM pg_prepared_xacts ORDER BY gid',
  );
  return rows.map(({ gid }) => gid);
}

describe('a prepared transaction', () => {
  it('outlives its gateway, is never abandoned, and is ended by any node', async () => {
    await prepare(0, 'gone', [1, 11], 1);
    await prepare(0, 'undone', [2, 12], 1);
    await target.cluster.kill(0);
    expect(await eventually(1, names)).toEqual(['gone', 'undone']);
    // Longer than anybody waits for a transaction that shows no sign of life.
    await eventually(
      1,
      (client) =>
        client.query<{ old: boolean }>(
          "SELECT bool_and(clock_timestamp() - prepared > '8 s') AS old FROM pg_prepared_xacts",
        ),
      ({ rows }) => rows[0]?.old === true,
    );
    const locking = (id: number) => (client: pg.Client) =>
      codeOf(client.query('SELECT * FROM acc WHERE id = $1 FOR UPDATE NOWAIT', [id]));
    for (const id of [1, 11, 2, 12]) expect(await use(2, locking(id))).toBe('55P03');
    const blocked = use(1, (client) => client.query('SELECT v FROM acc WHERE id = 11'));
    await use(2, (client) => client.query("COMMIT PREPARED 'gone'"));
    expect((await blocked).rows).toEqual([{ v: 1 }]);
    await use(1, (client) => client.query("ROLLBACK PREPARED 'undone'"));
    expect(await values(1, [1, 2, 11, 12])).toEqual([1, 0, 1, 0]);
    expect(await use(2, names)).toEqual([]);
    await target.cluster.startNode(0);
  }, 120_000);

  it('is ended once, whoever tries', async () => {
    for (let round = 0; round < 10; round++) {
      const gid = `round ${round}`;
      await prepare(round % 3, gid, [3, 13], round + 1);
      const commit = (client: pg.Client) => codeOf(client.query(`COMMIT PREPARED '${gid}'`));
      const undo = (client: pg.Client) => codeOf(client.query(`ROLLBACK PREPARED '${gid}'`));
      const before = round;
      const [a, b, c] = await Promise.all([use(0, commit), use(1, undo), use(2, commit)]);
      expect([a, b, c].filter((code) => code === 'ok')).toHaveLength(1);
      expect([a, b, c].filter((code) => code === '42704')).toHaveLength(2);
      const now = await values(1, [3, 13]);
      if (b !== 'ok') expect(now).toEqual([before + 1, before + 1]);
      else {
        expect(now[0]).toBe(now[1]);
        expect(now[0]).not.toBe(before + 1);
        await use(0, (client) =>
          client.query('UPDATE acc SET v = $1 WHERE id IN (3, 13)', [before + 1]),
        );
      }
    }
  }, 60_000);

  it('outlives a restart of the whole cluster', async () => {
    await prepare(1, 'kept', [4, 14], 7);
    await Promise.all([0, 1, 2].map((node) => target.cluster.kill(node)));
    await Promise.all([0, 1, 2].map((node) => target.cluster.startNode(node)));
    expect(await eventually(2, names)).toEqual(['kept']);
    expect(
      await use(0, (client) =>
        codeOf(client.query('SELECT * FROM acc WHERE id = 14 FOR UPDATE NOWAIT')),
      ),
    ).toBe('55P03');
    await use(2, (client) => client.query("COMMIT PREPARED 'kept'"));
    expect(await values(0, [4, 14])).toEqual([7, 7]);
  }, 120_000);
});

describe('an advisory lock', () => {
  /** The node that leads the range of the locks. */
  const leader = (node: number): Promise<number> =>
    eventually(node, async (client) => {
      const { rows } = await client.query<{ lease_holder: number }>(
        `SELECT lease_holder::int FROM skein_internal.ranges
         WHERE start_key <= '\\x0461' AND end_key > '\\x0461'`,
      );
      const id = rows[0]?.lease_holder;
      if (id === undefined) throw new Error('nobody leads it');
      return id - 1;
    });

  it('outlives the leaseholder, and goes with the node of its session', async () => {
    const led = await leader(0);
    const [holder = 0, other = 0] = [0, 1, 2].filter((node) => node !== led);
    const client = await connect(target.cluster.url(holder));
    await client.query('SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)');
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock(3)');
    await target.cluster.kill(led);
    type Answers = Readonly<Record<string, boolean>>;
    const tries = (at: number, isWanted?: (answers: Answers) => boolean): Promise<Answers> =>
      eventually<Answers>(
        at,
        async (asking) => {
          const { rows } = await asking.query<Record<string, boolean>>(
            `SELECT pg_try_advisory_lock(1) AS taken, pg_try_advisory_lock_shared(1) AS shared,
             pg_try_advisory_lock(2) AS taken2, pg_try_advisory_lock_shared(2) AS shared2,
             pg_try_advisory_lock(3) AS taken3`,
          );
          return rows[0] ?? {};
        },
        isWanted,
      );
    const none = { taken: false, shared: false, taken2: false, shared2: true, taken3: false };
    expect(await tries(other)).toEqual(none);
    await target.cluster.startNode(led);
    expect(await tries(other)).toEqual(none);
    await client.query('COMMIT');
    expect((await tries(led)).taken3).toBe(true);
    await target.cluster.kill(holder);
    await tries(other, ({ taken, taken2 }) => taken === true && taken2 === true);
    await target.cluster.startNode(holder);
  }, 120_000);

  it('of a session is part of deadlocks with the rows that the session has locked', async () => {
    const [a, b] = [await connect(target.cluster.url(0)), await connect(target.cluster.url(1))];
    await a.query('SELECT pg_advisory_lock(9)');
    await a.query('BEGIN');
    await b.query('BEGIN');
    await b.query('UPDATE acc SET v = 0 WHERE id = 5');
    /** Whoever fails gives way. */
    const ask = async (client: pg.Client, text: string): Promise<string> => {
      const code = await codeOf(client.query(text));
      if (code !== 'ok') {
        await client.query('ROLLBACK');
        await client.query('SELECT pg_advisory_unlock_all()');
      }
      return code;
    };
    const codes = await Promise.all([
      ask(a, 'UPDATE acc SET v = 0 WHERE id = 5'),
      ask(b, 'SELECT pg_advisory_lock(9)'),
    ]);
    expect(codes.toSorted()).toEqual(['40P01', 'ok']);
    await Promise.all([a.end(), b.end()]);
  }, 60_000);
});
