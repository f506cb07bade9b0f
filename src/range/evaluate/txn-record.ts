/**
 * The stored form of transaction records: a version byte and JSON with base64 for bytes. Only
 * transactions over several ranges and long ones have a record.
 */
import {
  asTxnId,
  recordKeyOf,
  type SequenceSpan,
  type Span,
  type Timestamp,
  type TxnMeta,
  type TxnRecord,
  type TxnStatus,
} from '../../kv/index.ts';
import { CorruptionError, unversionedKey, type EngineReader } from '../../storage/index.ts';

const formatVersion = 1;

interface StoredSpan {
  readonly s: string;
  readonly e?: string;
}

interface StoredRecord {
  readonly meta: Omit<TxnMeta, 'anchor' | 'id' | 'siblings'> & {
    readonly id: string;
    readonly anchor?: string;
  };
  readonly status: TxnStatus;
  readonly lastHeartbeat: Timestamp;
  readonly lockSpans: readonly StoredSpan[];
  readonly inFlight: readonly { readonly key: string; readonly sequence: number }[];
}

export function recordEngineKey(anchor: Buffer, txnId: string): Buffer {
  return unversionedKey(recordKeyOf(anchor, txnId));
}

export function readRecord(
  reader: EngineReader,
  anchor: Buffer,
  txnId: string,
): TxnRecord | undefined {
  const stored = reader.get(recordEngineKey(anchor, txnId));
  return stored === undefined ? undefined : decodeRecord(stored);
}

export function encodeRecord(record: TxnRecord): Buffer {
  const { anchor, siblings: _unsaved, ...meta } = record.meta;
  const stored: StoredRecord = {
    meta: { ...meta, ...(anchor === undefined ? {} : { anchor: anchor.toString('base64') }) },
    status: record.status,
    lastHeartbeat: record.lastHeartbeat,
    lockSpans: record.lockSpans.map(({ start, end }) => ({
      s: start.toString('base64'),
      ...(end === undefined ? {} : { e: end.toString('base64') }),
    })),
    inFlight: record.inFlightWrites.map(({ key, sequence }) => ({
      key: key.toString('base64'),
      sequence,
    })),
  };
  return Buffer.concat([Buffer.from([formatVersion]), Buffer.from(JSON.stringify(stored))]);
}

export function decodeRecord(bytes: Buffer): TxnRecord {
  if (bytes[0] !== formatVersion) throw new CorruptionError('unknown form of a transaction record');
  // Written by `encodeRecord` and protected by the engine's checksum.
  const stored = JSON.parse(bytes.toString('utf8', 1)) as StoredRecord;
  const { anchor, id, ...meta } = stored.meta;
  return {
    meta: {
      ...meta,
      id: asTxnId(id),
      anchor: anchor === undefined ? undefined : Buffer.from(anchor, 'base64'),
      ignoredSequences: meta.ignoredSequences as SequenceSpan[],
    },
    status: stored.status,
    lastHeartbeat: stored.lastHeartbeat,
    lockSpans: stored.lockSpans.map(({ s, e }): Span => ({
      start: Buffer.from(s, 'base64'),
      end: e === undefined ? undefined : Buffer.from(e, 'base64'),
    })),
    inFlightWrites: stored.inFlight.map(({ key, sequence }) => ({
      key: Buffer.from(key, 'base64'),
      sequence,
    })),
  };
}
