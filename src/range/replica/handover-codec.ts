/** The bytes of a handover in the raft log. */
import {
  asTxnId,
  zeroTimestamp,
  type FinishedTxn,
  type Handover,
  type HeldLock,
  type IsolationLevel,
  type LockOwner,
  type Timestamp,
  type TxnId,
  type TxnTombstone,
} from '../../kv/index.ts';
import { assert, copyBytes } from '../../util/index.ts';
import { type ByteReader, type ByteWriter } from './byte-codec.ts';

const isolationLevels: readonly IsolationLevel[] = ['serializable', 'snapshot', 'read-committed'];
/** In the order in which they came into the format. */
const strengths = ['share', 'update', 'key-share', 'no-key-update'] as const;
const endings = ['committed', 'aborted'] as const;
/** In the place of an ending: the transaction was pushed only. */
const notEnded = endings.length;

export function writeHandover(out: ByteWriter, handover: Handover): void {
  const { locks, tombstones, txnsUpTo } = handover;
  writeTimestamp(out, txnsUpTo);
  out.uint(locks.length);
  for (const { key, owner, strength } of locks) {
    out.bytes(key).byte(strengths.indexOf(strength));
    writeOwner(out, owner);
  }
  out.uint(tombstones.length);
  for (const tombstone of tombstones) writeTombstone(out, tombstone);
}

/** Shares nothing with the reader's memory. */
export function readHandover(reader: ByteReader): Handover {
  const txnsUpTo = readTimestamp(reader);
  const locks: HeldLock[] = [];
  for (let left = reader.uint(); left > 0; left--) {
    const key = copyBytes(reader.bytes());
    const strength = oneOf(strengths, reader.byte());
    locks.push({ key, strength, owner: readOwner(reader) });
  }
  const tombstones: TxnTombstone[] = [];
  for (let left = reader.uint(); left > 0; left--) tombstones.push(readTombstone(reader));
  return { locks, tombstones, txnsUpTo };
}

function writeOwner(out: ByteWriter, owner: LockOwner): void {
  writeTxnId(out, owner.id);
  // 0 for none, like the values of writes.
  out.uint(owner.anchor === undefined ? 0 : owner.anchor.length + 1);
  if (owner.anchor !== undefined) out.raw(owner.anchor);
  out.uint(owner.epoch).byte(isolationLevels.indexOf(owner.isolation)).uint(owner.priority);
  writeTimestamp(out, owner.writeTimestamp);
  writeTimestamp(out, owner.minTimestamp);
  out.uint(owner.sequence);
}

function readOwner(reader: ByteReader): LockOwner {
  const id = readTxnId(reader);
  const size = reader.uint();
  return {
    id,
    anchor: size === 0 ? undefined : copyBytes(reader.raw(size - 1)),
    epoch: reader.uint(),
    isolation: oneOf(isolationLevels, reader.byte()),
    priority: reader.uint(),
    writeTimestamp: readTimestamp(reader),
    minTimestamp: readTimestamp(reader),
    sequence: reader.uint(),
  };
}

function writeTombstone(out: ByteWriter, { txnId, finished, pushedTo, at }: TxnTombstone): void {
  writeTxnId(out, txnId);
  writeTimestamp(out, at);
  writeTimestamp(out, pushedTo);
  if (finished === undefined) {
    out.byte(notEnded);
    return;
  }
  const ending = endings.findIndex((each) => each === finished.status);
  assert(ending >= 0, 'a transaction with a tombstone has ended');
  out.byte(ending).uint(finished.epoch);
  writeTimestamp(out, finished.timestamp);
  out.uint(finished.ignoredSequences.length);
  for (const { from, to } of finished.ignoredSequences) out.uint(from).uint(to);
}

function readTombstone(reader: ByteReader): TxnTombstone {
  const txnId = readTxnId(reader);
  const at = readTimestamp(reader);
  const pushedTo = readTimestamp(reader);
  const ending = reader.byte();
  if (ending === notEnded) return { txnId, finished: undefined, pushedTo, at };
  const status = oneOf(endings, ending);
  const epoch = reader.uint();
  const timestamp = readTimestamp(reader);
  const ignoredSequences: FinishedTxn['ignoredSequences'][number][] = [];
  for (let left = reader.uint(); left > 0; left--) {
    ignoredSequences.push({ from: reader.uint(), to: reader.uint() });
  }
  return {
    txnId,
    finished: { id: txnId, epoch, status, timestamp, ignoredSequences },
    pushedTo,
    at,
  };
}

export function writeTxnId(out: ByteWriter, id: TxnId): void {
  out.bytes(Buffer.from(id, 'hex'));
}

export function readTxnId(reader: ByteReader): TxnId {
  return asTxnId(reader.bytes().toString('hex'));
}

export function writeTimestamp(out: ByteWriter, { wall, logical }: Timestamp): void {
  out.uint(wall).uint(logical);
}

export function readTimestamp(reader: ByteReader): Timestamp {
  const wall = reader.uint();
  const logical = reader.uint();
  return wall === 0 && logical === 0 ? zeroTimestamp : { wall, logical };
}

function oneOf<T>(values: readonly T[], code: number): T {
  const value = values[code];
  if (value === undefined) throw new RangeError('a handover holds an unknown code');
  return value;
}
