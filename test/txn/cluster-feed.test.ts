/** A feed's parts move between stores that a test answers for. */
import { expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  HlcClock,
  zeroTimestamp,
  type RangeFeedAnswer,
  type RangeFeedRequest,
  type RangeInfo,
} from '../../src/kv/index.ts';
import { ClusterFeed } from '../../src/txn/feed/cluster-feed.ts';
import { sleep } from '../../src/util/index.ts';
import { VirtualEnv } from './virtual-env.ts';

const [a, m, z] = [Buffer.from('a'), Buffer.from('m'), Buffer.from('z')];

/** What a feed asks of the range of `startKey`, which the store leads. */
function infoOf(startKey: Buffer, store: number): RangeInfo {
  const leaseholder = {
    nodeId: asNodeId(store),
    storeId: asStoreId(store),
    replicaId: asReplicaId(store),
    kind: 'voter',
  };
  const range = { rangeId: asRangeId(1), startKey, endKey: startKey === a ? m : z };
  return { range, leaseholder } as RangeInfo;
}

it('a part that stands still moves to the leaseholder once, however slowly that is found', async () => {
  const env = new VirtualEnv(1);
  const clock = new HlcClock(env.clock, { maxOffsetMicros: 0 });
  const opened: { readonly node: number; readonly feed: number; readonly start: Buffer }[] = [];
  const serve = async (node: number, request: RangeFeedRequest): Promise<RangeFeedAnswer> => {
    if (request.kind === 'open') opened.push({ node, feed: request.feed, start: request.start });
    if (request.kind !== 'next') return { kind: 'ok' };
    await sleep(env, 1_000);
    const timestamp = clock.now();
    // The first store does not hear of the first range any more.
    const moving = opened.filter((open) => open.node === node && (node === 2 || open.start === m));
    const events = moving.map(({ feed }) => [feed, { kind: 'resolved', timestamp }] as const);
    return { kind: 'events', now: timestamp, events };
  };
  let looks = 0;
  const feed = new ClusterFeed(
    {
      env,
      clock,
      router: {
        // What the feed sends is made by it.
        call: (node, _method, payload) => serve(node, payload as RangeFeedRequest),
      },
      rangeInfo: async (key) => {
        if (key === m) return infoOf(m, 1);
        if (looks++ === 0) return infoOf(a, 1);
        // Longer than it takes until somebody looks again why the part stands still.
        await sleep(env, 7_000);
        return infoOf(a, 2);
      },
      newStreamId: () => 1,
    },
    {
      spans: [
        { start: a, end: m },
        { start: m, end: z },
      ],
      after: zeroTimestamp,
      withPrevious: false,
    },
  );
  await env.runFor(40_000);
  expect(opened.filter(({ start }) => start === a).map(({ node }) => node)).toEqual([1, 2]);
  feed.close();
});
