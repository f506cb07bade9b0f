/**
 * Where an advisory lock lies in the keyspace. A lock belongs to a database; one of a single bigint and one of two ints are
 * different locks whatever their numbers.
 *
 *   <lock> 00                       held by who has the lock for itself; locked by all who want it
 *   <lock> 01 <session> <txn>       the same, of a session that has it more than once
 *   <lock> 02 <session> <txn>       held by each of those who share it
 */
import { KeyReader, KeyWriter, systemKey } from '../../encoding/index.ts';
import { type TxnId } from '../../kv/index.ts';
import { must, prefixEnd } from '../../util/index.ts';
import { type Datum } from '../types/index.ts';

const prefix = systemKey('advisory-lock/');
const mainPlace = 0;
const besidePlace = 1;
const sharedPlace = 2;

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
  readonly main: Buffer;
  readonly #lock: Buffer;
  readonly #session: Buffer;

  /** `session`: of a fixed length, different for each session. */
  constructor({ databaseId, numbers }: AdvisoryLock, session: Buffer) {
    const writer = new KeyWriter().raw(prefix).uint(databaseId).byte(numbers.length);
    for (const number of numbers) writer.bigint(number);
    this.#lock = writer.finish();
    this.#session = session;
    this.main = this.#at(mainPlace);
  }

  shared(txn: TxnId): Buffer {
    return this.#at(sharedPlace, this.#session, Buffer.from(txn, 'hex'));
  }

  beside(txn: TxnId): Buffer {
    return this.#at(besidePlace, this.#session, Buffer.from(txn, 'hex'));
  }

  /** Where others may have the lock for themselves. */
  get exclusives(): { readonly start: Buffer; readonly end: Buffer } {
    return { start: this.main, end: this.#at(sharedPlace) };
  }

  /** Where other sessions may have it, `main` aside. */
  get others(): readonly { readonly start: Buffer; readonly end: Buffer }[] {
    return [besidePlace, sharedPlace].flatMap((place) => {
      const own = this.#at(place, this.#session);
      return [
        { start: this.#at(place), end: own },
        { start: must(prefixEnd(own)), end: this.#at(place + 1) },
      ];
    });
  }

  #at(place: number, ...rest: readonly Buffer[]): Buffer {
    return Buffer.concat([this.#lock, Buffer.from([place]), ...rest]);
  }
}

/** The columns of pg_locks for a lock whose `main` key this is; undefined for all other keys. */
export function advisoryLockOf(key: Buffer):
  | {
      readonly database: number;
      readonly classid: number;
      readonly objid: number;
      readonly objsubid: number;
    }
  | undefined {
  if (!key.subarray(0, prefix.length).equals(prefix) || key.at(-1) !== mainPlace) return undefined;
  const reader = new KeyReader(key, prefix.length);
  const database = reader.int();
  const isPair = reader.byte() === 2;
  const first = reader.bigint();
  const second = isPair ? reader.bigint() : first;
  if (key.length !== reader.position + 1) return undefined;
  const low = (value: bigint): number => Number(BigInt.asUintN(32, value));
  const classid = low(isPair ? first : first >> 32n);
  return { database, classid, objid: low(second), objsubid: isPair ? 2 : 1 };
}
