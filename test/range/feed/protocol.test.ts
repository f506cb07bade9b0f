/** The protocol of a store, call by call: what a consumer gets that asks late, or never. */
import { describe, expect, it } from 'vitest';
import { systemKey } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asStoreId,
  rangeFeedMethod,
  streamIdleMs,
  zeroTimestamp,
  type RangeFeedAnswer,
  type RangeFeedRequest,
  type Timestamp,
} from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster } from '../store/cluster.ts';

const key = (name: string): Buffer => systemKey(`user-${name}`);

class Consumer {
  readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async start(): Promise<Consumer> {
    const cluster = await Cluster.start({ nodes: 1 });
    await cluster.time.run(1000);
    return new Consumer(cluster);
  }

  call(request: RangeFeedRequest): Promise<RangeFeedAnswer> {
    const options = { timeoutMs: 60_000, traffic: 'batch' } as const;
    const method = rangeFeedMethod(asStoreId(1));
    const answer = this.cluster.machine(1).transport.call(asNodeId(1), method, request, options);
    return this.cluster.time.settleOf(answer) as Promise<RangeFeedAnswer>;
  }

  open(feed: number, after: Timestamp = zeroTimestamp): Promise<RangeFeedAnswer> {
    const { rangeId } = must(this.cluster.rangeOf(key('a')));
    const span = { start: key('a'), end: key('z') };
    return this.call({
      kind: 'open',
      stream: 1,
      feed,
      rangeId,
      ...span,
      after,
      withPrevious: true,
    });
  }

  /** `feed key=value` of each version; resolved timestamps are left out. */
  async next(): Promise<string[]> {
    const answer = await this.call({ kind: 'next', stream: 1 });
    if (answer.kind !== 'events') return [answer.kind];
    return answer.events.flatMap(([feed, event]) => {
      if (event.kind === 'end') return [`${feed} ends: ${event.end.kind}`];
      if (event.kind === 'resolved') return [];
      return [`${feed} ${event.key.subarray(6).toString()}=${event.value?.toString().slice(0, 9)}`];
    });
  }

  async put(name: string, value: Buffer | string): Promise<void> {
    const request = {
      kind: 'put',
      key: key(name),
      value: Buffer.from(value),
      sequence: 1,
    } as const;
    const answer = await this.cluster.time.settleOf(this.cluster.client(1).request(request));
    expect(answer.kind).toBe('ok');
  }
}

describe('the protocol of rangefeeds', () => {
  it('tells the past first, and misses nothing that was committed meanwhile', async () => {
    const consumer = await Consumer.start();
    await consumer.put('a', '1');
    await consumer.open(1);
    await consumer.put('a', '2');
    await consumer.put('b', '1');
    expect(await consumer.next()).toEqual(['1 a=1', '1 a=2', '1 b=1']);
    await consumer.put('b', '2');
    expect(await consumer.next()).toEqual(['1 b=2']);
  });

  it('ends the feed of a consumer that is slow, and keeps no more than it must', async () => {
    const consumer = await Consumer.start();
    await consumer.open(1, consumer.cluster.machine(1).clock.now());
    expect(await consumer.next()).toEqual([]);
    for (let i = 0; i < 12; i++) await consumer.put('big', Buffer.alloc(1 << 20, `${i % 10}`));
    expect(await consumer.next()).toEqual(['1 ends: slow-consumer']);
    // From the beginning, in pieces.
    await consumer.open(2, zeroTimestamp);
    const told: string[] = [];
    for (let i = 0; i < 12; i++) told.push(...(await consumer.next()));
    expect(told.map((event) => event.slice(0, 8))).toEqual(
      Array.from({ length: 12 }, (_, i) => `2 big=${i % 10}${i % 10}`),
    );
  });

  it('gives up a stream that nobody asks, and has nothing left then', async () => {
    const consumer = await Consumer.start();
    const { time } = consumer.cluster;
    await time.run(20_000);
    await consumer.open(1);
    const { replicas } = consumer.cluster.machine(1).store;
    const fed = (): number =>
      [...replicas.values()].filter(({ feed }) => feed !== undefined).length;
    expect(fed()).toBe(1);
    await time.run(streamIdleMs + 1000);
    expect(fed()).toBe(0);
    expect(await consumer.next()).toEqual(['no-stream']);
  });

  it('refuses what the store does not have', async () => {
    const consumer = await Consumer.start();
    const { time } = consumer.cluster;
    const split = { kind: 'admin-split', splitKey: key('m'), expiration: zeroTimestamp } as const;
    await time.settleOf(consumer.cluster.client(1).request(split));
    expect(await consumer.open(1)).toEqual({ kind: 'refused', end: { kind: 'not-here' } });
  });
});
