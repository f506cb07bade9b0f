/**
 * Protected timestamps: what somebody, a backup for instance, reads at a timestamp for so long that garbage collection would
 * overtake it. A record keeps every range of its spans from collecting what a read at its timestamp needs, however short
 * `gc.ttlseconds` is (trap T13). It lives as long as the job that owns it.
 *
 *     protect (in a transaction) -> wait `protectionDelayMs` -> isProtected -> read at the timestamp -> releaseProtection
 *
 * The wait is for stores that have read the records just before; one that protects its own present (a timestamp not
 * older than the transaction that writes the record) needs none of it: nothing so young is ever collected.
 */
import { systemKey } from '../encoding/index.ts';
import { type Db, type Txn } from './db.ts';
import { compareTimestamps, isTimestamp, type Timestamp } from './hlc.ts';

export interface ProtectedSpan {
  readonly start: Buffer;
  readonly end: Buffer;
}

export interface ProtectedTimestamp {
  /** Anything without a slash; drawn by the owner. */
  readonly id: string;
  readonly spans: readonly ProtectedSpan[];
  readonly timestamp: Timestamp;
  /** The job that owns it (its id in decimal). */
  readonly owner: string;
}

/** A store goes by records that it has read within this time. */
export const protectionDelayMs = 5_000;

/** All records. */
export const protectedTimestamps: ProtectedSpan = {
  start: systemKey('protected-timestamp/'),
  end: systemKey('protected-timestamp0'),
};

function keyOf(id: string): Buffer {
  return systemKey(`protected-timestamp/${id}`);
}

export function protect(txn: Txn, record: ProtectedTimestamp): void {
  txn.put(keyOf(record.id), encode(record));
}

export function releaseProtection(txn: Txn, id: string): void {
  txn.delete(keyOf(id));
}

export async function readProtected(txn: Txn): Promise<ProtectedTimestamp[]> {
  const records: ProtectedTimestamp[] = [];
  for (let { start, end } = protectedTimestamps; ;) {
    const page = await txn.scan({ start, end });
    records.push(...page.values.map(decode));
    if (page.resume === undefined) return records;
    ({ start, end } = page.resume);
  }
}

/** Nothing that the record protects was collected, or will be. To be asked `protectionDelayMs` after its commit. */
export async function isProtected(
  db: Pick<Db, 'ranges'>,
  { spans, timestamp }: Pick<ProtectedTimestamp, 'spans' | 'timestamp'>,
): Promise<boolean> {
  for (const { start, end } of spans) {
    for (const { gcThreshold } of await db.ranges(start, end)) {
      if (compareTimestamps(timestamp, gcThreshold) < 0) return false;
    }
  }
  return true;
}

function encode({ id, spans, timestamp, owner }: ProtectedTimestamp): Buffer {
  const hex = spans.map(({ start, end }) => [start.toString('hex'), end.toString('hex')]);
  return Buffer.from(JSON.stringify({ format: 1, id, spans: hex, timestamp, owner }));
}

/** Throws a RangeError (or a SyntaxError) on bytes that `encode` does not make. */
function decode(encoded: Buffer): ProtectedTimestamp {
  const stored: unknown = JSON.parse(encoded.toString('utf8'));
  if (typeof stored !== 'object' || stored === null || Reflect.get(stored, 'format') !== 1) {
    throw new RangeError('a protected timestamp of an unknown format');
  }
  const id: unknown = Reflect.get(stored, 'id');
  const owner: unknown = Reflect.get(stored, 'owner');
  const timestamp: unknown = Reflect.get(stored, 'timestamp');
  const spans: unknown = Reflect.get(stored, 'spans');
  if (
    typeof id !== 'string' ||
    typeof owner !== 'string' ||
    !isTimestamp(timestamp) ||
    !Array.isArray(spans)
  ) {
    throw new RangeError('a protected timestamp lacks a part');
  }
  return { id, owner, timestamp, spans: spans.map(decodeSpan) };
}

function decodeSpan(stored: unknown): ProtectedSpan {
  const [start, end]: unknown[] = Array.isArray(stored) ? stored : [];
  if (typeof start !== 'string' || typeof end !== 'string') {
    throw new RangeError('a protected timestamp has a span that is none');
  }
  return { start: Buffer.from(start, 'hex'), end: Buffer.from(end, 'hex') };
}
