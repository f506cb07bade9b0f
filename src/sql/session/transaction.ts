/**
 * The transaction of one session: PostgreSQL's block states over a kv transaction and a catalog pin.
 *
 *   idle        no transaction
 *   implicit    begun by a statement; ends with the message (autocommit, a multi-statement query, a
 *               pipeline up to Sync)
 *   explicit    begun by BEGIN; ends with COMMIT or ROLLBACK. `failed` is the state of 25P02
 *
 * The kv transaction itself begins with the first statement that needs it, so that BEGIN costs nothing
 * and the read timestamp is as late as it may be. Every statement then says `beginStatement`: under READ
 * COMMITTED it gets a snapshot of its own, and `undoStatement` takes back what it did before it is run anew.
 *
 * INVARIANT: `txn` is undefined in state idle.
 */
import { must } from '../../util/index.ts';
import {
  type CommitOptions,
  type Db,
  type PreparedTxn,
  type Savepoint,
  type Timestamp,
  type Txn,
} from '../../kv/index.ts';
import { systemKey } from '../../encoding/index.ts';
import { type SessionCatalog, type WriterMark } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { GuardedTxn } from './guarded-txn.ts';
import { failureBehindCommit } from './kv-errors.ts';
import { type Portal } from './prepared.ts';
import { ReplayLog } from './replay-log.ts';
import { kvIsolation, type SqlIsolation, type TransactionModes } from './isolation.ts';
import { type SessionSettings } from './settings.ts';
import { type DdlQueue, type DdlStep } from './types.ts';

export interface NamedSavepoint {
  readonly name: string;
  readonly txn: Txn;
  readonly kv: Savepoint;
  readonly settings: number;
  readonly catalog: WriterMark | undefined;
  readonly ddlSteps: number;
  readonly readOnly: boolean;
  /** Older than it: they outlive ROLLBACK TO. */
  readonly portals: ReadonlySet<Portal>;
}

export interface TransactionParts {
  readonly db: Db;
  readonly catalog: SessionCatalog;
  readonly settings: SessionSettings;
  /** For transactions that read at followers without having said so. */
  readonly followerReadTimestamp: () => Timestamp;
  /** Longest log of a transaction that may be replayed. */
  readonly replayBytes: number;
  /** Other transactions of the session. */
  readonly siblings: () => readonly Txn[];
  /** When the client's message came, in wall microseconds: what it begins begins then. */
  readonly messageMicros: () => number;
  /** Called when the open transaction has gone back to a savepoint, or altogether. */
  readonly wentBack: (to: Savepoint | undefined) => Promise<void>;
  /** Called when a transaction is over. */
  readonly ended: () => Promise<void> | undefined;
}

class DdlSteps implements DdlQueue {
  readonly #steps: DdlStep[] = [];

  add(step: DdlStep): void {
    this.#steps.push(step);
  }

  get length(): number {
    return this.#steps.length;
  }

  get isEmpty(): boolean {
    return this.length === 0;
  }

  /** All but the first `count` are not going to run. */
  keep(count: number): void {
    for (const step of this.#steps.splice(count)) step.drop?.();
  }

  /** Runs all of them, whatever becomes of one, and throws the first failure. */
  async run(): Promise<void> {
    let failed: { readonly error: unknown } | undefined;
    for (let step = this.#steps.shift(); step !== undefined; step = this.#steps.shift()) {
      try {
        await step.run();
      } catch (error) {
        failed ??= { error: failureBehindCommit(error, step.description) };
        if (step.isGround === true) this.keep(0);
      }
    }
    if (failed !== undefined) throw failed.error;
  }
}

export class SessionTransaction {
  readonly #parts: TransactionParts;
  state: 'idle' | 'implicit' | 'explicit' = 'idle';
  failed = false;
  isolation: SqlIsolation = 'read committed';
  readOnly = false;
  deferrable = false;
  txn: Txn | undefined;
  /** A statement has read or written: the level is settled. */
  hasQueried = false;
  readonly log: ReplayLog;
  readonly ddl: DdlSteps = new DdlSteps();
  /** transaction_timestamp(): microseconds of the wall clock. */
  startWallMicros = 0;
  #savepoints: NamedSavepoint[] = [];
  /** What `txn` reads, or is going to read: the state of that time. */
  #asOf: Timestamp | undefined;
  #optimistic = false;
  /** Where the statement that runs, or ran last, began; undefined before it has. */
  #statement:
    | { readonly kv: Savepoint; readonly settings: number; readonly drawn: number }
    | undefined;

  constructor(parts: TransactionParts) {
    this.#parts = parts;
    this.log = new ReplayLog(parts.replayBytes);
  }

  get statusByte(): 'I' | 'T' | 'E' {
    if (this.state !== 'explicit') return 'I';
    return this.failed ? 'E' : 'T';
  }

  /** Starts a block without touching the keys yet. `optimistic`: see TxnOptions. */
  open(state: 'implicit' | 'explicit', optimistic = false): void {
    if (this.state === 'idle') this.#begin();
    this.state = state;
    this.#optimistic = optimistic;
    this.failed = false;
  }

  /** AND CHAIN: a block like the one that has just ended. */
  chain(modes: TransactionModes): void {
    this.open('explicit');
    this.#setModes(modes);
  }

  get modes(): TransactionModes {
    const { isolation, readOnly, deferrable } = this;
    return { isolation, readOnly, deferrable };
  }

  #begin(): void {
    const { messageMicros, settings, followerReadTimestamp } = this.#parts;
    this.startWallMicros = messageMicros();
    this.#setModes(settings.newTransaction);
    if (settings.newTransaction.usesFollowers) this.readAsOf(followerReadTimestamp());
  }

  #setModes(modes: TransactionModes): void {
    this.isolation = modes.isolation;
    this.readOnly = modes.readOnly;
    this.deferrable = modes.deferrable;
  }

  /** SET TRANSACTION, before the first query: what has to begin for a savepoint, or to plan a statement, has begun perhaps. */
  setIsolation(isolation: SqlIsolation): void {
    this.isolation = isolation;
    if (!this.isHistorical) this.txn?.setIsolation(kvIsolation(isolation));
  }

  get isHistorical(): boolean {
    return this.#asOf !== undefined;
  }

  /** The transaction reads the state of that time and writes nothing. To be said before its first statement. */
  readAsOf(at: Timestamp): void {
    if (this.txn !== undefined) {
      throw sqlError(
        'featureNotSupported',
        'AS OF SYSTEM TIME must be in the first statement of a transaction',
      );
    }
    this.#asOf = at;
    this.readOnly = true;
  }

  /** The open transaction rests on a value that nobody has checked; its failure may come from that. */
  get assumesStill(): boolean {
    const { txn } = this;
    return txn?.assumes === true && txn.status !== 'committed' && txn.status !== 'ambiguous';
  }

  /** The kv transaction, begun if need be; `nearest`: see TxnOptions. */
  async require(past?: { readonly at: Timestamp; readonly nearest: boolean }): Promise<Txn> {
    if (this.txn !== undefined && (past === undefined || this.isHistorical)) return this.txn;
    if (past !== undefined) this.readAsOf(past.at);
    const { db, catalog, settings } = this.#parts;
    const asOf = this.#asOf;
    const pinning = catalog.begin();
    if (pinning !== undefined) await pinning;
    const txn = db.begin(
      asOf === undefined
        ? {
            name: 'sql',
            siblings: this.#parts.siblings,
            isolation: kvIsolation(this.isolation),
            strict: settings.newTransaction.strict,
            // What was assumed is locked together with the commit, which waits without limit.
            optimistic: this.#optimistic && this.#parts.settings.lockTimeoutMs === 0,
          }
        : { name: 'sql', asOf, nearest: past?.nearest === true },
    );
    this.txn = txn;
    if (asOf !== undefined) await catalog.beginAsOf(txn);
    return txn;
  }

  /** A statement comes, which has done nothing yet that would have to be taken back. */
  expectStatement(): void {
    this.#statement = undefined;
  }

  /** The next statement reads, writes and locks from here on. `isFirst`: the transaction was begun for it. */
  beginStatement(txn: Txn, isFirst = false): void {
    txn.beginStatement({ lockTimeoutMs: this.#parts.settings.lockTimeoutMs, isFirst });
    this.hasQueried = true;
    this.#statement = {
      kv: txn.savepoint(),
      settings: this.#parts.settings.mark(),
      drawn: this.log.drawn.mark(),
    };
  }

  /** Takes back what the statement has done since it began, so that it can be run anew. */
  undoStatement(): void {
    if (this.#statement === undefined) return;
    this.txn?.rollbackTo(this.#statement.kv);
    this.#parts.settings.rollbackTo(this.#statement.settings);
    this.log.drawn.rewind(this.#statement.drawn);
  }

  /** For an executor that commits by itself: its commit keeps the catalog's rules. */
  guarded(txn: Txn): Txn {
    return new GuardedTxn(txn, () => this.#beforeCommit());
  }

  async #beforeCommit(): Promise<CommitOptions> {
    const { catalog } = this.#parts;
    const checking = catalog.beforeCommit();
    if (checking !== undefined) await checking;
    return { deadline: catalog.commitDeadline };
  }

  /** Commits the keys. After a failure the transaction waits for `rollback`, or for `restart` and another try. */
  async commitKeys(): Promise<void> {
    const { txn } = this;
    if (txn === undefined || txn.status === 'committed') return;
    await txn.commit(this.isHistorical ? {} : await this.#beforeCommit());
  }

  /** After `commitKeys`: runs the steps of schema changes and goes idle. */
  async finish(): Promise<void> {
    try {
      if (!this.ddl.isEmpty) await this.ddl.run();
    } finally {
      await this.#end(true);
    }
  }

  get changesCatalog(): boolean {
    return !this.ddl.isEmpty || this.#parts.catalog.mark() !== undefined;
  }

  /**
   * PREPARE TRANSACTION: goes idle, whatever the outcome. `register` is told how to find the transaction while it still holds
   * its view of the catalog.
   */
  async prepare(register: (prepared: PreparedTxn) => Promise<void>): Promise<void> {
    const txn = await this.require();
    try {
      const options = this.isHistorical ? {} : await this.#beforeCommit();
      await txn.prepare({ ...options, anchor: systemKey('prepared-transactions'), register });
    } finally {
      await this.#dropKeys();
      await this.#end(txn.status === 'prepared');
    }
  }

  /** Gives everything back and goes idle. */
  async rollback(): Promise<void> {
    try {
      await this.#dropKeys();
    } finally {
      await this.#end(false);
    }
  }

  async #dropKeys(): Promise<void> {
    await this.txn?.rollback();
  }

  async #end(committed: boolean): Promise<void> {
    if (this.txn !== undefined) {
      const mayLandLate = this.txn.status === 'ambiguous';
      const lowering = this.#parts.catalog.finish({ mayLandLate });
      if (lowering !== undefined) await lowering;
      const ending = this.#parts.ended();
      if (ending !== undefined) await ending;
    }
    this.#parts.settings.end(committed);
    this.state = 'idle';
    this.readOnly = false;
    this.ddl.keep(0);
    this.#asOf = undefined;
    this.log.clear();
    this.#forget();
  }

  /** Back to where the transaction began, with the same start time: its statements are going to run again. */
  async restart(): Promise<void> {
    await this.#dropKeys();
    await this.#parts.wentBack(undefined);
    if (this.txn !== undefined) await this.#parts.catalog.finish();
    this.#parts.settings.rollbackTo(0);
    if (this.log.modes !== undefined) this.#setModes(this.log.modes);
    this.log.drawn.rewind(0);
    this.#forget();
  }

  #forget(): void {
    this.failed = false;
    this.txn = undefined;
    this.hasQueried = false;
    this.#statement = undefined;
    this.#savepoints = [];
  }

  /** After `restart`: the transaction is lost, and so is what its savepoints from before would go back to. */
  async abandon(savepoints: readonly NamedSavepoint[]): Promise<void> {
    await this.#dropKeys();
    this.#savepoints = [...savepoints];
  }

  /** A statement of an explicit block failed: what was written and locked since the innermost savepoint goes at once. */
  async fail(): Promise<void> {
    this.failed = true;
    const { txn } = this;
    if (txn?.status !== 'open') {
      await txn?.rollback();
      return;
    }
    const innermost = this.#savepoints.at(-1);
    if (innermost === undefined) await txn.rollback();
    else txn.rollbackTo(innermost.kv);
    await this.#parts.wentBack(innermost?.kv);
    await txn.released();
  }

  // Savepoints. Names shadow older ones of the same name.

  async savepoint(name: string, portals: ReadonlySet<Portal>): Promise<void> {
    const txn = await this.require();
    this.#savepoints.push({
      name,
      txn,
      kv: txn.savepoint(),
      settings: this.#parts.settings.mark(),
      catalog: this.#parts.catalog.mark(),
      ddlSteps: this.ddl.length,
      readOnly: this.readOnly,
      portals,
    });
  }

  release(name: string): void {
    this.#savepoints.length = this.#find(name);
  }

  async rollbackTo(name: string): Promise<NamedSavepoint> {
    const index = this.#find(name);
    const savepoint = must(this.#savepoints[index]);
    if (savepoint.txn.status !== 'open') {
      throw sqlError(
        'serializationFailure',
        'could not serialize access: the transaction was aborted',
        {
          hint: 'The whole transaction has to be rolled back and retried.',
        },
      );
    }
    savepoint.txn.rollbackTo(savepoint.kv);
    const wentBack = this.#parts.wentBack(savepoint.kv);
    this.#parts.settings.rollbackTo(savepoint.settings);
    this.#parts.catalog.rollbackTo(savepoint.catalog);
    this.ddl.keep(savepoint.ddlSteps);
    this.readOnly = savepoint.readOnly;
    this.#savepoints.length = index + 1;
    this.failed = false;
    await Promise.all([wentBack, savepoint.txn.released()]);
    return savepoint;
  }

  get savepoints(): readonly NamedSavepoint[] {
    return this.#savepoints;
  }

  #find(name: string): number {
    const index = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (index >= 0) return index;
    throw sqlError('invalidSavepointSpecification', `savepoint "${name}" does not exist`);
  }
}
