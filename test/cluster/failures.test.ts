/** Real processes, killed without warning: nothing acknowledged is lost, the others go on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';

let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster();
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

async function connect(node: number): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: target.cluster.url(node) });
  // A killed server breaks the connection; the query that runs reports it.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Inserts rising numbers through the given node until told to stop; remembers what was acknowledged. */
class Writer {
  readonly acknowledged: number[] = [];
  readonly attempted: number[] = [];
  /** Longest time between two acknowledged writes. */
  longestGapMs = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(node: number, from: number) {
    this.#done = this.#run(node, from);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(node: number, from: number): Promise<void> {
    let client = await connect(node);
    let lastMs = performance.now();
    for (let i = from; !this.#stopped; i++) {
      this.attempted.push(i);
      try {
        await client.query('INSERT INTO log VALUES ($1, $2)', [i, `row ${i}`]);
        this.acknowledged.push(i);
        const nowMs = performance.now();
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - lastMs);
        lastMs = nowMs;
      } catch {
        await client.end().catch(() => {});
        client = await this.#reconnect(node);
      }
    }
    await client.end().catch(() => {});
  }

  /** As an application does: tries until the node is back. */
  async #reconnect(node: number): Promise<pg.Client> {
    for (;;) {
      try {
        return await connect(node);
      } catch (error) {
        if (this.#stopped) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

async function missing(node: number, wanted: readonly number[]): Promise<number[]> {
  const client = await connect(node);
  const { rows } = await client.query<{ id: number }>('SELECT id FROM log ORDER BY id');
  await client.end();
  const there = new Set(rows.map((row) => row.id));
  return wanted.filter((id) => !there.has(id));
}

describe('kill -9', () => {
  it('of each node in turn: clients of the others go on, nothing acknowledged is lost', async () => {
    const client = await connect(0);
    await client.query('CREATE TABLE log (id int PRIMARY KEY, what text)');
    await client.end();
    const acknowledged: number[] = [];
    for (const victim of [0, 1, 2]) {
      const [a, b] = [0, 1, 2].filter((node) => node !== victim);
      const writers = [
        new Writer(a ?? 0, victim * 1_000_000),
        new Writer(b ?? 0, victim * 1_000_000 + 500_000),
      ];
      await until(() => writers.every((writer) => writer.acknowledged.length > 20));
      const before = writers.map((writer) => writer.acknowledged.length);
      await target.cluster.kill(victim);
      await until(() =>
        writers.every((writer, i) => writer.acknowledged.length > (before[i] ?? 0) + 50),
      );
      for (const writer of writers) {
        await writer.stop();
        acknowledged.push(...writer.acknowledged);
      }
      await target.cluster.startNode(victim);
      expect(await missing(victim, acknowledged), `after node ${victim + 1} came back`).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(300);
  }, 180_000);

  it('of all nodes at once: everything acknowledged is there after the restart', async () => {
    const writers = [0, 1, 2].map((node) => new Writer(node, 10_000_000 + node * 1_000_000));
    await until(() => writers.every((writer) => writer.acknowledged.length > 50));
    await Promise.all([0, 1, 2].map((node) => target.cluster.kill(node)));
    // The writers try to reconnect until the nodes are back.
    const stopping = Promise.all(writers.map((writer) => writer.stop().catch(() => {})));
    await Promise.all([0, 1, 2].map((node) => target.cluster.startNode(node)));
    await stopping;
    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    for (const node of [0, 1, 2]) expect(await missing(node, acknowledged)).toEqual([]);
  }, 120_000);

  it('of a client in the middle of a transaction leaves no lock behind', async () => {
    const [first, second] = [await connect(0), await connect(1)];
    await first.query('CREATE TABLE held (id int PRIMARY KEY, v int)');
    await first.query('INSERT INTO held VALUES (1, 0)');
    await first.query('BEGIN');
    await first.query('UPDATE held SET v = 1 WHERE id = 1');
    // The socket goes away without a Terminate message.
    (
      first as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    await second.query('UPDATE held SET v = 2 WHERE id = 1');
    expect((await second.query('SELECT v FROM held')).rows).toEqual([{ v: 2 }]);
    await second.end();
  }, 60_000);
});

/** Polls a condition that the cluster has to reach; the test's own time limit bounds it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
