import { describe, expect, it } from 'vitest';
import { keyMax, keyMin, rangeDescriptorKey, txnRecordKey } from '../../src/encoding/index.ts';
import { asRangeId, asTxnId, compareTimestamps } from '../../src/kv/index.ts';
import {
  CorruptionError,
  decodeHead,
  decodeRangeStateKey,
  decodeVersion,
  decodeVersionKey,
  encodeHead,
  encodeVersion,
  headKey,
  rangeSpans,
  rangeStateKey,
  rangeStateSpan,
  unversionedKey,
  versionKey,
  versionsOf,
  type EngineSpan,
  type HeadRecord,
  type Intent,
} from '../../src/storage/index.ts';
import { SeededRandom } from '../random.ts';

function timestamp(random: SeededRandom): { wall: number; logical: number } {
  const wall = Math.min(2 ** random.below(54), Number.MAX_SAFE_INTEGER) - random.below(2);
  return { wall, logical: random.below(2) === 0 ? 0 : random.u32() };
}

function bytes(random: SeededRandom): Buffer {
  return random.bytes(random.below(random.below(10) === 0 ? 400 : 20));
}

function optional(random: SeededRandom): Buffer | undefined {
  return random.below(3) === 0 ? undefined : bytes(random);
}

function intent(random: SeededRandom): Intent {
  const history = Array.from({ length: random.below(4) }, (_, i) => ({
    sequence: i * 1000,
    value: optional(random),
  }));
  return {
    txnId: asTxnId(random.bytes(16).toString('hex')),
    anchor: bytes(random),
    epoch: random.below(300),
    priority: random.u32(),
    isolation:
      (['serializable', 'snapshot', 'read-committed'] as const)[random.below(3)] ?? 'snapshot',
    minTimestamp: timestamp(random),
    timestamp: timestamp(random),
    sequence: 5000 + random.below(1_000_000_000),
    value: optional(random),
    history,
  };
}

function head(random: SeededRandom): HeadRecord {
  const kind = random.below(3);
  return {
    timestamp: kind === 0 ? undefined : timestamp(random),
    value: kind === 0 ? undefined : optional(random),
    intent: kind === 1 ? undefined : intent(random),
  };
}

const inside = (key: Buffer, span: EngineSpan): boolean =>
  key.compare(span.start) >= 0 && key.compare(span.end) < 0;

describe('records and engine keys', () => {
  it('head records come back as they went', () => {
    const random = new SeededRandom(1);
    for (let i = 0; i < 3000; i++) {
      const record = head(random);
      expect(decodeHead(encodeHead(record))).toEqual(record);
      const value = optional(random);
      expect(decodeVersion(encodeVersion(value))).toEqual(value);
    }
  });

  it('a damaged head record is an error or another record, never a crash', () => {
    const random = new SeededRandom(2);
    for (let i = 0; i < 3000; i++) {
      const record = encodeHead(head(random));
      const cut = record.subarray(0, random.below(record.length + 1));
      if (cut.length > 0) cut[random.below(cut.length)] = random.below(256);
      try {
        decodeHead(cut);
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptionError);
      }
    }
  });

  it('versions sort by key, then newest first', () => {
    const random = new SeededRandom(3);
    for (let i = 0; i < 3000; i++) {
      const [a, b] = [random.bytes(random.below(3)), random.bytes(random.below(3))];
      const [s, t] = [timestamp(random), timestamp(random)];
      const [x, y] = [versionKey(a, s), versionKey(b, t)];
      const order = a.compare(b) === 0 ? compareTimestamps(t, s) : a.compare(b);
      expect(Math.sign(x.compare(y))).toBe(Math.sign(order));
      expect(decodeVersionKey(x)).toEqual({ key: a, timestamp: s });
      expect(inside(y, versionsOf(a))).toBe(a.equals(b));
    }
  });

  it('the spans of ranges part everything that belongs to their keys', () => {
    const cut = Buffer.from('\x05m', 'latin1');
    const left = rangeSpans({ startKey: keyMin, endKey: cut });
    const right = rangeSpans({ startKey: cut, endKey: keyMax });
    const txnId = '00112233445566778899aabbccddeeff';
    for (const text of ['\x02', '\x05a', '\x05l\xff', '\x05m', '\x05m\x00', '\x05z', '\xfe']) {
      const key = Buffer.from(text, 'latin1');
      const belongsLeft = key.compare(cut) < 0;
      for (const one of [key, txnRecordKey(key, txnId), rangeDescriptorKey(key)]) {
        for (const engineKey of [
          headKey(one),
          unversionedKey(one),
          versionKey(one, { wall: 5, logical: 1 }),
        ]) {
          expect(left.filter((span) => inside(engineKey, span)).length).toBe(belongsLeft ? 1 : 0);
          expect(right.filter((span) => inside(engineKey, span)).length).toBe(belongsLeft ? 0 : 1);
        }
      }
    }
    for (const spans of [left, right]) {
      for (let i = 1; i < spans.length; i++) {
        expect(spans[i - 1]?.end.compare(spans[i]?.start ?? keyMin)).toBeLessThanOrEqual(0);
      }
    }
  });

  it('range state stands under its range', () => {
    for (const id of [1, 255, 256, 2 ** 40]) {
      const key = rangeStateKey(asRangeId(id), 'applied');
      expect(inside(key, rangeStateSpan(asRangeId(id)))).toBe(true);
      expect(inside(key, rangeStateSpan(asRangeId(id + 1)))).toBe(false);
      expect(decodeRangeStateKey(key)).toEqual({ rangeId: id, name: 'applied' });
    }
  });
});
