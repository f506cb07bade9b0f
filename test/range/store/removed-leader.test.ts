/**
 * A leader that its range removes gives up, and cannot stand for election itself. Cause: those who can slept, bound to
 * its store, which lives; nobody told them, and nothing woke them. So the range had a quorum and was not served.
 */
import { expect, it, vi } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { asNodeId, asRangeId, asStoreId } from '../../../src/kv/index.ts';
import { type Message } from '../../../src/raft/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from './cluster.ts';

type Loss = (message: Message) => boolean;

const orders: Loss = ({ kind }) => kind === 'timeout-now';
const all: Loss = (message) => message.from === 1 && !tellsOfRemoval(message);

/** The entry that removes the leader, and that it is committed. */
function tellsOfRemoval({ kind }: Message): boolean {
  return kind === 'append' || kind === 'heartbeat';
}

it.each([
  { lost: 'its order to campaign', loss: orders },
  { lost: 'all that it says of its end', loss: all },
])('a range is served when its leader is removed and $lost is lost', async ({ loss }) => {
  const cluster = await Cluster.start({ nodes: 3 });
  await cluster.time.run(1000);
  const key = systemKey('user-a');
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  const change = { kind: 'admin-change-replicas', key, add, remove: [] } as const;
  values(await cluster.time.settleOf(cluster.client(1).request(change)));
  await cluster.time.run(1000);
  expect(cluster.serving(1)).toEqual([1]);

  for (const { replica } of cluster.replicas(1)) {
    const step = replica.raft.step.bind(replica.raft);
    vi.spyOn(replica.raft, 'step').mockImplementation((message) => {
      if (!loss(message)) step(message);
    });
  }
  const leader = must(cluster.machine(1).store.replicas.get(asRangeId(1)));
  expect(leader.raft.proposeConfigChange({ voters: [2, 3], learners: [] }).kind).toBe('accepted');
  leader.activate();
  await cluster.time.run(10_000);
  expect(cluster.serving(1)).toHaveLength(1);
  expect(cluster.serving(1)).not.toEqual([1]);
});
