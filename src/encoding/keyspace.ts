/**
 * The keyspace: one ordered map of byte strings, cut into ranges. In physical order:
 *
 *   \x00                        the smallest key; nothing is stored below \x02
 *   \x01 <bytes(anchor)> ...    range-local: addressed by the anchor, so it moves with the anchor's range
 *        \x01 <txn id>            transaction record
 *        \x02                     range descriptor (anchor = start key)
 *   \x02 <key>                  meta1: descriptor of the range that holds meta2 keys up to \x03 <key>
 *   \x03 <key>                  meta2: descriptor of the range that ends at <key>
 *   \x04 <name>                 system counters and single values that SQL does not show
 *   \x05 ...                    tables: <int table id> <int index id> <columns ...>
 *   \xff                        the end of the keyspace (exclusive)
 *
 * The first range holds meta1 whole and is found by gossip. Local keys (\x01) sort below every
 * addressable key and belong to no range by their own bytes: use `addressOf`.
 */
import { KeyReader, KeyWriter } from './ordered.ts';

export const keyMin: Buffer = Buffer.from([0x02]);
export const keyMax: Buffer = Buffer.from([0xff]);

const localPrefix = 0x01;
const meta1Prefix = 0x02;
const meta2Prefix = 0x03;
const systemPrefix = 0x04;
const tablePrefix = 0x05;

export const meta1Start: Buffer = Buffer.from([meta1Prefix]);
export const meta2Start: Buffer = Buffer.from([meta2Prefix]);
export const metaEnd: Buffer = Buffer.from([systemPrefix]);
export const tablesStart: Buffer = Buffer.from([tablePrefix]);

/** Where `key` is found: local keys stand in the range of their anchor. */
export function addressOf(key: Buffer): Buffer {
  if (key[0] !== localPrefix) return key;
  return new KeyReader(key, 1).bytes();
}

export function isLocalKey(key: Buffer): boolean {
  return key[0] === localPrefix;
}

/** `txnId`: 32 hex digits. */
export function txnRecordKey(anchor: Buffer, txnId: string): Buffer {
  return local(anchor).byte(0x01).raw(Buffer.from(txnId, 'hex')).finish();
}

/** Undefined: it is not the key of a transaction record. */
export function txnOfRecordKey(key: Buffer): string | undefined {
  if (!isLocalKey(key)) return undefined;
  const reader = new KeyReader(key, 1);
  reader.bytes();
  const isRecord = reader.byte() === 0x01 && key.length - reader.position === 16;
  return isRecord ? key.toString('hex', reader.position) : undefined;
}

export function rangeDescriptorKey(startKey: Buffer): Buffer {
  return local(startKey).byte(0x02).finish();
}

/** The span of local keys whose anchors lie in [start, end). */
export function localSpanOf(start: Buffer, end: Buffer): { start: Buffer; end: Buffer } {
  return { start: local(start).finish(), end: local(end).finish() };
}

/**
 * The keys under which the descriptor of the range [startKey, endKey) is filed. A range that holds the
 * tail of meta2 and something behind it is found both ways: by its last meta2 keys (meta1 record of
 * the end of meta2, filed under keyMax) and by its other keys (meta2 record of its end).
 */
export function metaRecordKeys(range: { startKey: Buffer; endKey: Buffer }): Buffer[] {
  const { startKey, endKey } = range;
  const keys: Buffer[] = [];
  const holdsMeta2 = startKey.compare(metaEnd) < 0 && endKey.compare(meta2Start) > 0;
  if (holdsMeta2) {
    const reach = endKey.compare(metaEnd) >= 0 ? keyMax : endKey.subarray(1);
    keys.push(Buffer.concat([meta1Start, reach]));
  }
  if (endKey.compare(metaEnd) > 0) keys.push(Buffer.concat([meta2Start, endKey]));
  return keys;
}

/**
 * The meta span to scan (first row wins) for the descriptor of the range that holds `key`. For keys
 * of meta2 it lies in meta1; for keys of meta1 there is none: the first range is gossiped.
 */
export function metaLookupSpan(key: Buffer): { start: Buffer; end: Buffer } | undefined {
  const first = key[0] ?? 0;
  if (first === meta1Prefix) return undefined;
  const inMeta1 = first === meta2Prefix;
  const body = inMeta1 ? key.subarray(1) : key;
  const prefix = inMeta1 ? meta1Prefix : meta2Prefix;
  // Records are filed under end keys, and the end is exclusive: look strictly behind `key`.
  const start = Buffer.concat([Buffer.from([prefix]), body, Buffer.from([0])]);
  return { start, end: Buffer.from([prefix + 1]) };
}

export function systemKey(name: string): Buffer {
  return new KeyWriter().byte(systemPrefix).raw(Buffer.from(name, 'utf8')).finish();
}

/** Appends the prefix of an index to `writer`. */
export function writeIndexPrefix(
  writer: KeyWriter,
  index: { tableId: number; indexId: number },
): KeyWriter {
  return writer.byte(tablePrefix).uint(index.tableId).uint(index.indexId);
}

export function indexPrefix(index: { tableId: number; indexId: number }): Buffer {
  return writeIndexPrefix(new KeyWriter(), index).finish();
}

export function tableKeyPrefix(tableId: number): Buffer {
  return new KeyWriter().byte(tablePrefix).uint(tableId).finish();
}

/** Tables of users begin here; what lies before (catalog, meta records, counters) everybody needs all the time. */
export const userTablesStart: Buffer = tableKeyPrefix(16_384);

/** Table and index id of a row key; undefined for keys outside the tables. */
export function decodeIndexPrefix(
  key: Buffer,
): { tableId: number; indexId: number | undefined; rest: number } | undefined {
  if (key[0] !== tablePrefix || key.length < 2) return undefined;
  const reader = new KeyReader(key, 1);
  const tableId = reader.int();
  if (reader.done) return { tableId, indexId: undefined, rest: reader.position };
  const indexId = reader.int();
  return { tableId, indexId, rest: reader.position };
}

function local(anchor: Buffer): KeyWriter {
  return new KeyWriter().byte(localPrefix).bytes(anchor);
}
