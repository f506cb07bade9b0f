/**
 * Where an advisory lock lies in the keyspace. A lock belongs to a database; one of a single bigint and one of two ints are
 * different locks whatever their numbers.
 *
 *   <lock> 00                       nobody holds it: where those wait who want the lock
 *   <lock> 01 <session> <txn>       held by each that has it for itself
 *   <lock> 02 <session> <txn>       held by each that shares it
 */
import { KeyReader, KeyWriter, systemKey } from '../../encoding/index.ts';
import { asTxnId, type TxnId } from '../../kv/index.ts';
import { must, prefixEnd } from '../../util/index.ts';
import { type Datum } from '../types/index.ts';

const prefix = systemKey('advisory-lock/');
export const sessionIdBytes = 8;

const queuePlace = 0;
const places = { update: 1, share: 2 } as const;

export type LockMode = keyof typeof places;

interface KeySpan {
  readonly start: Buffer;
  readonly end: Buffer;
}

export interface AdvisoryLock {
  readonly databaseId: number;
  /** One bigint or two ints. */
  readonly numbers: readonly bigint[];
}

export function lockOf(databaseId: number, args: readonly Datum[]): AdvisoryLock {
  const numbers = args.flatMap((arg) =>
    typeof arg === 'bigint' || typeof arg === 'number' ? [BigInt(arg)] : [],
  );
  return { databaseId, numbers };
}

export class LockKeys {
  readonly queue: Buffer;
  readonly #lock: Buffer;
  readonly #session: Buffer;

  /** `session`: `sessionIdBytes` long, different for each session. */
  constructor({ databaseId, numbers }: AdvisoryLock, session: Buffer) {
    const writer = new KeyWriter().raw(prefix).uint(databaseId).byte(numbers.length);
    for (const number of numbers) writer.bigint(number);
    this.#lock = writer.finish();
    this.#session = session;
    this.queue = this.#at(queuePlace);
  }

  /** What a transaction of the session holds. */
  own(mode: LockMode, txn: TxnId): Buffer {
    return this.#at(places[mode], this.#session, Buffer.from(txn, 'hex'));
  }

  /** Where anybody may have what keeps others from this mode. */
  inTheWayOf(mode: LockMode): KeySpan {
    const last = mode === 'update' ? places.share : places.update;
    return { start: this.#at(places.update), end: this.#at(last + 1) };
  }

  /** Where other sessions may have the lock in this mode. */
  others(mode: LockMode): readonly KeySpan[] {
    const place = places[mode];
    const own = this.#at(place, this.#session);
    return [
      { start: this.#at(place), end: own },
      { start: must(prefixEnd(own)), end: this.#at(place + 1) },
    ];
  }

  #at(place: number, ...rest: readonly Buffer[]): Buffer {
    return Buffer.concat([this.#lock, Buffer.from([place]), ...rest]);
  }
}

/** What pg_locks tells of a key; undefined for keys of other kinds. */
export function advisoryLockOf(key: Buffer):
  | {
      /** The columns of pg_locks. */
      readonly lock: {
        readonly database: number;
        readonly classid: number;
        readonly objid: number;
        readonly objsubid: number;
      };
      /** Who has the lock by holding this key, and how; undefined of the queue. */
      readonly held: { readonly txn: TxnId; readonly mode: LockMode } | undefined;
    }
  | undefined {
  if (!key.subarray(0, prefix.length).equals(prefix)) return undefined;
  const reader = new KeyReader(key, prefix.length);
  const database = reader.int();
  const isPair = reader.byte() === 2;
  const first = reader.bigint();
  const second = isPair ? reader.bigint() : first;
  const place = reader.byte();
  const txn = asTxnId(key.subarray(reader.position + sessionIdBytes).toString('hex'));
  const mode = place === places.update ? 'update' : 'share';
  const low = (value: bigint): number => Number(BigInt.asUintN(32, value));
  const classid = low(isPair ? first : first >> 32n);
  const lock = { database, classid, objid: low(second), objsubid: isPair ? 2 : 1 };
  return { lock, held: place === queuePlace ? undefined : { txn, mode } };
}
