import { describe, expect, it } from 'vitest';
import {
  addressOf,
  decodeIndexPrefix,
  indexPrefix,
  isLocalKey,
  keyMax,
  keyMin,
  localSpanOf,
  metaLookupSpan,
  metaRecordKeys,
  rangeDescriptorKey,
  systemKey,
  tableKeyPrefix,
  tablesStart,
  txnRecordKey,
} from '../../src/encoding/index.ts';
import { SeededRandom } from '../random.ts';

describe('keyspace', () => {
  it('local keys stand in the range of their anchor and sort as the anchors do', () => {
    const txnId = '00112233445566778899aabbccddeeff';
    const anchors = ['\x05', '\x05\x00', '\x05\x00\x01', '\x05\x01', '\x06', '\xfe'].map((text) =>
      Buffer.from(text, 'latin1'),
    );
    for (const [i, anchor] of anchors.entries()) {
      for (const key of [txnRecordKey(anchor, txnId), rangeDescriptorKey(anchor)]) {
        expect(isLocalKey(key)).toBe(true);
        expect(addressOf(key)).toEqual(anchor);
        for (const [j, other] of anchors.entries()) {
          const span = localSpanOf(other, keyMax);
          expect(key.compare(span.start) >= 0 && key.compare(span.end) < 0).toBe(i >= j);
        }
      }
    }
    const plain = Buffer.from('\x05abc', 'latin1');
    expect(addressOf(plain)).toBe(plain);
    expect(isLocalKey(plain)).toBe(false);
  });

  it('tables sort by table, then index, and say so', () => {
    const prefixes = [
      tablesStart,
      tableKeyPrefix(1),
      indexPrefix({ tableId: 1, indexId: 1 }),
      indexPrefix({ tableId: 1, indexId: 300 }),
      tableKeyPrefix(2),
      indexPrefix({ tableId: 256, indexId: 1 }),
      keyMax,
    ];
    const sorted = prefixes.toSorted((a, b) => a.compare(b));
    expect(sorted).toEqual(prefixes);
    expect(decodeIndexPrefix(indexPrefix({ tableId: 1, indexId: 300 }))).toMatchObject({
      tableId: 1,
      indexId: 300,
    });
    expect(decodeIndexPrefix(tableKeyPrefix(7))).toMatchObject({ tableId: 7, indexId: undefined });
    expect(decodeIndexPrefix(systemKey('x'))).toBeUndefined();
    expect(systemKey('zz').compare(tablesStart)).toBeLessThan(0);
  });

  it('meta lookups find the range that holds a key, however the keyspace is cut', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed);
      const someKey = (): Buffer => {
        const first = 2 + random.below(5);
        return Buffer.concat([
          Buffer.from([first]),
          Buffer.from([...Array(random.below(4)).keys()].map(() => random.below(3) * 127)),
        ]);
      };
      // The first range holds meta1 whole.
      const cuts = [...Array(random.below(12)).keys()]
        .map(someKey)
        .filter((key) => (key[0] ?? 0) > 2);
      const bounds = [keyMin, ...cuts, keyMax].toSorted((a, b) => a.compare(b));
      const ranges: { startKey: Buffer; endKey: Buffer }[] = [];
      for (let i = 1; i < bounds.length; i++) {
        const [startKey, endKey] = [bounds[i - 1] ?? keyMin, bounds[i] ?? keyMax];
        if (!startKey.equals(endKey)) ranges.push({ startKey, endKey });
      }
      const records = ranges
        .flatMap((range) => metaRecordKeys(range).map((key) => ({ key, range })))
        .toSorted((a, b) => a.key.compare(b.key));
      for (let i = 1; i < records.length; i++) {
        expect(records[i]?.key.equals(records[i - 1]?.key ?? keyMin), `seed ${seed}`).toBe(false);
      }
      for (let i = 0; i < 60; i++) {
        const key =
          random.below(3) === 0 ? (bounds[random.below(bounds.length - 1)] ?? keyMin) : someKey();
        const holder = ranges.find(
          (range) => key.compare(range.startKey) >= 0 && key.compare(range.endKey) < 0,
        );
        const span = metaLookupSpan(key);
        if (span === undefined) {
          expect(holder, `seed ${seed}`).toBe(ranges[0]);
          continue;
        }
        const found = records.find(
          (record) => record.key.compare(span.start) >= 0 && record.key.compare(span.end) < 0,
        );
        expect(found?.range, `seed ${seed} key ${key.toString('hex')}`).toBe(holder);
      }
    }
  });
});
