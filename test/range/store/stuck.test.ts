/** A leader whose entries get nowhere, although the others live: it does not let writes wait for ever. */
import { expect, it, vi } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asStoreId,
  kvSettings,
  type BatchResponse,
  type KvError,
} from '../../../src/kv/index.ts';
import { Cluster, values } from './cluster.ts';

it('writes fail at once while nothing is replicated, and go on when it is again', async () => {
  const cluster = await Cluster.start({ nodes: 3 });
  const { time, settings } = cluster;
  await time.run(1000);
  const key = systemKey('user-a');
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  const change = { kind: 'admin-change-replicas', key, add, remove: [] } as const;
  values(await time.settleOf(cluster.client(1).request(change)));
  await time.run(1000);
  settings.update(new Map([[kvSettings.slowReplicationThreshold.name, '3000']]));
  const put = (): Promise<BatchResponse> =>
    cluster.client(1).request({ kind: 'put', key, value: Buffer.from('x'), sequence: 1 });

  const deaf = cluster.replicas(1).filter(({ machine }) => machine.id !== 1);
  const spies = deaf.map(({ replica }) => {
    const step = replica.raft.step.bind(replica.raft);
    return vi.spyOn(replica.raft, 'step').mockImplementation((message) => {
      if (message.kind !== 'append') step(message);
    });
  });
  const stuck = put();
  await time.run(3500);
  expect(cluster.serving(1)).toEqual([1]);
  const before = time.nowMs;
  const refused = await time.settleOf(put());
  expect(time.nowMs - before).toBeLessThan(100);
  const error: KvError | undefined = refused.kind === 'error' ? refused.error : undefined;
  expect(error).toEqual({
    kind: 'unavailable',
    reason: 'range 1 has not replicated anything for 4 s',
  });

  for (const spy of spies) spy.mockRestore();
  expect((await time.settleOf(stuck)).kind).toBe('ok');
  expect((await time.settleOf(put())).kind).toBe('ok');
});
