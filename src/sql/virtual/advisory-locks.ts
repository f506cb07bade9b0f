/**
 * Advisory locks. A transaction's lock is a lock on a key that the transaction itself holds; a session's
 * lock is held by a transaction of its own that stays open until the unlock. So they exclude each other over all
 * nodes, take part in deadlock detection, and vanish with a node that dies.
 */
import { KeyReader, KeyWriter, systemKey } from '../../encoding/index.ts';
import { KvFailure, type Db, type Txn } from '../../kv/index.ts';
import { type Datum } from '../types/index.ts';

const maxLocks = 1000;

export class AdvisoryLocks {
  readonly #db: Db;
  readonly #held = new Map<string, { readonly txn: Txn; count: number }>();

  constructor(db: Db) {
    this.#db = db;
  }

  /** Takes a lock; false when `wait` is false and somebody else holds it. */
  async take(
    args: readonly Datum[],
    options: { readonly shared: boolean; readonly wait: boolean; readonly txn: Txn | undefined },
  ): Promise<boolean> {
    const key = lockKey(args);
    const read = {
      lock: options.shared ? ('share' as const) : ('update' as const),
      waitPolicy: options.wait ? ('block' as const) : ('error' as const),
    };
    if (options.txn !== undefined) return granted(options.txn.get(key, read));
    const name = `${options.shared ? 's' : 'x'}${key.toString('latin1')}`;
    const held = this.#held.get(name);
    if (held !== undefined) {
      held.count++;
      return true;
    }
    if (this.#held.size >= maxLocks)
      throw new KvFailure({ kind: 'too-large', reason: 'too many advisory locks' });
    const txn = this.#db.begin({ name: 'advisory lock' });
    try {
      const isGranted = await granted(txn.get(key, read));
      if (isGranted) this.#held.set(name, { txn, count: 1 });
      else await txn.rollback();
      return isGranted;
    } catch (error) {
      await txn.rollback();
      throw error;
    }
  }

  /** False when the session does not hold it. */
  async release(args: readonly Datum[], shared: boolean): Promise<boolean> {
    const name = `${shared ? 's' : 'x'}${lockKey(args).toString('latin1')}`;
    const held = this.#held.get(name);
    if (held === undefined) return false;
    held.count--;
    if (held.count > 0) return true;
    this.#held.delete(name);
    await held.txn.rollback();
    return true;
  }

  async releaseAll(): Promise<void> {
    const all = [...this.#held.values()];
    this.#held.clear();
    for (const { txn } of all) await txn.rollback();
  }
}

const prefix = systemKey('advisory-lock/');

/** Columns of pg_locks for the key of an advisory lock; undefined: it is none. */
export function advisoryLockOf(
  key: Buffer,
): { readonly classid: number; readonly objid: number; readonly objsubid: number } | undefined {
  if (!key.subarray(0, prefix.length).equals(prefix)) return undefined;
  const reader = new KeyReader(key, prefix.length);
  const isPair = reader.byte() === 2;
  const first = BigInt.asUintN(64, reader.bigint());
  const second = isPair ? BigInt.asUintN(64, reader.bigint()) : first;
  const low = (value: bigint): number => Number(value & 0xffff_ffffn);
  return {
    classid: low(isPair ? first : first >> 32n),
    objid: low(second),
    objsubid: isPair ? 2 : 1,
  };
}

function lockKey(args: readonly Datum[]): Buffer {
  const writer = new KeyWriter().raw(prefix).byte(args.length);
  for (const arg of args) {
    if (typeof arg === 'bigint' || typeof arg === 'number') writer.bigint(BigInt(arg));
  }
  return writer.finish();
}

async function granted(reading: Promise<unknown>): Promise<boolean> {
  try {
    await reading;
    return true;
  } catch (error) {
    if (error instanceof KvFailure && error.kvError.kind === 'lock-not-available') return false;
    throw error;
  }
}
