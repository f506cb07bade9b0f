/**
 * The advisory locks of one session (PostgreSQL, chapter "Advisory Locks").
 *
 * A transaction's lock is held by that transaction: it goes with its end or a rollback to an earlier savepoint, and a transaction
 * that has lost it (nothing was heard of its node for seconds) cannot commit. A session's lock is held by a transaction of its own for
 * each mode, which stays open until the last unlock. Each of them has the lock by itself, so none leaves anything for the others to do.
 * A transaction that reads the past can hold nothing: another one stands in for it.
 */
import { KvFailure, type Db, type Savepoint, type Txn } from '../../kv/index.ts';
import { sleep, type Env } from '../../util/index.ts';
import { LockKeys, sessionIdBytes, type AdvisoryLock, type LockMode } from './advisory-keys.ts';
import { confirm, hasLock, join, takeAsNewcomer, takeAsUpgrade } from './advisory-protocol.ts';

const maxLocks = 1000;
const pollMs = 100;
const none: readonly Txn[] = [];

interface HeldMode {
  readonly txn: Txn;
  /** How often the session has taken it. */
  count: number;
}

interface SessionLock {
  readonly keys: LockKeys;
  readonly modes: Map<LockMode, HeldMode>;
}

/** Of an open transaction that reads the past: ends with it. */
interface StandIn {
  readonly txn: Txn;
  /** Where it stood before each lock, which the other transaction took behind its savepoints up to `since`. */
  readonly steps: { readonly since: number; readonly before: Savepoint }[];
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
  #id: Buffer;
  readonly #held = new Map<string, SessionLock>();
  /** Made for a lock that is not held yet. */
  #wanting: Txn | undefined;
  #standIn: StandIn | undefined;
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
    const others = [this.#standIn?.txn, this.#wanting].filter((txn) => txn !== undefined);
    if (this.#held.size === 0) return others.length === 0 ? none : others;
    return [...[...this.#held.values()].flatMap(txnsOf), ...others];
  }

  /** False when `wait` is false and another session has it. */
  async take(lock: AdvisoryLock, taking: Taking): Promise<boolean> {
    const keys = this.#keysOf(lock);
    this.#asking = taking.txn;
    if (taking.scope === 'transaction') return this.#takeForTransaction(keys, taking);
    if (!(await this.#takeForSession(keys, taking))) return false;
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

  async #takeForTransaction(keys: LockKeys, taking: Taking): Promise<boolean> {
    const { mode, txn } = taking;
    if (txn.past !== undefined) return this.#takeInThePast(keys, taking);
    return hasLock(txn, keys, mode) || this.#acquire(txn, keys, taking);
  }

  async #takeInThePast(keys: LockKeys, taking: Taking): Promise<boolean> {
    this.#standIn ??= { txn: this.#begin(), steps: [] };
    const { txn, steps } = this.#standIn;
    return this.#unlessCanceled(txn, taking, async () => {
      if (hasLock(txn, keys, taking.mode)) return true;
      steps.push({ since: taking.txn.savepoint().sequence, before: txn.savepoint() });
      const isGranted = await this.#acquire(txn, keys, taking);
      if (!isGranted) steps.pop();
      return isGranted;
    });
  }

  async #takeForSession(keys: LockKeys, taking: Taking): Promise<boolean> {
    const { mode } = taking;
    const held = this.#find(keys);
    const again = held?.modes.get(mode);
    if (again !== undefined) {
      again.count++;
      return true;
    }
    const txn = await this.#own((own) =>
      this.#unlessCanceled(own, taking, () => this.#acquire(own, keys, taking)),
    );
    if (txn === undefined) return false;
    const modes = this.#find(keys)?.modes ?? new Map<LockMode, HeldMode>();
    this.#held.set(nameOf(keys), { keys, modes: modes.set(mode, { txn, count: 1 }) });
    return true;
  }

  async #acquire(txn: Txn, keys: LockKeys, taking: Taking): Promise<boolean> {
    const { mode, wait } = taking;
    const modes = this.#find(keys)?.modes.values() ?? [];
    const own = Array.from(modes, (held) => held.txn);
    const session = [...own, this.#standIn?.txn ?? taking.txn];
    const first = session.find((other) => other !== txn && hasLock(other, keys, mode));
    if (first !== undefined) {
      const confirmed = (): Promise<void> => confirm(first, keys, mode);
      // What the statement does with its own transaction it cancels itself.
      const isOwn = first !== taking.txn;
      await join(txn, keys, mode, () =>
        isOwn ? this.#unlessCanceled(first, taking, confirmed) : confirmed(),
      );
      return true;
    }
    if ([txn, ...session].some((other) => hasLock(other, keys, 'share'))) {
      return takeAsUpgrade(txn, keys, wait);
    }
    return takeAsNewcomer(txn, keys, mode, wait);
  }

  /** A transaction of the session's own, when `body` gets what it wants. */
  async #own(body: (txn: Txn) => Promise<boolean>): Promise<Txn | undefined> {
    if (this.#held.size >= maxLocks) {
      throw new KvFailure({ kind: 'too-large', reason: 'too many advisory locks' });
    }
    const txn = this.#begin();
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

  #begin(): Txn {
    const siblings = (): readonly Txn[] =>
      this.#asking === undefined ? this.transactions : [...this.transactions, this.#asking];
    // Each of its statements reads at the present: the past that it began in may be gone before the lock is given up.
    const isolation = 'read-committed';
    return this.#db.begin({ name: 'advisory lock', isolation, siblings });
  }

  /** `begin` is a statement of `txn`, which ends with the one that asks. When it fails `txn` is as it was. */
  async #unlessCanceled<T>(
    txn: Txn,
    { checkCanceled }: Taking,
    begin: () => Promise<T>,
  ): Promise<T> {
    txn.beginStatement({ lockTimeoutMs: this.#lockTimeoutMs() });
    const before = txn.savepoint();
    let isDone = false;
    const watched = begin().finally(() => {
      isDone = true;
    });
    watched.catch(() => undefined);
    try {
      while (!isDone) {
        await Promise.race([watched, sleep(this.#env, pollMs)]);
        checkCanceled();
      }
      return await watched;
    } catch (error) {
      if (!isDone) txn.cancelStatement();
      await watched.catch(() => undefined);
      if (txn.status === 'open') txn.rollbackTo(before);
      throw error;
    }
  }

  /** Those with which the session has it have told the others who it is. */
  #keysOf(lock: AdvisoryLock): LockKeys {
    const keys = new LockKeys(lock, this.#id);
    return this.#held.get(nameOf(keys))?.keys ?? keys;
  }

  /** What the session has of it; not what it has lost: its node was not heard of for seconds. */
  #find(keys: LockKeys): SessionLock | undefined {
    const name = nameOf(keys);
    const held = this.#held.get(name);
    for (const [mode, { txn }] of held?.modes ?? []) {
      if (txn.status !== 'open') held?.modes.delete(mode);
    }
    if (held?.modes.size === 0) this.#held.delete(name);
    return this.#held.get(name);
  }

  /** False when the session does not hold it in this mode. */
  async release(lock: AdvisoryLock, mode: LockMode): Promise<boolean> {
    if (!(await this.#release(lock, mode))) return false;
    this.#hasReleased = true;
    return true;
  }

  async #release(lock: AdvisoryLock, mode: LockMode): Promise<boolean> {
    const keys = this.#keysOf(lock);
    const modes = this.#find(keys)?.modes;
    const held = modes?.get(mode);
    if (held === undefined) return false;
    held.count--;
    if (held.count > 0) return true;
    modes?.delete(mode);
    this.#find(keys);
    await end(held.txn);
    return true;
  }

  async releaseAll(): Promise<void> {
    if (this.#held.size > 0) this.#hasReleased = true;
    const txns = [...this.#held.values()].flatMap(txnsOf);
    this.#held.clear();
    for (const txn of txns) await end(txn);
  }

  /** The open transaction went back to a savepoint, or altogether. */
  async transactionWentBack(to: Savepoint | undefined): Promise<void> {
    if (this.#standIn === undefined) return;
    const { txn, steps } = this.#standIn;
    const undone = steps.findIndex(({ since }) => to === undefined || since > to.sequence);
    const [first] = undone < 0 ? [] : steps.splice(undone);
    if (first === undefined || txn.status !== 'open') return;
    txn.rollbackTo(first.before);
    await txn.released();
  }

  /** The transaction that was open has ended. Undefined when nothing is to be waited for. */
  transactionEnded(): Promise<void> | undefined {
    const standIn = this.#standIn?.txn;
    this.#standIn = undefined;
    // It is not of this session any more, which must not overlook it.
    const status = this.#asking?.status;
    if (status === 'prepared' || status === 'ambiguous')
      this.#id = this.#env.random.bytes(sessionIdBytes);
    this.#asking = undefined;
    return standIn === undefined ? undefined : end(standIn);
  }

  /** `txn` cannot be prepared: a lock of it is held for the session, too (PostgreSQL's rule), or by another transaction in its stead. */
  isBoundTo(txn: Txn): boolean {
    if (this.#standIn !== undefined && this.#standIn.steps.length > 0) return true;
    return [...this.#held.values()].some(({ keys }) => hasLock(txn, keys, 'share'));
  }
}

/** A commit has let go of everything when it is answered, and there is nothing to commit. */
async function end(txn: Txn): Promise<void> {
  try {
    if (txn.status !== 'open') return;
    txn.beginStatement();
    await txn.commit();
  } catch (error) {
    // It was lost before, or goes when its heartbeats are missed.
    if (!(error instanceof KvFailure)) throw error;
  }
}

function txnsOf({ modes }: SessionLock): Txn[] {
  return Array.from(modes.values(), ({ txn }) => txn);
}

function nameOf({ queue }: LockKeys): string {
  return queue.toString('latin1');
}
