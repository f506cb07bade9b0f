/** Real processes whose disks fail: the node ends with a sentence and a code, the others go on, nothing acknowledged is lost. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../drivers/cluster.ts';
import { connect, missing, until, Writer } from './writer.ts';

// prlimit belongs to Linux. What it provokes (EFBIG) ends a write half-way, as a full disk does.
describe.runIf(process.platform === 'linux')('a write that fails', () => {
  let target: TestCluster;

  beforeAll(async () => {
    target = await startTestCluster();
  }, 120_000);

  afterAll(async () => {
    await target.stop();
  }, 60_000);

  it('ends the node with its own code; the cluster goes on, and a restart has everything', async () => {
    const url = (node: number): string => target.cluster.url(node);
    const client = await connect(url(0));
    await client.query('CREATE TABLE log (id int PRIMARY KEY, what text)');
    await client.end();
    const writers = [new Writer(url(0), 0), new Writer(url(1), 1_000_000)];
    const acknowledged = (): number[] => writers.map((writer) => writer.acknowledged.length);
    await until(() => acknowledged().every((count) => count > 50));
    const pid = String(target.cluster.pid(2));
    execFileSync('prlimit', ['--pid', pid, '--fsize=30000:unlimited']);
    await until(() => target.said.some((line) => line.startsWith('node 3 ended')));
    expect(target.said.at(-1)).toMatch(
      /^node 3 ended \(status 7\); it is not started again: the store in .*node3 cannot go on: .*EFBIG.*; this node ends, the others go on\.$/,
    );
    const before = acknowledged();
    await until(() => acknowledged().every((count, i) => count > (before[i] ?? 0) + 50));
    await target.cluster.startNode(2);
    for (const writer of writers) await writer.stop();
    const wanted = writers.flatMap((writer) => writer.acknowledged);
    expect(await missing(url(2), wanted)).toEqual([]);
  }, 120_000);
});
