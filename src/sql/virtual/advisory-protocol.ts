/**
 * How a transaction takes an advisory lock. Queues and deadlocks are those of the lock on the `main` key, in the memory of its
 * leaseholder; that the lock is one whatever happens to that memory rests on held keys:
 *
 *   for itself   lock `main` for update, hold it, wait until no other session holds anything else of the lock
 *   shared       lock `main` in share mode, hold a key of one's own, look whether anybody has the lock for itself
 *
 * Both hold before they look, so of two who exclude each other at least one sees the other. The one that wants to share steps back,
 * so they never wait for each other.
 */
import { KvFailure, type Txn, type WaitPolicy } from '../../kv/index.ts';
import { type LockKeys } from './advisory-keys.ts';

export type LockMode = 'share' | 'update';

/** False: somebody else has it, and `wait` was not asked for. A wait that takes too long fails. */
export function takeLock(
  txn: Txn,
  keys: LockKeys,
  mode: LockMode,
  wait: boolean,
): Promise<boolean> {
  const waitPolicy = wait ? 'block' : 'error';
  return mode === 'update'
    ? takeForItself(txn, keys, waitPolicy)
    : takeShared(txn, keys, waitPolicy);
}

async function takeForItself(txn: Txn, keys: LockKeys, waitPolicy: WaitPolicy): Promise<boolean> {
  const before = txn.savepoint();
  if (!(await granted(txn.get(keys.main, { lock: 'update', waitPolicy })))) return false;
  await txn.hold(keys.main);
  const looks = keys.others.map((span) => txn.scan({ ...span, lock: 'update', waitPolicy }));
  if (await granted(Promise.all(looks))) return true;
  txn.rollbackTo(before);
  return false;
}

async function takeShared(txn: Txn, keys: LockKeys, waitPolicy: WaitPolicy): Promise<boolean> {
  for (;;) {
    const before = txn.savepoint();
    if (!(await granted(txn.get(keys.main, { lock: 'share', waitPolicy })))) return false;
    await txn.hold(keys.shared(txn.meta.id));
    const look = txn.scan({ ...keys.exclusives, lock: 'share', waitPolicy: 'error' });
    if (await granted(look)) return true;
    txn.rollbackTo(before);
    if (waitPolicy === 'error') return false;
  }
}

/**
 * For a session of which `txn` has the lock in this mode or a stronger one: another transaction of it gets it, too, without waiting for
 * anybody who waits for `txn`.
 */
export async function takeBeside(
  other: Txn,
  txn: Txn,
  keys: LockKeys,
  mode: LockMode,
): Promise<void> {
  const { id } = other.meta;
  await other.hold(mode === 'update' ? keys.beside(id) : keys.shared(id));
  // Still there: whoever wants the lock meets what is held from now on.
  await txn.get(keys.main, { lock: mode });
}

export function hasLock(txn: Txn, keys: LockKeys, mode: LockMode): boolean {
  const { id } = txn.meta;
  if (txn.holds(keys.main) || txn.holds(keys.beside(id))) return true;
  return mode === 'share' && txn.holds(keys.shared(id));
}

async function granted(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    const { kvError } = error;
    if (kvError.kind === 'lock-not-available' && !kvError.timedOut) return false;
    throw error;
  }
}
