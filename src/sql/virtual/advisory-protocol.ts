/**
 * How a transaction takes an advisory lock. Who has one holds a key of its own (`advisory-keys.ts`), and that alone makes the lock one,
 * whatever becomes of leaseholders and their memory: all but those who join their own session first hold their key, then look for keys
 * of other sessions, so of two who exclude each other at least one sees the other.
 *
 *   newcomer   locks the queue in its mode, holds its key and looks. Who meets others steps back, keeps its place in the queue, and
 *              waits for them at their keys without holding one; then tries again.
 *   upgrade    of a session that shares the lock: holds its key and waits, by-passing the queue, since those in it wait for the session.
 *              Newcomers meet that key. Two that upgrade wait for each other: a deadlock.
 *   joining    of a session that has the lock in that mode or a stronger one: holds its key, then makes sure that the other transaction
 *              still holds its own. Waits for nobody.
 *
 * The lock on the queue is in the memory of its leaseholder. It makes the order fair and tells that somebody waits; those who joined or
 * upgraded, and all after the loss of that memory, are met at their keys.
 *
 * Nobody holds a key while it waits but for those who upgrade. A waiter in the queue waits for keys of others, and they wait for the
 * queue only if they have no key of this lock: so these waits are circles only where the client made one.
 *
 * INVARIANT: who looks for all others looks for 'update' first, then for 'share'. A session goes from key to key by joining, without a
 * gap but from stronger to weaker: in the other order it could slip through.
 */
import { KvFailure, type Txn, type WaitPolicy } from '../../kv/index.ts';
import { type LockKeys, type LockMode } from './advisory-keys.ts';

/** Nobody in the session has the lock. False: somebody else has it, and `wait` was not asked for. A wait that takes too long fails. */
export async function takeAsNewcomer(
  txn: Txn,
  keys: LockKeys,
  mode: LockMode,
  wait: boolean,
): Promise<boolean> {
  const look = (waitPolicy: WaitPolicy): Promise<boolean> =>
    granted(txn.scan({ ...keys.inTheWayOf(mode), lock: mode, waitPolicy }));
  // Who is refused leaves nothing that others could meet meanwhile.
  if (!wait && !(await look('error'))) return false;
  const waitPolicy = wait ? 'block' : 'error';
  const before = txn.savepoint();
  for (;;) {
    if (!(await granted(txn.get(keys.queue, { lock: mode, waitPolicy })))) return false;
    const queued = txn.savepoint();
    await txn.hold(keys.own(mode, txn.meta.id));
    const [isFree] = await Promise.all([look('error'), show(txn, keys, mode)]);
    if (isFree) return true;
    txn.rollbackTo(wait ? queued : before);
    if (!wait) return false;
    await look('block');
    // Those whose end it has waited for have left it locks on their keys.
    txn.rollbackTo(queued);
  }
}

/** The session shares the lock: `txn` gets it for itself. False as above. */
export async function takeAsUpgrade(txn: Txn, keys: LockKeys, wait: boolean): Promise<boolean> {
  const before = txn.savepoint();
  if (!wait && !(await isAlone(txn, keys, 'error'))) return false;
  await txn.hold(keys.own('update', txn.meta.id));
  const looks = [isAlone(txn, keys, wait ? 'block' : 'error'), show(txn, keys, 'update')] as const;
  if ((await Promise.all(looks))[0]) return true;
  txn.rollbackTo(before);
  return false;
}

/** Another transaction of the session has the lock in this mode or a stronger one: it is to be `confirmed` behind that. */
export async function join(
  txn: Txn,
  keys: LockKeys,
  mode: LockMode,
  confirmed: () => Promise<void>,
): Promise<void> {
  await txn.hold(keys.own(mode, txn.meta.id));
  await Promise.all([show(txn, keys, mode), confirmed()]);
}

/** Fails when `txn`, which had the lock in this mode or a stronger one, does not have it any more. */
export async function confirm(txn: Txn, keys: LockKeys, mode: LockMode): Promise<void> {
  await show(txn, keys, holds(txn, keys, 'update') ? 'update' : mode);
}

/** A held key that is locked as well appears in pg_locks. Whoever has it is not kept waiting. */
async function show(txn: Txn, keys: LockKeys, mode: LockMode): Promise<void> {
  await txn.get(keys.own(mode, txn.meta.id), { lock: mode });
}

export function hasLock(txn: Txn, keys: LockKeys, mode: LockMode): boolean {
  return holds(txn, keys, 'update') || holds(txn, keys, mode);
}

function holds(txn: Txn, keys: LockKeys, mode: LockMode): boolean {
  return txn.holds(keys.own(mode, txn.meta.id));
}

/** No other session has the lock. */
async function isAlone(txn: Txn, keys: LockKeys, waitPolicy: WaitPolicy): Promise<boolean> {
  for (const mode of ['update', 'share'] as const) {
    const looks = keys
      .others(mode)
      .map((span) => txn.scan({ ...span, lock: 'update', waitPolicy }));
    if (!(await granted(Promise.all(looks)))) return false;
  }
  return true;
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
