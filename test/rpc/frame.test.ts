/** Damaged and ill-formed frames at the gRPC decoder; `FRAMES=100000` plays more, `SEED=` others. */
import { crc32 } from 'node:zlib';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { createRealEnv } from '../../src/cli/real-env.ts';
import { HlcClock, asNodeId } from '../../src/kv/index.ts';
import { FrameDecoder, FrameEncoder, type FrameMessage } from '../../src/rpc/frame.ts';
import { GossipNode, LocalNetwork } from '../../src/rpc/index.ts';
import { silentLogger } from '../../src/util/index.ts';
import { SeededRandom } from '../random.ts';

const seed = Number(process.env['SEED'] ?? 1);
const frames = Number(process.env['FRAMES'] ?? 10_000);
const env = createRealEnv({ log: silentLogger, checks: true });

const batch: FrameMessage = [
  1,
  7,
  'batch',
  { header: { rangeId: 3, timestamp: { wall: 1_700_000_000_000_001, logical: 2 } }, requests: [] },
];
const raft: FrameMessage = [0, 0, 'raft', Buffer.alloc(200, 5)];

/** A frame with a right checksum around any body. */
function sealed(body: unknown): Buffer {
  const bytes = new Packr({ sequential: true, moreTypes: false }).pack(body);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return Buffer.concat([sum, bytes]);
}

describe('frames', () => {
  it('survive the way, with records that are sent once', () => {
    const encoder = new FrameEncoder();
    const decoder = new FrameDecoder();
    for (let i = 0; i < 20; i++) {
      const sent = { from: i, messages: [batch, raft] };
      expect(decoder.decode(encoder.encode(sent.from, sent.messages))).toEqual(sent);
    }
  });

  it(`that are damaged or cut off are refused (SEED=${seed})`, () => {
    const random = new SeededRandom(seed);
    const whole = new FrameEncoder().encode(1, [batch, raft, batch]);
    for (let i = 0; i < frames; i++) {
      let bad = Buffer.from(whole);
      if (random.u32() % 4 === 0) bad = bad.subarray(0, random.u32() % bad.length);
      else {
        for (let n = random.u32() % 4; n >= 0; n--) {
          const at = random.u32() % bad.length;
          bad[at] = (bad[at] ?? 0) ^ (1 << (random.u32() % 8));
        }
        if (bad.equals(whole)) continue;
      }
      expect(() => new FrameDecoder().decode(bad)).toThrow(RangeError);
    }
  });

  it('are refused when a number in the head cannot be true', () => {
    for (const from of [-1, 0.5, NaN, Infinity, 'x', null]) {
      expect(() => new FrameDecoder().decode(sealed([from]))).toThrow(RangeError);
    }
    for (const message of [
      [4, 1, 'm', 0],
      [-1, 1, 'm', 0],
      [1, NaN, 'm', 0],
      [1, 1.5, 'm', 0],
      [1, 1, 7, 0],
      'text',
      null,
    ]) {
      expect(() => new FrameDecoder().decode(sealed([1, message]))).toThrow(RangeError);
    }
  });
});

/** Of node 1, which knows nobody. */
function loneGossip(): GossipNode {
  return new GossipNode({
    env,
    clock: new HlcClock(env.clock, { maxOffsetMicros: 500_000 }),
    nodeId: asNodeId(1),
    transport: new LocalNetwork(env).endpoint(env, 'a'),
    intervalMs: 1e6,
  });
}

describe('gossip', () => {
  it(`ignores entries that cannot be true (SEED=${seed})`, () => {
    const random = new SeededRandom(seed);
    const gossip = loneGossip();
    gossip.set('mine', 'kept', { ttlMs: 0 });
    const before = gossip.exportAll();
    const odd: unknown[] = [undefined, null, -1, 0.5, NaN, Infinity, 'x', [], {}, 2n, 2 ** 53];
    const version = { wall: 2 ** 52, logical: 0 };
    for (let i = 0; i < frames / 10; i++) {
      const entry: unknown[] = ['mine', 'bad', version, 2, 0];
      const what = odd[random.u32() % odd.length];
      const place = random.u32() % 5;
      if (place === 0) entry[0] = typeof what === 'string' ? 7 : what;
      else if (place === 1) entry[2] = { ...version, wall: what };
      else if (place === 2) entry[2] = { ...version, logical: what };
      else entry[place] = what;
      const wires = [entry, [entry], [[entry]], what, [what]];
      expect(() => gossip.merge(wires[random.u32() % wires.length])).not.toThrow();
    }
    expect(gossip.exportAll()).toEqual(before);
  });

  it('a node entry that names nobody, or somebody else, is told nothing', () => {
    for (const value of [null, undefined, 7, 'text', {}, { nodeId: 9 }]) {
      const gossip = loneGossip();
      gossip.set('node:2', value, { ttlMs: 0 });
      expect(() => gossip.start()).not.toThrow();
      gossip.stop();
    }
  });
});
