/** Ranges that nobody uses: their number makes no difference to messages, timers, raft logs and ticks. */
import { expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import { Cluster, values } from './cluster.ts';

/** What three stores with `ranges` ranges do in a minute in which nobody wants anything. */
async function quietMinute(ranges: number): Promise<Record<string, number>> {
  // A look for garbage, once in a tenth of the TTL for a range with replaced versions, is not due in this minute.
  const zone = { gcTtlSeconds: 1_000_000 };
  const cluster = await Cluster.start({ nodes: 3, settings: { queueIntervalMs: 1000 }, zone });
  const { time } = cluster;
  const ask = async (request: Parameters<ReturnType<Cluster['client']>['request']>[0]) =>
    values(await time.settleOf(cluster.client(1).request(request)));
  const spread = (): boolean => cluster.ranges().every((range) => range.replicas.length === 3);
  const isVoting = (): boolean =>
    cluster.ranges().every((range) => range.replicas.every(({ kind }) => kind === 'voter'));
  await time.run(60_000, () => spread() && isVoting());
  for (let i = 1; i < ranges; i++) {
    const splitKey = systemKey(`user-${String(i).padStart(4, '0')}`);
    await ask({ kind: 'admin-split', splitKey, expiration: cluster.machine(1).clock.now() });
  }
  expect(cluster.ranges().length).toBe(ranges);
  // Leases find their places, logs are truncated (two checkpoints), executors come to rest.
  await time.run(180_000);
  const stores = cluster.live().map(({ store }) => store);
  const raftMessages = (): number =>
    stores.reduce((sum, { counters }) => sum + counters.raftMessagesSent, 0);
  const sentBefore = cluster.sent;
  const raftBefore = raftMessages();
  let timers = Infinity;
  for (let i = 0; i < 100; i++) {
    await time.run(600);
    // At many moments a message is on its way, too.
    timers = Math.min(timers, time.pendingTimers);
  }
  return {
    messages: cluster.sent - sentBefore,
    raftMessages: raftMessages() - raftBefore,
    timers,
    awake: stores.reduce((sum, store) => sum + store.metrics().gauges.awakeReplicas, 0),
    logBytes: stores.reduce((sum, store) => sum + store.raftLog.liveBytes, 0),
  };
}

it('a minute costs 40 quiet ranges as much as 4', async () => {
  const few = await quietMinute(4);
  expect(few).toMatchObject({ raftMessages: 0, awake: 0, logBytes: 0 });
  // A heartbeat and its answer for each pair of stores every half second, and what is closed five times a second.
  expect(few['messages']).toBeLessThanOrEqual(3 * 2 * (2 * 2 + 5) * 61);
  expect(await quietMinute(40)).toEqual(few);
});
