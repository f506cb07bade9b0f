/** Changefeeds over real processes: ranges are split under them, nodes are killed, the feed's own node too; nothing is lost. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { connect, until, Writer } from './writer.ts';

let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster();
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

const url = (node: number): string => target.cluster.url(node);

/** One client of `log`, from a cursor on; it holds what it hears to the promises of a feed. */
class Listener {
  readonly ids = new Set<number>();
  readonly problems: string[] = [];
  resolved: string;
  failure: string | undefined;
  readonly #client: pg.Client;

  private constructor(client: pg.Client, cursor: string) {
    this.#client = client;
    this.resolved = cursor;
    const query = new pg.Query(
      `EXPERIMENTAL CHANGEFEED FOR log WITH updated, resolved, cursor = '${cursor}'`,
    );
    query.on('row', (row: { key: Buffer | null; value: Buffer }) => this.#hear(row));
    query.on('error', (error: Error) => (this.failure = error.message));
    client.query(query);
  }

  static async start(node: number, cursor: string): Promise<Listener> {
    return new Listener(await connect(url(node)), cursor);
  }

  #hear({ value }: { readonly value: Buffer }): void {
    const message = JSON.parse(value.toString()) as {
      readonly resolved?: string;
      readonly updated?: string;
      readonly after?: { readonly id: number };
    };
    if (message.resolved !== undefined) {
      if (message.resolved <= this.resolved) this.problems.push(`resolved ${message.resolved}`);
      this.resolved = message.resolved;
      return;
    }
    const { after, updated = '' } = message;
    if (after === undefined || this.ids.has(after.id)) return;
    if (updated <= this.resolved) {
      this.problems.push(`${after.id} of ${updated} came behind resolved ${this.resolved}`);
    }
    this.ids.add(after.id);
  }

  async stop(): Promise<void> {
    await this.#client.end();
  }
}

async function now(node: number): Promise<string> {
  const client = await connect(url(node));
  const { rows } = await client.query('SELECT (extract(epoch from now()) * 1e9)::int8 AS t');
  await client.end();
  return `${(rows[0] as { t: string }).t}.0000000000`;
}

describe('a changefeed', () => {
  it('misses nothing while nodes are killed and ranges are split, and goes on from its cursor', async () => {
    const admin = await connect(url(2));
    await admin.query('CREATE TABLE log (id int PRIMARY KEY, what text)');
    const cursor = await now(2);
    const first = await Listener.start(2, cursor);
    const writers = [0, 1, 2].map((node) => new Writer(url(node), node * 1_000_000));
    const goOn = async (some: readonly Writer[]): Promise<void> => {
      const before = some.map(({ acknowledged }) => acknowledged.length);
      await until(() =>
        some.every(({ acknowledged }, i) => acknowledged.length > (before[i] ?? 0) + 30),
      );
    };
    await goOn(writers);
    await admin.query('ALTER TABLE log SPLIT AT VALUES (1000000), (2000000)');
    await goOn(writers);
    await target.cluster.kill(0);
    await goOn(writers.slice(1));
    await target.cluster.startNode(0);
    await goOn(writers);
    const heard = first.ids.size;
    await until(() => first.ids.size > heard);
    // Its own node: another one goes on where it has got to.
    await target.cluster.kill(2);
    const second = await Listener.start(0, first.resolved);
    await goOn(writers.slice(0, 2));
    await target.cluster.startNode(2);
    await Promise.all(writers.map((writer) => writer.stop()));
    const end = await now(0);
    await until(() => second.resolved > end);
    expect([...first.problems, ...second.problems]).toEqual([]);
    expect(second.failure).toBe(undefined);
    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    expect(acknowledged.filter((id) => !first.ids.has(id) && !second.ids.has(id))).toEqual([]);
    const attempted = new Set(writers.flatMap((writer) => writer.attempted));
    expect([...first.ids, ...second.ids].filter((id) => !attempted.has(id))).toEqual([]);
    await second.stop();
    await admin.end().catch(() => {});
  }, 180_000);

  it('is over when its client is gone', async () => {
    const feed = await connect(url(0));
    const admin = await connect(url(0));
    const untilRunning = async (count: number): Promise<void> => {
      for (let found = -1; found !== count;) {
        const { rows } = await admin.query(
          `SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'EXPERIMENTAL%'`,
        );
        found = (rows[0] as { n: number }).n;
      }
    };
    feed.query('EXPERIMENTAL CHANGEFEED FOR log WITH no_initial_scan').catch(() => {});
    await untilRunning(1);
    (
      feed as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
    await untilRunning(0);
    await admin.end();
  }, 60_000);
});
