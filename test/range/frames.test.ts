/**
 * Raft frames, liveness messages and batches that a store should not act on. `FRAMES=100000` plays more,
 * `SEED=` others. Damage on the way is found below, by the checksum of the gRPC frame (`test/rpc/frame.test.ts`).
 */
import { describe, expect, it } from 'vitest';
import { asNodeId, asRangeId, asStoreId, storeMethod } from '../../src/kv/index.ts';
import { type Message } from '../../src/raft/index.ts';
import {
  decodeFrame,
  encodeFrame,
  type RaftEnvelope,
  type RaftFrame,
} from '../../src/range/replica/message-codec.ts';
import { ByteReader, ByteWriter } from '../../src/range/replica/byte-codec.ts';
import { raftMethod } from '../../src/range/store/scheduler.ts';
import { must, type Random } from '../../src/util/index.ts';
import { Cluster, type Machine, values } from './store/cluster.ts';
import { SeededRandom } from '../random.ts';

const seed = Number(process.env['SEED'] ?? 1);
const frames = Number(process.env['FRAMES'] ?? 10_000);

/** Of the only store of node `node`. */
function raftAt(node: number): string {
  return storeMethod(raftMethod, asStoreId(node));
}

const base = { from: 1, to: 2, term: 9 };
const messages: Message[] = [
  { ...base, kind: 'vote-request', pre: true, lastIndex: 4, lastTerm: 2, transfer: false },
  { ...base, kind: 'vote-response', pre: false, granted: true },
  {
    ...base,
    kind: 'append',
    previousIndex: 10,
    previousTerm: 5,
    entries: [
      { term: 8, index: 11, kind: 'normal', data: Buffer.from('some data') },
      { term: 9, index: 12, kind: 'config', data: Buffer.alloc(0) },
    ],
    commit: 10,
  },
  { ...base, kind: 'append-response', index: 3, rejected: true, hintIndex: 2, hintTerm: 1 },
  { ...base, kind: 'heartbeat', commit: 77, round: 300 },
  { ...base, kind: 'heartbeat-response', round: 4 },
  { ...base, kind: 'timeout-now' },
];

function frameOf(list: readonly Message[]): RaftFrame {
  return {
    fromStore: asStoreId(1),
    toStore: asStoreId(2),
    now: { wall: 1_700_000_000_000_000, logical: 3 },
    envelopes: list.map((message) => ({ rangeId: asRangeId(3), message, supportEpoch: 0 })),
  };
}

function damaged(whole: Buffer, random: Random): Buffer {
  if (random.u32() % 4 === 0) return whole.subarray(0, random.u32() % whole.length);
  const bad = Buffer.from(whole);
  for (let n = random.u32() % 4; n >= 0; n--) bad[random.u32() % bad.length] = random.u32() & 0xff;
  return bad;
}

describe('the codec of raft frames', () => {
  it('carries what a refused candidate is told to be committed', () => {
    const frame = frameOf([
      {
        ...base,
        kind: 'vote-response',
        pre: true,
        granted: false,
        committed: { index: 12, term: 8 },
      },
      { ...base, kind: 'vote-response', pre: true, granted: false },
    ]);
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  });

  it(`reads damaged bytes as a well-formed frame or not at all (SEED=${seed})`, () => {
    const random = new SeededRandom(seed);
    const whole = encodeFrame(frameOf(messages));
    let refused = 0;
    for (let i = 0; i < frames; i++) {
      let got: RaftFrame;
      try {
        got = decodeFrame(damaged(whole, random));
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
        refused++;
        continue;
      }
      // What is read is a frame that could have been written.
      expect(decodeFrame(encodeFrame(got))).toEqual(got);
      const ids = got.envelopes.flatMap(({ rangeId, message }) => [
        rangeId,
        message.from,
        message.to,
      ]);
      expect([got.fromStore, got.toStore, ...ids].every((id) => id > 0)).toBe(true);
      expect(got.now.logical).toBeLessThanOrEqual(0xffff_ffff);
    }
    expect(refused).toBeGreaterThan(frames / 4);
  });

  it('refuses every cut, and bytes behind the end', () => {
    const whole = encodeFrame(frameOf(messages));
    for (let cut = 0; cut < whole.length; cut++) {
      expect(() => decodeFrame(whole.subarray(0, cut))).toThrow(RangeError);
    }
    expect(() => decodeFrame(Buffer.concat([whole, Buffer.alloc(1)]))).toThrow(RangeError);
  });

  it('refuses integers that are not safe', () => {
    const tooLarge = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    expect(() => new ByteReader(tooLarge).uint()).toThrow(RangeError);
    const largest = new ByteWriter().uint(Number.MAX_SAFE_INTEGER).finish();
    expect(new ByteReader(largest).uint()).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('refuses a time whose counter is beyond 32 bits, ids of zero, and flags that do not exist', () => {
    const frame = frameOf([]);
    const late = { ...frame, now: { ...frame.now, logical: 2 ** 32 } };
    expect(() => decodeFrame(encodeFrame(late))).toThrow(RangeError);
    for (const bad of [{ from: 0 }, { to: 0 }]) {
      const zero = frameOf([{ kind: 'timeout-now', ...base, ...bad }]);
      expect(() => decodeFrame(encodeFrame(zero))).toThrow(RangeError);
    }
    const vote = encodeFrame(
      frameOf([{ ...base, kind: 'vote-response', pre: false, granted: true }]),
    );
    vote[vote.length - 1] = 8;
    expect(() => decodeFrame(vote)).toThrow(RangeError);
  });
});

interface Sent {
  readonly from: Machine;
  readonly to: number;
  readonly frame: RaftFrame;
}

/** Three stores with some history: several terms, and everything that raft sent on the way. */
async function startedCluster(): Promise<{ cluster: Cluster; sent: Sent[]; deliver: Deliver }> {
  const cluster = await Cluster.start({ seed, nodes: 3, settings: { queueIntervalMs: 500 } });
  const sent: Sent[] = [];
  const doors = cluster.machines.map((machine) => {
    const { transport } = machine;
    const door = transport.send.bind(transport);
    transport.send = (to, method, payload, traffic) => {
      if (method.startsWith(`${raftMethod}@`) && Buffer.isBuffer(payload)) {
        sent.push({ from: machine, to, frame: decodeFrame(Buffer.from(payload)) });
      }
      door(to, method, payload, traffic);
    };
    return door;
  });
  await cluster.time.run(30_000);
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 5; i++) {
      const key = Buffer.from([2, 65 + i]);
      const put = { kind: 'put', key, value: Buffer.from(`v${round}`), sequence: 1 } as const;
      values(await cluster.time.settleOf(cluster.client(1).request(put)));
    }
    const leader = cluster.replicas(1).find(({ replica }) => replica.isLeader);
    const away = must(leader).machine.id;
    cluster.isolate(away);
    await cluster.time.run(20_000);
    cluster.cut.clear();
    await cluster.time.run(20_000);
  }
  const deliver: Deliver = (from, to, method, payload) => {
    must(doors[from - 1])(asNodeId(to), method, payload, 'raft');
  };
  return { cluster, sent: [...sent], deliver };
}

type Deliver = (from: number, to: number, method: string, payload: unknown) => void;

/** Everything that such a message must leave alone. */
async function stateOf(cluster: Cluster): Promise<unknown> {
  const machines: unknown[] = [];
  for (const { store, engine, fatal } of cluster.machines) {
    const reader = engine.iterate({ start: Buffer.alloc(0), end: Buffer.alloc(1, 0xff) });
    const entries = await reader.next(1_000_000);
    await reader.close();
    const replicas = [...store.replicas.values()].map(
      ({ rangeId, replicaId, raft, descriptor }) => ({
        rangeId,
        replicaId,
        descriptor,
        hardState: store.raftLog.range(rangeId).hardState,
        role: raft.role,
        term: raft.term,
        leader: raft.leader,
        last: raft.lastIndex,
        commit: raft.commitIndex,
        applied: raft.appliedIndex,
        configuration: raft.configuration,
      }),
    );
    machines.push({ replicas, fatal, bytes: Buffer.concat(entries.flat()).toString('base64') });
  }
  return { machines, serving: cluster.serving(1) };
}

/** Delivers `count` bad things in rounds, and compares all state after each round. */
async function bombard(cluster: Cluster, count: number, one: (i: number) => void): Promise<void> {
  await cluster.time.run(10_000);
  const before = await stateOf(cluster);
  const perRound = Math.max(50, Math.ceil(count / 20));
  for (let at = 0; at < count; at += perRound) {
    for (let i = at; i < Math.min(count, at + perRound); i++) one(i);
    await cluster.time.run(1000);
    expect(await stateOf(cluster)).toEqual(before);
  }
  const key = Buffer.from([2, 90]);
  const put = { kind: 'put', key, value: Buffer.from('after'), sequence: 1 } as const;
  values(await cluster.time.settleOf(cluster.client(2).request(put)));
}

function pick<T>(random: Random, from: readonly T[]): T {
  return must(from[random.u32() % from.length]);
}

describe('a store', () => {
  it(`ignores raft frames that are replayed (SEED=${seed})`, async () => {
    const { cluster, sent, deliver } = await startedCluster();
    const random = new SeededRandom(seed);
    const terms = new Set(sent.flatMap(({ frame }) => frame.envelopes.map((e) => e.message.term)));
    expect(terms.size).toBeGreaterThan(3);
    await bombard(cluster, frames / 4, () => {
      const { from, to, frame } = pick(random, sent);
      deliver(from.id, to, raftAt(to), encodeFrame(frame));
    });
  });

  it(`ignores raft messages of former terms, whatever they say (SEED=${seed})`, async () => {
    const { cluster, sent, deliver } = await startedCluster();
    const random = new SeededRandom(seed);
    const envelopes = sent.flatMap(({ from, to, frame }) =>
      frame.envelopes.map((envelope) => ({ from, to, frame, envelope })),
    );
    await bombard(cluster, frames / 4, () => {
      const { from, to, frame, envelope } = pick(random, envelopes);
      const replica = must(cluster.machine(to).store.replicas.get(envelope.rangeId));
      const message = must(pick(random, messages));
      const stale = {
        ...(random.u32() % 2 === 0 ? envelope.message : message),
        from: envelope.message.from,
        to: replica.replicaId,
        term: random.u32() % replica.raft.term,
      };
      const old: RaftEnvelope = { ...envelope, message: stale };
      deliver(from.id, to, raftAt(to), encodeFrame({ ...frame, envelopes: [old] }));
    });
  });

  it(`ignores raft frames that are damaged beyond reading, or no frames (SEED=${seed})`, async () => {
    const { cluster, sent, deliver } = await startedCluster();
    const random = new SeededRandom(seed);
    const odd = [undefined, null, 7, 'text', [], {}, Buffer.alloc(0), new Uint8Array(9)];
    await bombard(cluster, frames / 4, () => {
      const { from, to, frame } = pick(random, sent);
      const bad = damaged(encodeFrame(frame), random);
      try {
        decodeFrame(bad);
      } catch {
        deliver(from.id, to, raftAt(to), bad);
      }
      if (random.u32() % 8 === 0) {
        deliver(from.id, to, raftAt(to), odd[random.u32() % odd.length]);
      }
    });
  });

  it('ignores the bare message of a snapshot: nothing is staged for it', async () => {
    const { cluster, deliver } = await startedCluster();
    await bombard(cluster, 1, () => {
      const leader = must(cluster.replicas(1).find(({ replica }) => replica.isLeader));
      const follower = must(cluster.replicas(1).find(({ replica }) => !replica.isLeader));
      const { raft, replicaId } = leader.replica;
      const snapshot = {
        index: raft.lastIndex + 10,
        term: raft.term,
        configuration: raft.configuration,
      };
      const message: Message = {
        kind: 'snapshot',
        from: replicaId,
        to: follower.replica.replicaId,
        term: raft.term,
        snapshot,
      };
      const frame = encodeFrame({
        fromStore: leader.machine.store.storeId,
        toStore: follower.machine.store.storeId,
        now: leader.machine.clock.now(),
        envelopes: [{ rangeId: asRangeId(1), message, supportEpoch: 0 }],
      });
      deliver(leader.machine.id, follower.machine.id, raftAt(follower.machine.id), frame);
    });
  });
});

const oddValues: readonly unknown[] = [
  undefined,
  null,
  -1,
  0.5,
  NaN,
  Infinity,
  2 ** 53,
  'text',
  [],
  {},
  5n,
  Buffer.from('bytes'),
];

function oddOne(random: Random): unknown {
  return oddValues[random.u32() % oddValues.length];
}

describe('a peer that says what cannot be', () => {
  it(`in liveness messages changes nothing (SEED=${seed})`, async () => {
    const { cluster, deliver } = await startedCluster();
    const random = new SeededRandom(seed);
    const methods = ['store-heartbeat@2', 'store-support@2'];
    await bombard(cluster, frames / 10, () => {
      const whole = [oddOne(random), { from: oddOne(random) }, { to: oddOne(random), from: 0 }];
      deliver(1, 2, pick(random, methods), whole[random.u32() % whole.length]);
      // Of a former life, a promise that has long run out, or for another store.
      const old = { from: 1, to: 2, wall: random.u32(), logical: 0, epoch: 1, expiration: 1 };
      const other = { ...old, to: 3 + (random.u32() % 9) };
      const ahead = { ...old, wall: Number.MAX_SAFE_INTEGER - (random.u32() % 9) };
      deliver(1, 2, pick(random, methods), pick(random, [old, other, ahead]));
    });
  });

  it(`in batches gets a failure, and changes nothing (SEED=${seed})`, async () => {
    const { cluster } = await startedCluster();
    const random = new SeededRandom(seed);
    const answers: Promise<unknown>[] = [];
    const from = must(cluster.machines[0]);
    await bombard(cluster, frames / 10, () => {
      const header: Record<string, unknown> = {
        rangeId: 1,
        generation: 0,
        timestamp: from.clock.now(),
        txn: undefined,
        gatewayNodeId: 1,
        waitPolicy: 'block',
        lockTimeoutMs: 0,
        consistency: 'current',
        canForwardReadTimestamp: true,
      };
      const get = { kind: 'get', key: Buffer.from([2, 65]), lock: 'none' };
      header['timestamp'] = { wall: Number.MAX_SAFE_INTEGER - (random.u32() % 9), logical: 0 };
      const batches: unknown[] = [
        oddOne(random),
        { header: oddOne(random), requests: [get] },
        { header, requests: [get] },
        { header: { ...header, timestamp: undefined }, requests: [get] },
        { header, requests: oddOne(random) },
        { header: { ...header, timestamp: from.clock.now(), rangeId: 77 }, requests: [get] },
      ];
      const batch = batches[random.u32() % batches.length];
      const call = { timeoutMs: 5000, traffic: 'batch' } as const;
      answers.push(
        from.transport.call(asNodeId(2), 'batch', batch, call).then(
          (answer) => answer,
          () => ({ kind: 'error' }),
        ),
      );
    });
    for (const answer of await Promise.all(answers))
      expect(answer).toMatchObject({ kind: 'error' });
  });
});
