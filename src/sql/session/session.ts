/**
 * Session: one client's conversation. It owns the transaction, the settings, the prepared statements
 * and the portals, and runs one statement at a time.
 *
 * How a statement is planned stands in `planner.ts`, how it runs, and when it runs again, in `statement-runner.ts`.
 *
 * INVARIANT: at most one of the asynchronous methods runs at a time; only `cancel` may come between.
 */
import { type TimerHandle } from '../../util/index.ts';
import { followerLagMicros, SessionCatalog, sessionDefaults } from '../catalog/index.ts';
import { sqlError, SqlFailure, sqlStates } from '../errors.ts';
import { type ClientAddress } from '../functions/index.ts';
import { type Datum, findZone, timestampOfWall } from '../types/index.ts';
import { type SessionHost } from '../virtual/index.ts';
import { type ClientOutput, type ResultFormats } from './client.ts';
import { changefeedColumns } from './changefeed.ts';
import { refuseWrongClock } from './clock-check.ts';
import { controlColumns, setSetting } from './control.ts';
import { fetchBatchRows } from './cursors.ts';
import { SessionEval, type SessionIdentity } from './eval-context.ts';
import { deadlockFailure } from './deadlocks.ts';
import { toSqlFailure } from './kv-errors.ts';
import { type TransactionModes } from './isolation.ts';
import { located } from './located.ts';
import { PastReads } from './past-reads.ts';
import { StatementPlanner } from './planner.ts';
import { HeldAnswer } from './held-answer.ts';
import { makeStatement, type Portal, PortalRun, type PreparedStatement } from './prepared.ts';
import { checkRole } from './roles.ts';
import { type SessionServices } from './services.ts';
import { SessionSettings } from './settings.ts';
import { showTable } from './show-table.ts';
import { SimpleQueries } from './simple-queries.ts';
import { StatementRunner } from './statement-runner.ts';
import { SessionTransaction } from './transaction.ts';

export interface SessionOptions {
  readonly user: string;
  readonly database: string;
  readonly backendPid: number;
  readonly client: ClientAddress | undefined;
  /** From the startup packet: application_name, DateStyle, search_path, ... */
  readonly settings: ReadonlyMap<string, string>;
}

/** How a statement is run and where its rows go. */
export interface Run {
  readonly params: readonly Datum[];
  readonly formats: ResultFormats;
  readonly describe: boolean;
  readonly out: ClientOutput;
}

/** How long a schema change waits, without a `lock_timeout`, for statements that use the old definition. */
const changeWaitMs = 30_000;

export class Session {
  readonly services: SessionServices;
  readonly identity: SessionIdentity;
  readonly settings: SessionSettings;
  readonly catalog: SessionCatalog;
  readonly transaction: SessionTransaction;
  readonly eval: SessionEval;
  readonly past: PastReads;
  readonly host: SessionHost;
  readonly statements = new Map<string, PreparedStatement>();
  readonly portals = new Map<string, Portal>();
  /** Wall microseconds, for pg_stat_activity. */
  readonly startedMicros: number;
  lastQuery = '';
  /** When the message came that runs, or ran last, in wall microseconds. */
  queryStartMicros = 0;
  readonly planner: StatementPlanner;
  readonly runner: StatementRunner;
  readonly #simple: SimpleQueries;
  #cancelReason: 'user' | 'timeout' | 'closed' | undefined;
  /** The transaction has been dealt with, and the failure was counted. */
  #lastFailure: SqlFailure | undefined;
  #isRunning = false;
  #isClosed = false;
  #timeout: TimerHandle | undefined;
  /** Where notices go. */
  output: ClientOutput | undefined;
  /** What a cancel request stops, beside the transaction, while the statement runs that has set it. */
  onCancel: (() => void) | undefined;
  /** Ends the client's connection. */
  onTerminate: (() => void) | undefined;

  constructor(services: SessionServices, options: SessionOptions) {
    this.services = services;
    this.startedMicros = services.env.clock.wallMicros();
    const initial = sessionDefaults(services.catalogCache.current);
    for (const [name, value] of options.settings) initial.set(name.toLowerCase(), value);
    initial.set('session_authorization', options.user);
    this.settings = new SessionSettings({
      initial,
      timeZone: (name) => findZone(name)?.name,
      checkRole: (name) => checkRole(this, name),
      ofTransaction: (name) => this.#transactionSetting(name),
    });
    const { settings } = this;
    this.identity = {
      sessionUser: options.user,
      get currentUser() {
        return settings.role ?? options.user;
      },
      database: options.database,
      backendPid: options.backendPid,
      client: options.client,
    };
    this.catalog = new SessionCatalog({
      cache: services.catalogCache,
      virtual: services.virtual,
      currentDatabase: () => this.identity.database,
      searchPath: () => this.settings.searchPath,
      currentUser: () => this.identity.currentUser,
      showTable: (text) => showTable(this, text),
      checkCanceled: () => this.checkCanceled(),
      changeWaitMs: () => this.settings.lockTimeoutMs || changeWaitMs,
    });
    this.transaction = new SessionTransaction({
      db: services.db,
      catalog: this.catalog,
      settings: this.settings,
      replayBytes: services.limits.replayBytes,
      siblings: () => this.host.ownTransactions,
      wentBack: (to) => this.host.transactionWentBack(to),
      ended: () => this.host.transactionEnded(),
      messageMicros: () => this.queryStartMicros,
      followerReadTimestamp: () => this.past.followerReadTimestamp(),
    });
    this.host = services.createEvalHost({
      catalog: this.catalog,
      context: () => {
        const { context } = this.runner;
        if (context === undefined) throw sqlError('internalError', 'no statement is running');
        return context;
      },
      lockTimeoutMs: () => this.settings.lockTimeoutMs,
    });
    this.settings.format.regName = (type, oid) => this.host.nameOf(type, oid);
    this.eval = new SessionEval({
      env: services.env,
      settings: this.settings,
      identity: this.identity,
      schemas: () => this.catalog.searchPath,
      host: this.host,
      drawn: this.transaction.log.drawn,
      followerLagMicros: () => followerLagMicros(services.catalogCache.current),
      setSetting: (name, value, isLocal) => setSetting(this, name, value, isLocal),
    });
    this.past = new PastReads({
      clock: services.db.clock,
      eval: this.eval,
      followerLagMicros: () => followerLagMicros(services.catalogCache.current),
    });
    this.planner = new StatementPlanner(this);
    this.runner = new StatementRunner(this);
    this.#simple = new SimpleQueries(this);
  }

  #transactionSetting(name: string): string | undefined {
    switch (name) {
      case 'transaction_isolation':
        return this.#modes.isolation;
      case 'transaction_read_only':
        return this.#modes.readOnly ? 'on' : 'off';
      case 'transaction_deferrable':
        return this.#modes.deferrable ? 'on' : 'off';
      default:
        return undefined;
    }
  }

  get #modes(): TransactionModes {
    return this.transaction.state === 'idle'
      ? this.settings.newTransaction
      : this.transaction.modes;
  }

  /** In a block: that of BEGIN, or that of a message with several statements. A pipeline is none. */
  get isInBlock(): boolean {
    return this.transaction.state === 'explicit' || this.#simple.runsSeveral;
  }

  /** A changefeed runs, which ends only when it is cancelled. */
  get runsEndless(): boolean {
    return this.onCancel !== undefined;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  get status(): 'I' | 'T' | 'E' {
    return this.transaction.statusByte;
  }

  // The simple protocol.

  /** Runs a query string; results go to `out`. Throws SqlFailure; the transaction is already dealt with. */
  async query(text: string, out: ClientOutput): Promise<void> {
    this.#start(out);
    this.lastQuery = text;
    try {
      await this.#simple.run(text, out);
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  // The extended protocol.

  /** Parse. Replaces an unnamed statement. */
  async prepare(
    name: string,
    text: string,
    types: readonly number[],
    out: ClientOutput,
  ): Promise<void> {
    this.#start(out);
    try {
      if (name === '') this.statements.delete('');
      else this.checkStatementName(name);
      const parsed = this.services.parser.parse(text);
      if (parsed.length > 1) {
        throw sqlError('syntaxError', 'cannot insert multiple commands into a prepared statement');
      }
      const statement = makeStatement(name, text, parsed[0], types);
      this.checkNotFailed(statement);
      if (statement.kind === 'query') await this.planner.plan(statement);
      this.statements.set(name, statement);
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  checkStatementName(name: string): void {
    if (this.statements.has(name)) {
      throw sqlError('duplicatePreparedStatement', `prepared statement "${name}" already exists`);
    }
    if (this.statements.size >= this.services.limits.preparedStatements) {
      throw sqlError('configurationLimitExceeded', 'too many prepared statements', {
        hint: 'Close those that are no longer used.',
      });
    }
  }

  /** What an EXECUTE runs now; undefined for other statements, and where its name stands for nothing. */
  executedBy({ parsed }: PreparedStatement): PreparedStatement | undefined {
    const statement = parsed?.statement;
    if (statement?.kind !== 'postgres' || !('ExecuteStmt' in statement.node)) return undefined;
    return this.statements.get(statement.node.ExecuteStmt.name ?? '');
  }

  /** Throws 26000. */
  statement(name: string): PreparedStatement {
    const statement = this.statements.get(name);
    if (statement !== undefined) return statement;
    throw sqlError(
      'invalidSqlStatementName',
      name === ''
        ? 'unnamed prepared statement does not exist'
        : `prepared statement "${name}" does not exist`,
    );
  }

  /** Describe of a statement: its parameter types and columns, with the plan brought up to date. */
  async describeStatement(name: string, out: ClientOutput): Promise<PreparedStatement> {
    const statement = this.statement(name);
    this.checkNotFailed(statement);
    await this.#describe(statement, out);
    return statement;
  }

  async describePortal(name: string, out: ClientOutput): Promise<Portal> {
    const portal = this.portal(name);
    this.checkNotFailed(portal.statement);
    await this.#describe(portal.statement, out);
    return portal;
  }

  async #describe(statement: PreparedStatement, out: ClientOutput): Promise<void> {
    this.#start(out);
    try {
      switch (statement.kind) {
        case 'query':
          await this.planner.plan(statement);
          statement.isDescribed = true;
          break;
        case 'control':
          statement.columns = controlColumns(this, statement);
          break;
        case 'changefeed':
          statement.columns = changefeedColumns;
          break;
        case 'utility':
          if (statement.parsed?.statement.kind === 'cluster') {
            statement.columns = this.services.columnsOf(statement.parsed.statement.statement);
          }
          break;
        default:
          break;
      }
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  /** Bind. `params` are in order, of the statement's parameter types. */
  bind(
    name: string,
    statement: PreparedStatement,
    params: readonly Datum[],
    formats: ResultFormats,
  ): Portal {
    this.checkNotFailed(statement);
    if (name !== '') {
      if (this.portals.has(name)) {
        throw sqlError('duplicateCursor', `cursor "${name}" already exists`);
      }
      this.checkPortalCount();
    }
    const portal: Portal = {
      name,
      statement,
      params,
      formats,
      isCursor: false,
      run: undefined,
      isDone: false,
    };
    this.portals.set(name, portal);
    return portal;
  }

  checkPortalCount(): void {
    if (this.portals.size >= this.services.limits.portals) {
      throw sqlError('configurationLimitExceeded', 'too many open cursors');
    }
  }

  /** Throws 34000. */
  portal(name: string): Portal {
    const portal = this.portals.get(name);
    if (portal !== undefined) return portal;
    throw sqlError('invalidCursorName', `portal "${name}" does not exist`);
  }

  /**
   * Execute. `maxRows` 0 = all. `isLast`: a Sync follows, so that a statement outside a transaction
   * block may commit right away, before it is reported as complete.
   */
  async execute(
    portal: Portal,
    maxRows: number,
    isLast: boolean,
    out: ClientOutput,
  ): Promise<void> {
    this.#start(out);
    const { statement } = portal;
    this.lastQuery = statement.text;
    try {
      if (statement.kind === 'empty') {
        out.emptyQuery();
      } else if (
        portal.run !== undefined ||
        (maxRows > 0 && statement.columns.length > 0 && statement.kind === 'query')
      ) {
        await this.#executePart(portal, maxRows, out);
      } else {
        if (portal.isDone) {
          throw sqlError('objectNotInPrerequisiteState', `portal "${portal.name}" cannot be run`);
        }
        portal.isDone = true;
        const { params, formats } = portal;
        const held =
          maxRows > 0 && (statement.kind === 'control' || statement.kind === 'utility')
            ? new HeldAnswer(out, this.services.limits.statementMemoryBytes)
            : undefined;
        const run: Run = { params, formats, describe: false, out: held?.output ?? out };
        const alone = isLast && this.transaction.state === 'idle';
        await this.runner.run(statement, run, alone);
        if (held === undefined) return;
        if (held.columns.length === 0) {
          out.complete(held.tag());
          return;
        }
        portal.run = new PortalRun(portal.name, held, held.formats);
        await this.#executePart(portal, maxRows, out);
      }
    } catch (error) {
      throw await this.#failed(
        statement.parsed === undefined ? error : located(error, statement.parsed),
      );
    } finally {
      this.#stop();
    }
  }

  async #executePart(portal: Portal, maxRows: number, out: ClientOutput): Promise<void> {
    this.checkNotFailed(portal.statement);
    if (portal.run === undefined) {
      if (portal.isDone) {
        out.complete('SELECT 0');
        return;
      }
      refuseWrongClock(this.services.db.clock);
    }
    const wanted = maxRows === 0 ? Number.MAX_SAFE_INTEGER : maxRows;
    let left = wanted;
    let { run, rows } = await this.runner.takeRows(portal, Math.min(left, fetchBatchRows));
    out.beginResult(run.result.columns, run.formats, false);
    for (; rows.length > 0; rows = await run.take(Math.min(left, fetchBatchRows))) {
      left -= rows.length;
      const wait = out.rows(rows);
      if (wait !== undefined) await wait;
      // What has committed already is not cancelled any more.
      if (this.transaction.state !== 'idle') this.checkCanceled();
    }
    if (left === 0) {
      out.suspended();
      return;
    }
    // The rows of this Execute are counted.
    out.complete(run.result.tag().replace(/\d+$/, String(wanted - left)));
    await run.result.close();
  }

  async closePortal(name: string): Promise<void> {
    const portal = this.portals.get(name);
    if (portal === undefined) return;
    this.portals.delete(name);
    await portal.run?.result.close();
  }

  /** Sync: the end of a pipeline commits what its statements have begun. */
  sync(out: ClientOutput): Promise<void> | undefined {
    if (this.transaction.state !== 'implicit') {
      if (this.transaction.state === 'idle' && this.portals.size > 0) return this.closePortals();
      return undefined;
    }
    return this.#commitPipeline(out);
  }

  async #commitPipeline(out: ClientOutput): Promise<void> {
    this.#start(out);
    try {
      await this.runner.commit();
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  /** A message failed: outside of a statement (a malformed Bind) the transaction fails with it. */
  async messageFailed(error: unknown): Promise<SqlFailure> {
    const last = this.#lastFailure;
    return last === error && last !== undefined ? last : this.#failed(error);
  }

  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void {
    const lowest = this.settings.get('client_min_messages');
    if (lowest === 'error' || (lowest === 'warning' && severity === 'NOTICE')) return;
    this.output?.notice(severity, code, message);
  }

  /** Portals and cursors end with their transaction, or with the part of it that is undone: all but `older` that were opened. */
  closePortals(older?: ReadonlySet<Portal>): Promise<void> | undefined {
    let closing: Promise<unknown>[] | undefined;
    for (const [name, portal] of this.portals) {
      const isOpened = portal.isCursor || portal.run !== undefined;
      if (older !== undefined && (older.has(portal) || !isOpened)) continue;
      this.portals.delete(name);
      if (portal.run !== undefined) (closing ??= []).push(portal.run.result.close());
    }
    return closing === undefined ? undefined : Promise.allSettled(closing).then(() => undefined);
  }

  /** After an error: an implicit transaction is rolled back, an explicit one fails. Returns what the client sees. */
  async #failed(error: unknown): Promise<SqlFailure> {
    this.services.counters.failedStatements++;
    // While those who take part still wait for each other.
    const deadlock = deadlockFailure(error, this.catalog.snapshot, this.services.reports);
    let failure = toSqlFailure(error);
    if (failure.code === '57014') failure = this.#canceledFailure(failure);
    if (failure.code === sqlStates.serializationFailure) {
      this.runner.noteFailure(failure);
    }
    if (failure.code === 'XX000') {
      this.services.env.log.error({ error }, 'a statement failed unexpectedly');
    }
    if (this.transaction.state === 'explicit') {
      if (!this.transaction.failed) await this.transaction.fail();
    } else if (this.transaction.state === 'implicit') {
      await this.runner.rollback();
    }
    this.#lastFailure = (await deadlock) ?? failure;
    return this.#lastFailure;
  }

  checkNotFailed(statement: PreparedStatement): void {
    if (this.transaction.state !== 'explicit' || !this.transaction.failed) return;
    if (statement.kind === 'empty' || endsBlock(statement)) return;
    throw sqlError(
      'inFailedSqlTransaction',
      'current transaction is aborted, commands ignored until end of transaction block',
    );
  }

  // Cancel, timeouts, end.

  /** Stops the statement that runs now, if any. */
  cancel(reason: 'user' | 'timeout' | 'closed' = 'user'): void {
    if (!this.#isRunning || (this.#cancelReason !== undefined && reason !== 'closed')) return;
    this.#cancelReason = reason;
    // What a savepoint saves goes on behind ROLLBACK TO.
    if (reason === 'closed') this.transaction.txn?.cancel();
    else this.transaction.txn?.cancelStatement();
    this.catalog.cache.lookAgain();
    this.onCancel?.();
  }

  terminate(): void {
    if (this.onTerminate === undefined) this.cancel('closed');
    else this.onTerminate();
  }

  get isCanceled(): boolean {
    return this.#cancelReason !== undefined;
  }

  checkCanceled(): void {
    if (this.#cancelReason !== undefined) {
      throw this.#canceledFailure(
        sqlError('queryCanceled', 'canceling statement due to user request'),
      );
    }
  }

  #canceledFailure(failure: SqlFailure): SqlFailure {
    return this.#cancelReason === 'timeout'
      ? sqlError('queryCanceled', 'canceling statement due to statement timeout')
      : failure;
  }

  #start(out: ClientOutput): void {
    if (this.#isClosed) throw sqlError('adminShutdown', 'the session has ended');
    this.#isRunning = true;
    this.output = out;
    this.#cancelReason = undefined;
    this.messageCame();
    this.startTimeout();
  }

  /** Whatever a message of the client makes the session do, that is when. */
  messageCame(): void {
    this.queryStartMicros = this.services.env.clock.wallMicros();
    this.eval.statementMicros = timestampOfWall(this.queryStartMicros);
    this.runner.setClock();
  }

  /** The time of a statement begins. */
  startTimeout(): void {
    this.#timeout?.cancel();
    const { statementTimeoutMs } = this.settings;
    this.#timeout =
      statementTimeoutMs === 0
        ? undefined
        : this.services.env.timers.after(statementTimeoutMs, () => this.cancel('timeout'));
  }

  #stop(): void {
    this.#isRunning = false;
    this.onCancel = undefined;
    this.#timeout?.cancel();
    this.#timeout = undefined;
  }

  /** DISCARD PLANS. */
  forgetPlans(): void {
    this.planner.clear();
    this.#simple.forgetPlans();
    for (const statement of this.statements.values()) statement.plan = undefined;
  }

  /** The client is gone: rolls back and lets go of everything. Call it when no statement runs any more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stop();
    // The locks of a session outlive its transaction, whatever becomes of that.
    for (const end of [() => this.runner.rollback(), () => this.host.close()]) {
      try {
        await end();
      } catch (error) {
        this.services.env.log.warn({ error }, 'the end of a session failed');
      }
    }
    this.statements.clear();
  }
}

function endsBlock(statement: PreparedStatement): boolean {
  const parsed = statement.parsed?.statement;
  if (parsed?.kind !== 'postgres' || !('TransactionStmt' in parsed.node)) return false;
  const { kind } = parsed.node.TransactionStmt;
  return (
    kind === 'TRANS_STMT_COMMIT' ||
    kind === 'TRANS_STMT_ROLLBACK' ||
    kind === 'TRANS_STMT_PREPARE' ||
    kind === 'TRANS_STMT_ROLLBACK_TO'
  );
}
