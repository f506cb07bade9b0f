/** All range descriptors of a span from the meta records: a scan, where `RangeCache` looks up one at a time. */
import { decodeDescriptor, type RangeDescriptor, type Txn } from '../kv/index.ts';
import { keyMin, meta1Start, meta2Start, metaEnd } from '../encoding/index.ts';
import { maxBytes } from '../util/index.ts';

const pageRows = 1_000;

/**
 * Ranges that overlap [start, end), in key order and without gaps: one snapshot of the meta records. They are filed
 * under end keys (encoding/keyspace.ts), so those that end before `end` are followed by the one that holds the rest.
 */
export async function scanDescriptors(
  txn: Txn,
  start: Buffer,
  end: Buffer,
): Promise<RangeDescriptor[]> {
  const from = maxBytes(start, keyMin);
  const first = from.compare(metaEnd) < 0 ? meta1Start : behind(from);
  const found = new Map<number, RangeDescriptor>();
  const last = behind(end).subarray(0, -1);
  const add = (records: readonly Buffer[]): void => {
    for (const record of records) {
      const range = decodeDescriptor(record);
      const overlaps = range.endKey.compare(from) > 0 && range.startKey.compare(end) < 0;
      // Meta1 and meta2 may both have it.
      if (overlaps) found.set(range.rangeId, range);
    }
  };
  let rest: { readonly start: Buffer; readonly end: Buffer } | undefined = {
    start: first,
    end: last,
  };
  while (rest !== undefined && rest.start.compare(rest.end) < 0) {
    const page = await txn.scan({ ...rest, maxRows: pageRows });
    add(page.values);
    rest = page.resume;
  }
  add((await txn.scan({ start: last, end: metaEnd, maxRows: 1 })).values);
  return [...found.values()].sort((a, b) => a.startKey.compare(b.startKey));
}

/** Meta2 records from here on end behind `key`. */
function behind(key: Buffer): Buffer {
  return Buffer.concat([meta2Start, key, Buffer.from([0])]);
}
