/**
 * The advisory locks of one session (PostgreSQL, chapter "Advisory Locks").
 *
 * A transaction's lock is held by that transaction: it goes with its end or a rollback to an earlier savepoint, and a transaction
 * that has lost it (nothing was heard of its node for seconds) cannot commit. A session's lock is held by a transaction of its own
 * that stays open until the unlock. A session is never in its own way: what one of its transactions has others take beside it.
 *
 * INVARIANT: of one session, one transaction at most has or wants the lock on a `main` key; others of it stand beside.
 */
import { KvFailure, type Db, type Txn } from '../../kv/index.ts';
import { must, sleep, type Env } from '../../util/index.ts';
import { LockKeys, type AdvisoryLock } from './advisory-keys.ts';
import { hasLock, takeBeside, takeLock, type LockMode } from './advisory-protocol.ts';

const maxLocks = 1000;
const pollMs = 100;
const sessionIdBytes = 8;
const none: readonly Txn[] = [];

interface SessionLock {
  readonly keys: LockKeys;
  /** The first one has the lock on the `main` key or wants it; what they hold together is of `mode`. */
  txns: readonly Txn[];
  mode: LockMode;
  /** How often the session has taken it in each mode. */
  readonly counts: { share: number; update: number };
  /** The transaction of statements that asked for it when the session had it, and stands beside the first one. */
  rider: Txn | undefined;
}

export interface Taking {
  readonly mode: LockMode;
  readonly wait: boolean;
  readonly scope: 'session' | 'transaction';
  /** Of the statement that asks. */
  readonly txn: Txn;
  /** Throws when the statement was cancelled. */
  readonly checkCanceled: () => void;
}

export class AdvisoryLocks {
  readonly #env: Env;
  readonly #db: Db;
  readonly #lockTimeoutMs: () => number;
  readonly #id: Buffer;
  readonly #held = new Map<string, SessionLock>();
  /** Made for a lock that is not held yet. */
  #wanting: Txn | undefined;
  /** Of the latest statement that asked for a lock. */
  #asking: Txn | undefined;
  /** What the run of a statement that is under way has taken for the session, once for each time. */
  #taken: { readonly lock: AdvisoryLock; readonly mode: LockMode }[] = [];
  #hasReleased = false;

  /** `lockTimeoutMs`: longest wait now; 0: without limit. */
  constructor(env: Env, db: Db, lockTimeoutMs: () => number) {
    this.#env = env;
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#db = db;
    this.#id = env.random.bytes(sessionIdBytes);
  }

  /** The session's own. */
  get transactions(): readonly Txn[] {
    if (this.#held.size === 0 && this.#wanting === undefined) return none;
    const held = [...this.#held.values()].flatMap(({ txns }) => txns);
    return this.#wanting === undefined ? held : [...held, this.#wanting];
  }

  /** False when `wait` is false and another session has it. */
  async take(lock: AdvisoryLock, taking: Taking): Promise<boolean> {
    const keys = new LockKeys(lock, this.#id);
    this.#asking = taking.txn;
    const held = await this.#find(keys);
    if (taking.scope === 'transaction') return this.#takeForTransaction(keys, held, taking);
    if (!(await this.#takeForSession(keys, held, taking))) return false;
    this.#taken.push({ lock, mode: taking.mode });
    return true;
  }

  /** A statement begins, or is run again. */
  beginStatement(): void {
    if (this.#taken.length > 0) this.#taken = [];
    this.#hasReleased = false;
  }

  /** What `work` takes and gives up for the session is not the statement's: it stays when that is run again. */
  async apart(work: () => Promise<void>): Promise<void> {
    const taken = this.#taken;
    const hasReleased = this.#hasReleased;
    this.#taken = [];
    try {
      await work();
    } finally {
      this.#taken = taken;
      this.#hasReleased = hasReleased;
    }
  }

  /** Before it is run again: false when it cannot be, since it has given up what others may have taken. */
  async undoStatement(): Promise<boolean> {
    if (this.#hasReleased) return false;
    for (const { lock, mode } of this.#taken.splice(0)) await this.#release(lock, mode);
    return true;
  }

  async #takeForTransaction(
    keys: LockKeys,
    held: SessionLock | undefined,
    taking: Taking,
  ): Promise<boolean> {
    const { mode, wait, txn } = taking;
    if (hasLock(txn, keys, mode)) return true;
    if (held === undefined || this.#isFirst(txn, keys, held)) {
      return takeLock(txn, keys, mode, wait);
    }
    if (!covers(held.mode, mode)) {
      if (!(await this.#upgrade(held, taking))) return false;
    }
    held.rider = txn;
    await this.#byFirst(held, taking, (first) => takeBeside(txn, first, keys, mode));
    return true;
  }

  /** The transaction of statements had the lock before the session. */
  #isFirst(txn: Txn, keys: LockKeys, held: SessionLock | undefined): boolean {
    return held?.rider !== txn && hasLock(txn, keys, 'share');
  }

  async #takeForSession(
    keys: LockKeys,
    held: SessionLock | undefined,
    taking: Taking,
  ): Promise<boolean> {
    const { mode, wait, txn } = taking;
    if (held !== undefined && covers(held.mode, mode)) {
      held.counts[mode]++;
      return true;
    }
    if (this.#isFirst(txn, keys, held)) {
      if (!hasLock(txn, keys, mode) && !(await takeLock(txn, keys, mode, wait))) return false;
      const own = await this.#own((other) => takeBeside(other, txn, keys, mode).then(() => true));
      if (own !== undefined) this.#add(keys, held, own, mode);
      return own !== undefined;
    }
    if (held !== undefined) {
      if (!(await this.#upgrade(held, taking))) return false;
      held.counts[mode]++;
      return true;
    }
    const own = await this.#own((other) =>
      this.#unlessCanceled(other, taking, () => takeLock(other, keys, mode, wait)),
    );
    if (own !== undefined) this.#add(keys, undefined, own, mode);
    return own !== undefined;
  }

  #add(keys: LockKeys, held: SessionLock | undefined, own: Txn, mode: LockMode): void {
    const counts = held?.counts ?? { share: 0, update: 0 };
    counts[mode]++;
    const txns = [...(held?.txns ?? []), own];
    this.#held.set(nameOf(keys), { keys, txns, mode, counts, rider: held?.rider });
  }

  /** The session shares it and wants it for itself. */
  async #upgrade(held: SessionLock, taking: Taking): Promise<boolean> {
    const { keys } = held;
    const take = (first: Txn): Promise<boolean> => takeLock(first, keys, 'update', taking.wait);
    if (!(await this.#byFirst(held, taking, take))) return false;
    held.mode = 'update';
    return true;
  }

  /** When that fails the first one is as it was. */
  async #byFirst<T>(
    { txns }: SessionLock,
    taking: Taking,
    begin: (first: Txn) => Promise<T>,
  ): Promise<T> {
    const first = must(txns[0]);
    const before = first.savepoint();
    try {
      return await this.#unlessCanceled(first, taking, () => begin(first));
    } catch (error) {
      if (first.status === 'open') first.rollbackTo(before);
      throw error;
    }
  }

  /** A transaction of the session's own, when `body` gets what it wants. */
  async #own(body: (txn: Txn) => Promise<boolean>): Promise<Txn | undefined> {
    if (this.#held.size >= maxLocks) {
      throw new KvFailure({ kind: 'too-large', reason: 'too many advisory locks' });
    }
    const siblings = (): readonly Txn[] =>
      this.#asking === undefined ? this.transactions : [...this.transactions, this.#asking];
    const txn = this.#db.begin({ name: 'advisory lock', siblings });
    let isGranted = false;
    try {
      this.#wanting = txn;
      isGranted = await body(txn);
    } finally {
      this.#wanting = undefined;
      if (!isGranted) await txn.rollback();
    }
    return isGranted ? txn : undefined;
  }

  /** `begin` is a statement of `txn`, which ends with the one that asks. */
  async #unlessCanceled<T>(
    txn: Txn,
    { checkCanceled }: Taking,
    begin: () => Promise<T>,
  ): Promise<T> {
    txn.beginStatement({ lockTimeoutMs: this.#lockTimeoutMs() });
    let isDone = false;
    const watched = begin().finally(() => {
      isDone = true;
    });
    watched.catch(() => undefined);
    while (!isDone) {
      await Promise.race([watched, sleep(this.#env, pollMs)]);
      try {
        checkCanceled();
      } catch (error) {
        txn.cancelStatement();
        await watched.catch(() => undefined);
        throw error;
      }
    }
    return watched;
  }

  /** What the session has of it; not what it has lost: its node was not heard of for seconds. */
  async #find(keys: LockKeys): Promise<SessionLock | undefined> {
    const held = this.#held.get(nameOf(keys));
    if (held === undefined || held.txns.every(({ status }) => status === 'open')) return held;
    await this.#drop(held);
    return undefined;
  }

  /** False when the session does not hold it in this mode. */
  async release(lock: AdvisoryLock, mode: LockMode): Promise<boolean> {
    if (!(await this.#release(lock, mode))) return false;
    this.#hasReleased = true;
    return true;
  }

  async #release(lock: AdvisoryLock, mode: LockMode): Promise<boolean> {
    const held = await this.#find(new LockKeys(lock, this.#id));
    if (held === undefined || held.counts[mode] === 0) return false;
    held.counts[mode]--;
    await this.#letGo(held);
    return true;
  }

  async releaseAll(): Promise<void> {
    if (this.#held.size > 0) this.#hasReleased = true;
    for (const held of this.#held.values()) {
      held.counts.share = 0;
      held.counts.update = 0;
      await this.#letGo(held);
    }
  }

  /** The open transaction went back to a savepoint. Does not fail. */
  async transactionRolledBack(): Promise<void> {
    for (const held of this.#held.values()) {
      if (held.rider !== undefined) await this.#letGoOrKeep(held);
    }
  }

  /** The transaction that was open has ended. Does not fail: whatever it has committed stays committed. */
  async transactionEnded(): Promise<void> {
    this.#asking = undefined;
    for (const held of this.#held.values()) {
      if (held.rider === undefined) continue;
      held.rider = undefined;
      await this.#letGoOrKeep(held);
    }
  }

  /** A lock that cannot be made weaker stays as it is until the session gives up more of it. */
  async #letGoOrKeep(held: SessionLock): Promise<void> {
    try {
      await this.#letGo(held);
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      this.#env.log.warn({ error: error.kvError.kind }, 'an advisory lock stays exclusive');
    }
  }

  /** A lock that is held for the session and for `txn`, too: PostgreSQL cannot prepare such a transaction. */
  isShared(txn: Txn): boolean {
    return [...this.#held.values()].some(({ keys }) => hasLock(txn, keys, 'share'));
  }

  /** Gives up what nobody in the session needs any more. */
  async #letGo(held: SessionLock): Promise<void> {
    if (isNeeded(held, 'update')) return;
    if (!isNeeded(held, 'share')) return this.#drop(held);
    if (held.mode === 'share') return;
    const first = must(held.txns[0]);
    const own = await this.#own((other) =>
      takeBeside(other, first, held.keys, 'share').then(() => true),
    );
    if (own === undefined) return;
    const before = held.txns;
    held.txns = [own];
    held.mode = 'share';
    await end(before);
  }

  async #drop(held: SessionLock): Promise<void> {
    this.#held.delete(nameOf(held.keys));
    await end(held.txns);
  }
}

/** A commit has let go of everything when it is answered, and there is nothing to commit. */
async function end(txns: readonly Txn[]): Promise<void> {
  for (const txn of txns) {
    try {
      if (txn.status === 'open') await txn.commit();
    } catch (error) {
      // It was lost before, or goes when its heartbeats are missed.
      if (!(error instanceof KvFailure)) throw error;
    }
  }
}

/** Somebody in the session has it in this mode or a stronger one. */
function isNeeded({ counts, rider, keys }: SessionLock, mode: LockMode): boolean {
  if (counts.update > 0 || (mode === 'share' && counts.share > 0)) return true;
  return rider !== undefined && hasLock(rider, keys, mode);
}

function covers(has: LockMode, wanted: LockMode): boolean {
  return has === 'update' || wanted === 'share';
}

function nameOf({ main }: LockKeys): string {
  return main.toString('latin1');
}
