/** Real processes, killed without warning: nothing acknowledged is lost, the others go on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { connect, missing, until, Writer } from './writer.ts';

let target: TestCluster;

beforeAll(async () => {
  target = await startTestCluster();
}, 120_000);

afterAll(async () => {
  await target.stop();
}, 60_000);

const url = (node: number): string => target.cluster.url(node);

describe('kill -9', () => {
  it('of each node in turn: clients of the others go on, nothing acknowledged is lost', async () => {
    const client = await connect(url(0));
    await client.query('CREATE TABLE log (id int PRIMARY KEY, what text)');
    await client.end();
    const acknowledged: number[] = [];
    for (const victim of [0, 1, 2]) {
      const [a, b] = [0, 1, 2].filter((node) => node !== victim);
      const writers = [
        new Writer(url(a ?? 0), victim * 1_000_000),
        new Writer(url(b ?? 0), victim * 1_000_000 + 500_000),
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
      expect(
        await missing(url(victim), acknowledged),
        `after node ${victim + 1} came back`,
      ).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(300);
  }, 180_000);

  it('of all nodes at once: everything acknowledged is there after the restart', async () => {
    const writers = [0, 1, 2].map((node) => new Writer(url(node), 10_000_000 + node * 1_000_000));
    await until(() => writers.every((writer) => writer.acknowledged.length > 50));
    await Promise.all([0, 1, 2].map((node) => target.cluster.kill(node)));
    // The writers try to reconnect until the nodes are back.
    const stopping = Promise.all(writers.map((writer) => writer.stop().catch(() => {})));
    await Promise.all([0, 1, 2].map((node) => target.cluster.startNode(node)));
    await stopping;
    const acknowledged = writers.flatMap((writer) => writer.acknowledged);
    for (const node of [0, 1, 2]) expect(await missing(url(node), acknowledged)).toEqual([]);
  }, 120_000);

  it('of a client in the middle of a transaction leaves no lock behind', async () => {
    const [first, second] = [await connect(url(0)), await connect(url(1))];
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
