/** The router against three nodes that answer as they are told. */
import { describe, expect, it } from 'vitest';
import {
  zeroTimestamp,
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  encodeDescriptor,
  gossipKeys,
  HlcClock,
  TransportFailure,
  type BatchRequest,
  type BatchResponse,
  type Gossip,
  type KvError,
  type KvRequest,
  type KvResult,
  type RangeDescriptor,
  type Transport,
} from '../../src/kv/index.ts';
import { keyMax, keyMin, meta2Start } from '../../src/encoding/index.ts';
import { Router, type HeaderBase } from '../../src/txn/index.ts';
import { sleep } from '../../src/util/index.ts';
import { scriptKey as key, withTime } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

const replicas = [1, 2, 3].map((n) => ({
  nodeId: asNodeId(n),
  storeId: asStoreId(n),
  replicaId: asReplicaId(n),
  kind: 'voter' as const,
}));

function rangeOf(id: number, startKey: Buffer, endKey: Buffer, generation = 1): RangeDescriptor {
  const nextReplicaId = asReplicaId(4);
  const stickyUntil = zeroTimestamp;
  return {
    rangeId: asRangeId(id),
    startKey,
    endKey,
    replicas,
    nextReplicaId,
    generation,
    stickyUntil,
  };
}

const header: HeaderBase = {
  txn: undefined,
  waitPolicy: 'block',
  lockTimeoutMs: 0,
  consistency: 'current',
  canForwardReadTimestamp: false,
};
const get = (word: string): KvRequest => ({ kind: 'get', key: key(word), lock: 'none' });

type Answer = KvError | 'ok' | 'lost' | 'unreachable';

class Nodes {
  readonly env = new VirtualEnv();
  readonly clock = new HlcClock(this.env.clock, { maxOffsetMicros: 0 });
  /** What the meta records say. */
  filed: RangeDescriptor[];
  /** Who was asked for what, meta lookups apart. */
  readonly asked: string[] = [];
  answer: (node: number, batch: BatchRequest) => Answer = () => 'ok';
  /** How long an answer takes. */
  delayMs = 0;
  readonly router: Router;

  constructor(ranges: RangeDescriptor[]) {
    this.filed = ranges;
    this.router = new Router({
      env: this.env,
      clock: this.clock,
      nodeId: asNodeId(9),
      transport: this.#transport(),
      local: undefined,
      gossip: this.#gossip(),
    });
  }

  send(...requests: KvRequest[]): Promise<BatchResponse> {
    return withTime(this.env, this.router.sendBatch(header, requests));
  }

  #transport(): Transport {
    return {
      call: async (to, _method, payload) => {
        const batch = payload as BatchRequest;
        const now = this.clock.now();
        const [first] = batch.requests;
        if (
          first?.kind === 'scan' &&
          first.start.compare(meta2Start) >= 0 &&
          first.start[0] === 3
        ) {
          const results = [this.#lookUp(first.start.subarray(1))];
          return { kind: 'ok', now, txn: undefined, results };
        }
        this.asked.push(`n${to} r${batch.header.rangeId}`);
        if (this.delayMs > 0) await sleep(this.env, this.delayMs);
        const answer = this.answer(to, batch);
        if (answer === 'lost') throw new TransportFailure('lost', { sent: true });
        if (answer === 'unreachable') throw new TransportFailure('unreachable', { sent: false });
        if (answer !== 'ok') return { kind: 'error', now, error: answer, index: undefined };
        const results = batch.requests.map((request): KvResult =>
          request.kind === 'get'
            ? { kind: 'get', value: request.key.subarray(1) }
            : { kind: 'refresh' },
        );
        return { kind: 'ok', now, txn: undefined, results };
      },
      send: () => undefined,
      onCall: () => undefined,
      onMessage: () => undefined,
    };
  }

  #lookUp(behind: Buffer): KvResult {
    const found = this.filed
      .filter((range) => range.endKey.compare(behind) >= 0)
      .sort((a, b) => a.endKey.compare(b.endKey))
      .slice(0, 1);
    return {
      kind: 'scan',
      keys: found.map((range) => Buffer.concat([meta2Start, range.endKey])),
      values: found.map(encodeDescriptor),
      resume: undefined,
    };
  }

  #gossip(): Gossip {
    return {
      get: (name) => (name === gossipKeys.firstRange ? this.filed[0] : undefined),
      list: () => [],
      set: () => undefined,
      watch: () => () => undefined,
    };
  }
}

const notLeaseholder = (hint?: number): KvError => ({
  kind: 'not-leaseholder',
  rangeId: asRangeId(1),
  leaseholder: replicas.find((replica) => replica.replicaId === hint),
  range: undefined,
});

const waiting: KvError = { kind: 'still-waiting' };

describe('router', () => {
  it('follows hints to the leaseholder and remembers it', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.answer = (node) => (node === 3 ? 'ok' : notLeaseholder(3));
    await nodes.send(get('a'));
    await nodes.send(get('b'));
    expect(nodes.asked).toEqual(['n1 r1', 'n3 r1', 'n3 r1']);
  });

  it('asks the others when a node is away, and again when nobody serves', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    let calls = 0;
    nodes.answer = (node) => {
      calls++;
      if (node === 1) return 'unreachable';
      return calls > 6 ? 'ok' : notLeaseholder();
    };
    const response = await nodes.send(get('a'));
    expect(response.kind).toBe('ok');
    expect(calls).toBeGreaterThan(6);
  });

  it('gives up as unavailable in the end', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.answer = () => notLeaseholder();
    const response = await nodes.send(get('a'));
    expect(response.kind === 'error' ? response.error.kind : 'ok').toBe('unavailable');
  });

  it('splits a batch by range and puts the answers together in order', async () => {
    const nodes = new Nodes([
      rangeOf(1, keyMin, key('h')),
      rangeOf(2, key('h'), key('p')),
      rangeOf(3, key('p'), keyMax),
    ]);
    const response = await nodes.send(get('z'), get('a'), get('k'), get('b'));
    if (response.kind !== 'ok') throw new Error(response.error.kind);
    const values = response.results.map((result) =>
      result.kind === 'get' ? result.value?.toString() : '',
    );
    expect(values).toEqual(['z', 'a', 'k', 'b']);
    expect([...nodes.asked].sort()).toEqual(['n1 r1', 'n1 r2', 'n1 r3']);
  });

  it('learns of a split from the range itself and never goes back to older descriptors (T8)', async () => {
    const whole = rangeOf(1, keyMin, keyMax, 1);
    const left = rangeOf(1, keyMin, key('h'), 2);
    const right = rangeOf(2, key('h'), keyMax, 2);
    const nodes = new Nodes([whole]);
    await nodes.send(get('a'), get('z'));
    nodes.answer = (_node, batch) =>
      batch.header.generation === 1 ? { kind: 'range-key-mismatch', ranges: [left, right] } : 'ok';
    expect((await nodes.send(get('a'), get('z'))).kind).toBe('ok');
    nodes.asked.length = 0;
    expect((await nodes.send(get('z'))).kind).toBe('ok');
    expect(nodes.asked).toEqual(['n1 r2']);
    nodes.answer = (_node, batch) =>
      batch.header.rangeId === 2 && nodes.asked.length < 3
        ? { kind: 'range-key-mismatch', ranges: [whole] }
        : 'ok';
    nodes.filed = [left, right];
    expect((await nodes.send(get('z'))).kind).toBe('ok');
    expect(nodes.asked.at(-1)).toBe('n1 r2');
  });

  it('finds a range whose replicas have all moved, though one that was left behind answers still', async () => {
    const [first, left] = [rangeOf(1, keyMin, key('m')), rangeOf(2, key('m'), keyMax)];
    const nodes = new Nodes([first, left]);
    await nodes.send(get('x'));
    nodes.filed = [first, { ...left, replicas: replicas.slice(2), generation: 2 }];
    nodes.answer = (node, { header: { generation, rangeId } }) => {
      if (node === 3) return generation === 2 ? 'ok' : { kind: 'range-not-found', rangeId };
      if (node === 2) return { kind: 'range-not-found', rangeId };
      return { kind: 'not-leaseholder', rangeId, leaseholder: undefined, range: left };
    };
    expect((await nodes.send(get('x'))).kind).toBe('ok');
    expect(nodes.asked.at(-1)).toBe('n3 r2');
  });

  it('cuts spans at range boundaries', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, key('h')), rangeOf(2, key('h'), keyMax)]);
    const spans: string[] = [];
    nodes.answer = (_node, batch) => {
      for (const request of batch.requests) {
        if (request.kind !== 'refresh') continue;
        const { start, end } = request.span;
        spans.push(`${start.subarray(1).toString()}-${end?.subarray(1).toString() ?? ''}`);
      }
      return 'ok';
    };
    const now = nodes.clock.now();
    const span = { start: key('b'), end: key('m') };
    const response = await nodes.send({ kind: 'refresh', span, from: now, to: now });
    expect(response.kind === 'ok' ? response.results.length : 0).toBe(1);
    expect(spans.sort()).toEqual(['b-h', 'h-m']);
  });

  it('sends what may be repeated again when its answer is lost, and nothing else (X9)', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.answer = (node) => (node === 1 ? 'lost' : 'ok');
    expect((await nodes.send(get('a'))).kind).toBe('ok');
    for (const request of [
      { kind: 'increment', key: key('n'), by: 1n },
      { kind: 'put', key: key('n'), value: key('v'), sequence: 0 },
      {
        kind: 'end-txn',
        anchor: key('n'),
        commit: true,
        lockSpans: [],
        onePhase: true,
        inFlightWrites: [],
        trigger: undefined,
      },
    ] as const) {
      const fresh = new Nodes([rangeOf(1, keyMin, keyMax)]);
      fresh.answer = () => 'lost';
      const response = await fresh.send(request);
      expect(response.kind === 'error' ? response.error.kind : 'ok').toBe('ambiguous-result');
      expect(fresh.asked.length).toBe(1);
      // Not sent at all is not ambiguous.
      const away = new Nodes([rangeOf(1, keyMin, keyMax)]);
      away.answer = (node) => (node === 3 ? 'ok' : 'unreachable');
      expect((await away.send(request)).kind).toBe('ok');
    }
  });

  it('sends no write beside a staged record again (X8)', async () => {
    const put: KvRequest = { kind: 'put', key: key('n'), value: key('v'), sequence: 1 };
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.answer = (node) => (node === 1 ? 'lost' : 'ok');
    const { meta: txn } = new TestCluster(nodes.env).db.begin();
    const again = nodes.router.sendBatch({ ...header, txn }, [put]);
    expect((await withTime(nodes.env, again)).kind).toBe('ok');
    const asked = nodes.asked.length;
    nodes.answer = () => 'lost';
    const sent = nodes.router.sendBatch({ ...header, txn, once: true }, [put]);
    const response = await withTime(nodes.env, sent);
    expect(response.kind === 'error' ? response.error.kind : 'ok').toBe('ambiguous-result');
    expect(nodes.asked.length).toBe(asked + 1);
  });

  it('asks who serves the range again while others are in the way, with what is left of the lock timeout', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    const timeouts: number[] = [];
    nodes.delayMs = 10_000;
    nodes.answer = (_node, batch) =>
      timeouts.push(batch.header.lockTimeoutMs) < 12 ? waiting : 'ok';
    const sent = nodes.router.sendBatch({ ...header, lockTimeoutMs: 115_000 }, [get('a')]);
    await nodes.env.runFor(130_000);
    expect((await sent).kind).toBe('ok');
    expect(new Set(nodes.asked)).toEqual(new Set(['n1 r1']));
    expect(timeouts).toEqual(Array.from({ length: 12 }, (_, i) => 115_000 - i * 10_000));
  });

  it('looks for the next one who serves the range, however long it has waited at the last', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.delayMs = 10_000;
    let calls = 0;
    nodes.answer = () => {
      calls++;
      if (calls <= 10) return waiting;
      nodes.delayMs = 0;
      return calls <= 20 ? notLeaseholder() : 'ok';
    };
    const sent = nodes.router.sendBatch(header, [get('a')]);
    await nodes.env.runFor(130_000);
    expect((await sent).kind).toBe('ok');
  });

  it.each(['asked for', 'known'])(
    'keeps what is left of the lock timeout when a range that is %s moves',
    async (how) => {
      const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
      if (how === 'known') await nodes.send(get('b'));
      const timeouts: number[] = [];
      nodes.delayMs = 10_000;
      nodes.answer = (_node, batch) => {
        timeouts.push(batch.header.lockTimeoutMs);
        if (timeouts.length === 1) return waiting;
        nodes.delayMs = 0;
        return timeouts.length <= 4 ? notLeaseholder() : 'ok';
      };
      const sent = nodes.router.sendBatch({ ...header, lockTimeoutMs: 60_000 }, [get('a')]);
      await nodes.env.runFor(30_000);
      expect((await sent).kind).toBe('ok');
      expect(timeouts.slice(0, 4)).toEqual([60_000, 50_000, 50_000, 50_000]);
      expect(timeouts[4]).toBeLessThanOrEqual(50_000);
    },
  );

  it('tells of a failure in one range though others are in the way in another', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, key('h')), rangeOf(2, key('h'), keyMax)]);
    const deadlock: KvError = { kind: 'deadlock', cycle: [] };
    nodes.answer = (_node, batch) => (batch.header.rangeId === 1 ? deadlock : waiting);
    const response = await nodes.send(get('a'), get('k'));
    expect(response.kind === 'error' ? response.error.kind : 'ok').toBe('deadlock');
  });

  it('does not ask for what nobody waits for any more', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, keyMax)]);
    nodes.answer = () => waiting;
    const isWanted = (): boolean => nodes.asked.length < 3;
    const sent = nodes.router.sendBatch({ ...header, isWanted }, [get('a')]);
    const answer = await withTime(nodes.env, sent);
    expect(answer.kind === 'error' ? answer.error.kind : 'ok').toBe('canceled');
    expect(nodes.asked.length).toBe(3);
  });

  it('looks a range up once for everybody who asks at the same time', async () => {
    const nodes = new Nodes([rangeOf(1, keyMin, key('h')), rangeOf(2, key('h'), keyMax)]);
    await withTime(
      nodes.env,
      Promise.all(Array.from({ length: 10 }, () => nodes.router.rangeOf(key('k')))),
    );
    const range = nodes.router.cachedRangeOf(key('k'));
    expect(range?.rangeId).toBe(2);
  });
});
