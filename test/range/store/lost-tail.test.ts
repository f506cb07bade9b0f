/** The end of a raft log that is cut off after a crash looks like a torn write: the leader knows better. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asStoreId, type KvRequest } from '../../../src/kv/index.ts';
import { CorruptionError } from '../../../src/storage/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster } from './cluster.ts';

const logPath = '/log/0000000001.log';

it('a follower that lost entries which it acknowledged ends itself when the leader names them', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  const ask = (request: KvRequest) => cluster.time.settleOf(cluster.client(1).request(request));
  const key = systemKey('user-a');
  await cluster.time.run(1000);
  const place = (id: number) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) });
  const add = [place(2), place(3)];
  await ask({ kind: 'admin-change-replicas', key, add, remove: [] });
  const { disk } = cluster.machine(3);
  const before = must(disk.peek(logPath)).length;
  for (const value of ['one', 'two', 'three']) {
    await ask({ kind: 'put', key, value: Buffer.from(value), sequence: 1 });
  }
  await cluster.time.run(1000);
  cluster.crash(3);
  const content = must(disk.peek(logPath));
  expect(content.length).toBeGreaterThan(before);
  disk.poke(logPath, content.subarray(0, before));
  await cluster.restart(3);
  await cluster.time.run(5000);
  const { fatal } = cluster.machine(3);
  expect(fatal).toBeInstanceOf(CorruptionError);
  expect(String(fatal)).toMatch(
    /the raft log of range 1 ends at \d+, and entries up to \d+ were acknowledged$/,
  );
});
