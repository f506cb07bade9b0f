/** Round trips of what goes into the log and over the wire. */
import { describe, expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  asTxnId,
  decodeDescriptor,
  encodeDescriptor,
  type ChecksumTrigger,
  type Handover,
  type RangeDescriptor,
} from '../../../src/kv/index.ts';
import { type Message } from '../../../src/raft/index.ts';
import { ByteReader, ByteWriter } from '../../../src/range/replica/byte-codec.ts';
import { decodeCommand, encodeCommand } from '../../../src/range/replica/command-codec.ts';
import { decodeFrame, encodeFrame } from '../../../src/range/replica/message-codec.ts';
import {
  decodeInstallRecord,
  encodeInstallRecord,
  type InstallRecord,
} from '../../../src/range/store/snapshot-format.ts';
import { type Command } from '../../../src/range/ports.ts';
import { zeroStats } from '../../../src/storage/index.ts';

const range: RangeDescriptor = {
  rangeId: asRangeId(7),
  startKey: Buffer.from([0x02]),
  endKey: Buffer.from([0x05, 0x00, 0xff]),
  replicas: [
    { nodeId: asNodeId(1), storeId: asStoreId(2), replicaId: asReplicaId(3), kind: 'voter' },
    { nodeId: asNodeId(4), storeId: asStoreId(5), replicaId: asReplicaId(6), kind: 'learner' },
  ],
  nextReplicaId: asReplicaId(7),
  generation: 12,
  stickyUntil: { wall: 2 ** 51, logical: 3 },
};

const handover: Handover = {
  locks: (['key-share', 'share', 'no-key-update', 'update'] as const).map((strength) => ({
    key: Buffer.from(strength),
    strength,
    owner: {
      id: asTxnId('00112233445566778899aabbccddeeff'),
      anchor: strength === 'share' ? undefined : Buffer.from('anchor'),
      epoch: 1,
      isolation: 'read-committed',
      priority: 2 ** 31 - 1,
      writeTimestamp: { wall: 2 ** 51, logical: 7 },
      minTimestamp: { wall: 2 ** 50, logical: 0 },
      sequence: 5,
    },
  })),
  tombstones: (['committed', 'aborted', undefined] as const).map((status, i) => {
    const txnId = asTxnId(`00112233445566778899aabbccddee0${i}`);
    const at = { wall: 2 ** 51 + i, logical: i };
    const ignoredSequences = [{ from: 2, to: 4 }];
    const finished = status && { id: txnId, epoch: 0, status, timestamp: at, ignoredSequences };
    return { txnId, finished, pushedTo: { wall: i, logical: 0 }, at };
  }),
  txnsUpTo: { wall: 5, logical: 1 },
};

describe('codecs', () => {
  it('integers of all sizes and signs', () => {
    const numbers = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40 + 5, 2 ** 52 - 1];
    const writer = new ByteWriter();
    for (const each of numbers) writer.uint(each).int(each).int(-each);
    const reader = new ByteReader(writer.finish());
    for (const each of numbers) {
      expect(reader.uint()).toBe(each);
      expect(reader.int()).toBe(each);
      expect(reader.int()).toBe(each === 0 ? 0 : -each);
    }
    expect(reader.done).toBe(true);
  });

  it('largest safe integer', () => {
    const reader = new ByteReader(new ByteWriter().uint(Number.MAX_SAFE_INTEGER).finish());
    expect(reader.uint()).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('bytes that end too early are refused', () => {
    const whole = new ByteWriter().bytes(Buffer.alloc(100)).finish();
    for (const cut of [0, 1, 50, 100]) {
      expect(() => new ByteReader(whole.subarray(0, cut)).bytes()).toThrow(RangeError);
    }
  });

  it('descriptors', () => {
    expect(decodeDescriptor(encodeDescriptor(range))).toEqual(range);
    expect(() => decodeDescriptor(Buffer.from([9, 9]))).toThrow(RangeError);
  });

  it('commands', () => {
    const commands: Command[] = [
      {
        writes: [
          { key: Buffer.from('k'), value: Buffer.alloc(0) },
          { key: Buffer.alloc(60, 1), value: undefined },
          { key: Buffer.from('big'), value: Buffer.alloc(100_000, 7) },
        ],
        statsDelta: { ...zeroStats, liveBytes: -5, versionCount: 1 },
        trigger: undefined,
        clears: [{ start: Buffer.from('a'), end: Buffer.from('b') }],
        timestamp: { wall: 1_700_000_000_000_001, logical: 3 },
      },
      {
        writes: [],
        statsDelta: zeroStats,
        trigger: { kind: 'split', left: range, right: { ...range, generation: 13 } },
        clears: [],
        timestamp: { wall: 1, logical: 0 },
      },
      {
        writes: [],
        statsDelta: zeroStats,
        trigger: { kind: 'change-replicas', range },
        clears: [],
        timestamp: { wall: 1, logical: 0 },
      },
      {
        writes: [{ key: Buffer.from('threshold'), value: undefined }],
        statsDelta: { ...zeroStats, liveCount: 3 },
        trigger: {
          kind: 'merge',
          left: { ...range, generation: 14 },
          right: { ...range, rangeId: asRangeId(8) },
          frozen: {
            appliedIndex: 77,
            at: { wall: 2 ** 51, logical: 9 },
            handover,
          },
        },
        clears: [],
        timestamp: { wall: 1, logical: 0 },
      },
      {
        writes: [],
        statsDelta: zeroStats,
        trigger: { kind: 'hand-over', handover },
        clears: [],
        timestamp: { wall: 1, logical: 0 },
      },
      {
        writes: [{ key: Buffer.from('k'), value: Buffer.from('v') }],
        statsDelta: zeroStats,
        trigger: undefined,
        clears: [],
        timestamp: { wall: 2 ** 51, logical: 0 },
        committed: {
          id: asTxnId('00112233445566778899aabbccddeeff'),
          timestamp: { wall: 2 ** 51 - 7, logical: 3 },
        },
      },
    ];
    for (const command of commands) {
      const split =
        command.trigger?.kind === 'split'
          ? { rightStats: { ...zeroStats, liveCount: 4 } }
          : undefined;
      for (const closed of [0, 1, command.timestamp.wall + 5]) {
        expect(decodeCommand(encodeCommand(command, split, closed))).toEqual({
          ...command,
          split,
          closed,
        });
      }
    }
  });

  it('consistency checks of every mode, and no other', () => {
    const asking = (mode: ChecksumTrigger['mode']): Command => ({
      writes: [],
      statsDelta: zeroStats,
      trigger: { kind: 'compute-checksum', checkId: 2 ** 40, mode },
      clears: [],
      timestamp: { wall: 1, logical: 0 },
    });
    for (const mode of ['data', 'stats'] as const) {
      const decoded = decodeCommand(encodeCommand(asking(mode), undefined, 0));
      expect(decoded.trigger).toEqual(asking(mode).trigger);
    }
    const unknown = 'everything' as ChecksumTrigger['mode'];
    expect(() => encodeCommand(asking(unknown), undefined, 0)).toThrow('consistency check');
  });

  it('installation records', () => {
    const before = { startKey: range.startKey, endKey: range.endKey };
    const record: InstallRecord = {
      header: {
        rangeId: range.rangeId,
        to: asReplicaId(3),
        from: asReplicaId(6),
        term: 4,
        meta: {
          index: 30,
          term: 4,
          configuration: { voters: [3, 6], votersOutgoing: [], learners: [] },
        },
        descriptor: range,
        stats: zeroStats,
        closed: 0,
      },
      hardState: { term: 4, vote: 6, commit: 30 },
      file: 'snapshot-7-1',
      content: { chunks: 2, checksum: 99 },
      before: undefined,
      subsumed: [],
    };
    const wider: InstallRecord = {
      ...record,
      before,
      subsumed: [
        { rangeId: asRangeId(8), startKey: range.endKey, endKey: Buffer.from([0x06]) },
        { rangeId: asRangeId(300), startKey: Buffer.from([0x06]), endKey: Buffer.from([0x07]) },
      ],
    };
    for (const each of [record, wider]) {
      expect(decodeInstallRecord(encodeInstallRecord(each))).toEqual(each);
    }
  });

  it('raft frames', () => {
    const base = { from: 1, to: 2, term: 9 };
    const configuration = { voters: [1, 2], votersOutgoing: [3], learners: [4] };
    const messages: Message[] = [
      { ...base, kind: 'vote-request', pre: true, lastIndex: 4, lastTerm: 2, transfer: false },
      { ...base, kind: 'vote-request', pre: false, lastIndex: 4, lastTerm: 2, transfer: true },
      { ...base, kind: 'vote-response', pre: false, granted: true },
      {
        ...base,
        kind: 'append',
        previousIndex: 10,
        previousTerm: 5,
        entries: [
          { term: 8, index: 11, kind: 'normal', data: Buffer.from('x') },
          { term: 9, index: 12, kind: 'config', data: Buffer.alloc(0) },
        ],
        commit: 10,
      },
      { ...base, kind: 'append-response', index: 3, rejected: true, hintIndex: 2, hintTerm: 1 },
      { ...base, kind: 'heartbeat', commit: 77, round: 300 },
      { ...base, kind: 'heartbeat-response', round: 4 },
      { ...base, kind: 'snapshot', snapshot: { index: 5, term: 4, configuration } },
      { ...base, kind: 'timeout-now' },
    ];
    const frame = {
      fromStore: asStoreId(1),
      toStore: asStoreId(2),
      now: { wall: 1_700_000_000_000_000, logical: 0xffffffff },
      envelopes: messages.map((message) => ({
        rangeId: asRangeId(3),
        message,
        supportEpoch:
          message.kind.endsWith('d-response') || message.kind === 'heartbeat-response' ? 8 : 0,
      })),
    };
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame);
  });
});
