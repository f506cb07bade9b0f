/**
 * Session: one client's conversation. It owns the transaction, the settings, the prepared statements
 * and the portals, and runs one statement at a time.
 *
 * A statement that stands alone (autocommit) runs in a transaction of its own; when that has to
 * restart and nothing has left for the client yet, the statement is run again. In a transaction block
 * under READ COMMITTED a statement that was overtaken is run again on a new snapshot, on the same terms; and a
 * transaction that cannot commit is replayed, where the client cannot tell the difference (see replay.ts). Nothing is
 * run again once a commit may have happened.
 *
 * INVARIANT: at most one of the asynchronous methods runs at a time; only `cancel` may come between.
 */
import { type Node } from '@pgsql/types';
import { sleep, type TimerHandle } from '../../util/index.ts';
import { type Txn } from '../../kv/index.ts';
import { followerLagMicros, SessionCatalog, sessionDefaults } from '../catalog/index.ts';
import { sqlError, SqlFailure, sqlStates } from '../errors.ts';
import { characterPosition, type ParsedStatement } from '../parse/index.ts';
import { type PreparedPlan } from '../plan/types.ts';
import { type ClientAddress } from '../functions/index.ts';
import { type Datum, findZone, type Row, timestampOfWall } from '../types/index.ts';
import { type SessionHost } from '../virtual/index.ts';
import { type ClientOutput, type ResultFormats } from './client.ts';
import { DigestOutput, failureDigest } from './answer-digest.ts';
import { controlColumns, runControl } from './control.ts';
import { runCopy } from './copy/copy.ts';
import { SessionEval, type SessionIdentity } from './eval-context.ts';
import { isStatementRetry, toSqlFailure } from './kv-errors.ts';
import { type TransactionModes } from './isolation.ts';
import { findLiterals, type LiteralText } from './literals.ts';
import { PastReads, type Past } from './past-reads.ts';
import { PlanCache } from './plan-cache.ts';
import { makeStatement, type Portal, PortalRun, type PreparedStatement } from './prepared.ts';
import { isAgain, replay } from './replay.ts';
import { type RetryKind } from './retry-stats.ts';
import { type SessionServices } from './services.ts';
import { SessionSettings } from './settings.ts';
import { showTable } from './show-table.ts';
import { nodeName, statementName } from './statement-kind.ts';
import { makeTemplate, TemplateCache, templateParams } from './templates.ts';
import { SessionTransaction } from './transaction.ts';
import { runTransactionStatement } from './transaction-statements.ts';
import { type ResultColumn, type StatementContext, type StatementResult } from './types.ts';
import { upsertAsInsert } from './upsert.ts';

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

const noParams: readonly Datum[] = [];
const textFormats: ResultFormats = [];

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
  queryStartMicros = 0;
  readonly #plans: PlanCache;
  readonly #templates: TemplateCache;
  #cancelReason: 'user' | 'timeout' | 'closed' | undefined;
  #isRunning = false;
  #isClosed = false;
  #timeout: TimerHandle | undefined;
  #output: ClientOutput | undefined;
  #context: StatementContext | undefined;
  /** Of the statement that runs, or ran last. */
  #statementText = '';
  /** Why the transaction of this message was not replayed. */
  #refusal: string | undefined;

  constructor(services: SessionServices, options: SessionOptions) {
    this.services = services;
    this.startedMicros = services.env.clock.wallMicros();
    this.identity = {
      sessionUser: options.user,
      currentUser: options.user,
      database: options.database,
      backendPid: options.backendPid,
      client: options.client,
    };
    const initial = sessionDefaults(services.catalogCache.current);
    for (const [name, value] of options.settings) initial.set(name.toLowerCase(), value);
    initial.set('session_authorization', options.user);
    this.settings = new SessionSettings({
      initial,
      timeZone: (name) => findZone(name)?.name,
      ofTransaction: (name) => this.#transactionSetting(name),
    });
    this.catalog = new SessionCatalog({
      cache: services.catalogCache,
      virtual: services.virtual,
      currentDatabase: () => this.identity.database,
      searchPath: () => this.settings.searchPath,
      currentUser: () => this.identity.currentUser,
      showTable: (text) => showTable(this, text),
    });
    this.transaction = new SessionTransaction({
      env: services.env,
      db: services.db,
      catalog: this.catalog,
      settings: this.settings,
      replayBytes: services.limits.replayBytes,
      followerReadTimestamp: () => this.past.followerReadTimestamp(),
      checkCanceled: () => this.#checkCanceled(),
    });
    this.host = services.createEvalHost({
      catalog: this.catalog,
      context: () => {
        if (this.#context === undefined) throw sqlError('internalError', 'no statement is running');
        return this.#context;
      },
    });
    this.settings.format.regName = (type, oid) => this.host.nameOf(type, oid);
    this.eval = new SessionEval({
      env: services.env,
      settings: this.settings,
      identity: this.identity,
      schemas: () => this.catalog.searchPath,
      host: this.host,
      followerLagMicros: () => followerLagMicros(services.catalogCache.current),
    });
    this.past = new PastReads({
      clock: services.db.clock,
      eval: this.eval,
      followerLagMicros: () => followerLagMicros(services.catalogCache.current),
    });
    this.#plans = new PlanCache(services.limits.cachedPlans);
    this.#templates = new TemplateCache(services.limits.cachedPlans);
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
    this.#noteQuery(text);
    try {
      const shape = findLiterals(text);
      if (shape !== undefined && (await this.#runTemplate(shape, out))) return;
      const statements = this.services.parser.parse(text);
      if (statements.length === 0) {
        out.emptyQuery();
      } else if (statements.length === 1 && statements[0] !== undefined) {
        await this.#runAlone(statements[0], out);
        if (shape !== undefined && this.#templates.isWorthwhile(shape)) {
          await this.#addTemplate(statements[0], shape);
        }
      } else {
        await this.#runSeveral(statements, out);
      }
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  /** Runs a statement of a known shape; false when it has to go the long way. */
  async #runTemplate(shape: LiteralText, out: ClientOutput): Promise<boolean> {
    const template = this.#templates.find(shape);
    if (template === undefined) return false;
    let params: Datum[] | undefined;
    try {
      this.#setClock();
      params = templateParams(template, shape.literals, this.settings.format);
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
    }
    // The long way finds the right words for what is wrong with a literal.
    if (params === undefined) return false;
    try {
      await this.#runStatement(
        template.statement,
        { params, formats: textFormats, describe: true, out },
        true,
      );
    } catch (error) {
      throw withoutPosition(error);
    }
    return true;
  }

  /** The shape came twice: plans it with parameters, for the next time. */
  async #addTemplate(parsed: ParsedStatement, shape: LiteralText): Promise<void> {
    const template = makeTemplate(parsed, shape);
    this.#templates.add(shape, template);
    if (template === undefined) return;
    try {
      await this.#plan(template.statement);
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
      this.#templates.refuse(shape);
    }
  }

  async #runAlone(parsed: ParsedStatement, out: ClientOutput): Promise<void> {
    const statement = this.#adHoc(parsed);
    try {
      await this.#runStatement(
        statement,
        { params: noParams, formats: textFormats, describe: true, out },
        true,
      );
    } catch (error) {
      throw located(error, parsed);
    }
  }

  /**
   * Several statements in one message are one implicit transaction, cut by transaction statements among
   * them (PostgreSQL 55.2.2.1). Such a part is run again as a whole if it has to restart.
   */
  async #runSeveral(statements: readonly ParsedStatement[], out: ClientOutput): Promise<void> {
    /** Where the implicit transaction that is open began; undefined when it did not begin in this message. */
    let begun: { readonly at: number; readonly mark: number } | undefined;
    let attempts = 0;
    for (let i = 0; i < statements.length; i++) {
      const parsed = statements[i];
      if (parsed === undefined) continue;
      const isLast = i === statements.length - 1;
      const before = this.transaction.state;
      if (before === 'idle') begun = { at: i, mark: out.mark() };
      else if (before === 'explicit') begun = undefined;
      const run: Run = { params: noParams, formats: textFormats, describe: true, out };
      try {
        await this.#runStatement(this.#adHoc(parsed), run, isLast && before === 'idle');
        if (isLast && this.transaction.state === 'implicit') await this.#commit();
      } catch (error) {
        const mayRestart =
          begun !== undefined && this.transaction.state !== 'explicit' && isAgain(error);
        if (
          !mayRestart ||
          attempts >= this.services.limits.retries ||
          !out.rewind(begun?.mark ?? 0)
        ) {
          throw located(error, parsed);
        }
        await this.#rollback();
        attempts++;
        this.#noteRetry('restart', error);
        await this.#pause(attempts);
        i = (begun?.at ?? 0) - 1;
      }
    }
  }

  #adHoc(parsed: ParsedStatement): PreparedStatement {
    return makeStatement('', parsed.text, parsed, []);
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
      this.#checkNotFailed(statement);
      if (statement.kind === 'query') await this.#plan(statement);
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
    this.#checkNotFailed(statement);
    await this.#describe(statement, out);
    return statement;
  }

  async describePortal(name: string, out: ClientOutput): Promise<Portal> {
    const portal = this.portal(name);
    this.#checkNotFailed(portal.statement);
    await this.#describe(portal.statement, out);
    return portal;
  }

  async #describe(statement: PreparedStatement, out: ClientOutput): Promise<void> {
    this.#start(out);
    try {
      switch (statement.kind) {
        case 'query':
          await this.#plan(statement);
          statement.isDescribed = true;
          break;
        case 'control':
          statement.columns = controlColumns(this, statement);
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
    this.#checkNotFailed(statement);
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
    this.#noteQuery(statement.text);
    try {
      if (statement.kind === 'empty') {
        out.emptyQuery();
      } else if (maxRows > 0 && statement.columns.length > 0 && statement.kind === 'query') {
        await this.#executePart(portal, maxRows, out);
      } else if (portal.run !== undefined) {
        await this.#executePart(portal, Number.MAX_SAFE_INTEGER, out);
      } else {
        if (portal.isDone) {
          throw sqlError('objectNotInPrerequisiteState', `portal "${portal.name}" cannot be run`);
        }
        portal.isDone = true;
        const run: Run = { params: portal.params, formats: portal.formats, describe: false, out };
        const alone = isLast && this.transaction.state === 'idle';
        await this.#runStatement(statement, run, alone);
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
    this.#checkNotFailed(portal.statement);
    this.#statementText = portal.statement.text;
    if (portal.isDone) {
      out.complete('SELECT 0');
      return;
    }
    const { run, rows } = await this.takeRows(portal, maxRows);
    out.beginResult(run.result.columns, portal.formats, false);
    const wait = out.rows(rows);
    if (wait !== undefined) await wait;
    if (rows.length === maxRows) {
      out.suspended();
      return;
    }
    portal.isDone = true;
    portal.run = undefined;
    const tag = run.result.tag();
    // The tag of a SELECT counts the rows of this Execute only.
    out.complete(tag.startsWith('SELECT ') ? `SELECT ${rows.length}` : tag);
    await run.result.close();
  }

  /** The next rows of a portal. The first ones are read anew when its statement was overtaken. */
  async takeRows(portal: Portal, count: number): Promise<{ run: PortalRun; rows: Row[] }> {
    for (let attempt = 1; ; attempt++) {
      const isNew = portal.run === undefined;
      try {
        const run = await this.#openPortal(portal);
        return { run, rows: await run.take(count) };
      } catch (error) {
        if (!isNew || !isStatementRetry(error) || attempt > this.services.limits.retries) {
          throw error;
        }
        portal.run = undefined;
        this.#noteRetry('statement-retry', error);
        this.transaction.undoStatement();
        await this.#pause(attempt);
      }
    }
  }

  /** Starts the portal's statement if it is not running yet, in the open (or a new implicit) transaction. */
  async #openPortal(portal: Portal): Promise<PortalRun> {
    if (portal.run !== undefined) return portal.run;
    if (this.transaction.state === 'idle') this.transaction.open('implicit');
    this.transaction.log.refuse('a portal was read in parts');
    const result = await this.#startQuery(portal.statement, portal.params, false);
    portal.run = new PortalRun(result);
    if (portal.statement.plan?.isReadOnly === false) await portal.run.complete();
    return portal.run;
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
      await this.#commit();
    } catch (error) {
      throw await this.#failed(error);
    } finally {
      this.#stop();
    }
  }

  /** A message failed outside of a statement (a malformed Bind): the transaction fails with it. */
  async messageFailed(error: unknown): Promise<SqlFailure> {
    return this.#failed(error);
  }

  // Running statements.

  /** `alone`: outside any block, and nothing follows in the same message. */
  async #runStatement(statement: PreparedStatement, run: Run, alone: boolean): Promise<void> {
    this.#checkNotFailed(statement);
    this.services.counters.statements++;
    this.#statementText = statement.text;
    if (statement.kind === 'transaction') {
      await this.#runTransactionStatement(statement, run.out);
      return;
    }
    if (!alone || this.transaction.state === 'explicit') {
      if (this.transaction.state === 'idle') this.transaction.open('implicit');
      await this.#runInTransaction(statement, run);
      return;
    }
    const mark = run.out.mark();
    this.past.begin();
    for (let attempt = 0; ; attempt++) {
      try {
        this.transaction.open('implicit', attempt === 0 && statement.kind === 'query');
        await this.#runOnce(statement, run, true);
        return;
      } catch (error) {
        // What follows from an assumption is not believed before it is found again without one.
        const unsure = this.transaction.assumesStill;
        await this.#rollback();
        if (unsure && this.#cancelReason === undefined && run.out.rewind(mark)) continue;
        if (this.past.mustStepBack(error) && run.out.rewind(mark)) continue;
        if (!isAgain(error) || attempt >= this.services.limits.retries) throw error;
        if (statement.kind === 'copy' || !run.out.rewind(mark)) throw error;
        this.#noteRetry('restart', error);
        await this.#pause(attempt + 1);
      }
    }
  }

  /** SAVEPOINT and the like belong to what a replay does again. */
  async #runTransactionStatement(statement: PreparedStatement, out: ClientOutput): Promise<void> {
    const { transaction } = this;
    if (!isSavepointStatement(statement)) return runTransactionStatement(this, statement, out);
    const isLogged = transaction.log.accepts(statement, transaction.modes);
    const digest = new DigestOutput(out);
    await runTransactionStatement(this, statement, digest);
    if (isLogged) {
      transaction.log.add({ statement, params: noParams, formats: [], digest: digest.digest() });
    }
  }

  /**
   * Among others. What was overtaken goes back to the statement's beginning (READ COMMITTED); when the transaction is
   * lost, all statements before it are replayed first.
   */
  async #runInTransaction(statement: PreparedStatement, run: Run): Promise<void> {
    const { transaction } = this;
    const { params, formats } = run;
    const mark = run.out.mark();
    const isLogged = transaction.log.accepts(statement, transaction.modes);
    for (let attempt = 1; ; attempt++) {
      const out = isLogged ? new DigestOutput(run.out) : run.out;
      this.#output = out;
      const note = (digest: string): void =>
        transaction.log.add({ statement, params, formats, digest });
      try {
        await this.#runOnce(statement, { ...run, out }, false);
        if (out instanceof DigestOutput) note(out.digest());
        return;
      } catch (error) {
        if (!(await this.#mayRunAgain(statement, run.out, { error, attempt, mark }))) {
          if (isLogged) note(failureDigest(toSqlFailure(error)));
          throw error;
        }
        await this.#pause(attempt);
      } finally {
        this.#output = run.out;
      }
    }
  }

  /** Prepares another run of a statement that failed in a transaction, if that is possible. */
  async #mayRunAgain(
    statement: PreparedStatement,
    out: ClientOutput,
    failed: { readonly error: unknown; readonly attempt: number; readonly mark: number },
  ): Promise<boolean> {
    const { error, attempt, mark } = failed;
    if (attempt > this.services.limits.retries || !this.#canRunAgain(statement)) return false;
    if (!isAgain(error) || !out.rewind(mark)) return false;
    if (!isStatementRetry(error)) return this.#replay(error);
    this.#noteRetry('statement-retry', error);
    this.transaction.undoStatement();
    return true;
  }

  /** Not what takes data from the client, leaves work to the commit, or goes on with an open portal. */
  #canRunAgain(statement: PreparedStatement): boolean {
    switch (statement.kind) {
      case 'query':
        return true;
      case 'control':
        return statementName(statement) === 'ExecuteStmt';
      case 'utility':
        return this.#shown(statement) !== undefined;
      default:
        return false;
    }
  }

  /** True: the open transaction is a new one, in which everything was done again. */
  async #replay(cause: unknown): Promise<boolean> {
    if (this.transaction.log.modes === undefined) return false;
    const refused = await replay({
      transaction: this.transaction,
      catalogVersion: () => this.catalog.snapshot.version,
      run: ({ statement, params, formats }, out) => {
        this.#output = out;
        return statement.kind === 'transaction'
          ? runTransactionStatement(this, statement, out)
          : this.#runOnce(statement, { params, formats, describe: false, out }, false);
      },
      pause: (attempt) => this.#pause(attempt),
      maxTries: this.services.limits.retries,
    });
    if (refused === undefined) this.#noteRetry('replay', cause);
    else this.#noteRetry('refused', refused);
    this.#refusal = refused;
    return refused === undefined;
  }

  async #runOnce(statement: PreparedStatement, run: Run, alone: boolean): Promise<void> {
    const { out } = run;
    let tag: string;
    switch (statement.kind) {
      case 'query': {
        const result = await this.#startQuery(statement, run.params, alone);
        if (result.columns.length > 0) out.beginResult(result.columns, run.formats, run.describe);
        tag = await this.#drain(result, out);
        break;
      }
      case 'utility': {
        const result = await this.#startUtility(statement, alone);
        if (result.columns.length > 0) out.beginResult(result.columns, run.formats, run.describe);
        tag = await this.#drain(result, out);
        break;
      }
      case 'control':
        tag = await runControl(this, statement, run);
        break;
      case 'copy':
        tag = await runCopy(this, statement, run, alone);
        break;
      default:
        return;
    }
    if (alone) await this.#commit();
    out.complete(tag);
  }

  async #drain(result: StatementResult, out: ClientOutput): Promise<string> {
    const hasRows = result.columns.length > 0;
    while (true) {
      const batch = await result.next();
      if (batch === undefined) break;
      if (hasRows && batch.length > 0) {
        const wait = out.rows(batch);
        if (wait !== undefined) await wait;
      }
      if (this.#cancelReason !== undefined) this.#checkCanceled();
    }
    return result.tag();
  }

  async #startQuery(
    statement: PreparedStatement,
    params: readonly Datum[],
    alone: boolean,
  ): Promise<StatementResult> {
    const past = this.#past(statement, alone);
    const txn = await this.transaction.require(past);
    const plan = await this.#plan(statement);
    if (this.transaction.readOnly && !plan.isReadOnly) throw readOnlyError(statement);
    if (!plan.isRepeatable) this.transaction.log.refuse('a volatile function was called');
    await this.beginStatement(txn);
    // A lone point read needs no timestamp of its own; AS OF SYSTEM TIME has one.
    const autocommit = alone && past === undefined && !this.transaction.isHistorical;
    const context = this.#makeContext(
      autocommit && !plan.isReadOnly ? this.transaction.guarded(txn) : txn,
      params,
      autocommit,
    );
    return plan.execute(context);
  }

  #past(statement: PreparedStatement, alone: boolean): Past | undefined {
    const parsed = statement.parsed?.statement;
    if (parsed?.kind !== 'postgres' || parsed.asOf === undefined) return undefined;
    return this.past.ofStatement(parsed.asOf, {
      alone,
      inBlock: this.transaction.state === 'explicit',
    });
  }

  async #startUtility(statement: PreparedStatement, alone: boolean): Promise<StatementResult> {
    const { parsed } = statement;
    if (parsed === undefined) throw sqlError('internalError', 'an empty statement is not run');
    if (this.transaction.readOnly && this.#shown(statement) === undefined) {
      throw readOnlyError(statement);
    }
    const txn = await this.transaction.require();
    await this.beginStatement(txn);
    const context = this.#makeContext(txn, noParams, alone);
    const { text } = parsed;
    return this.services.runUtility(
      parsed.statement.kind === 'cluster'
        ? { kind: 'cluster', statement: parsed.statement.statement, text }
        : { kind: 'postgres', node: selectIntoAsCreate(parsed.statement.node), text },
      context,
    );
  }

  /** A statement takes its snapshot: what open portals have not read yet, they read first. */
  async beginStatement(txn: Txn): Promise<void> {
    if (this.portals.size > 0 && txn.meta.isolation === 'read-committed') {
      for (const portal of this.portals.values()) await portal.run?.complete();
    }
    this.transaction.beginStatement(txn);
  }

  /** Undefined for what changes something. */
  #shown({ parsed }: PreparedStatement): ReturnType<SessionServices['shownBy']> {
    if (parsed?.statement.kind !== 'cluster') return undefined;
    return this.services.shownBy(parsed.statement.statement);
  }

  /** The statement's plan, made anew when the catalog or a setting it depends on has changed. */
  async #plan(statement: PreparedStatement): Promise<PreparedPlan> {
    const version = this.catalog.version;
    const { planEpoch } = this.settings;
    const known = statement.plan;
    if (
      known !== undefined &&
      known.catalogVersion === version &&
      statement.planEpoch === planEpoch
    ) {
      return known;
    }
    const plan = await this.#makePlan(statement, version, planEpoch);
    if (statement.isDescribed && !sameColumns(statement.columns, plan.columns)) {
      throw sqlError('featureNotSupported', 'cached plan must not change result type');
    }
    statement.plan = plan;
    statement.planEpoch = planEpoch;
    statement.parameterTypes = plan.parameterTypes;
    statement.columns = plan.columns;
    return plan;
  }

  async #makePlan(
    statement: PreparedStatement,
    version: number,
    planEpoch: number,
  ): Promise<PreparedPlan> {
    const parsed = statement.parsed;
    if (parsed?.statement.kind !== 'postgres') throw sqlError('internalError', 'nothing to plan');
    const types = statement.parameterTypes;
    const cached = this.#plans.get(parsed, types, version, planEpoch);
    if (cached !== undefined) return cached;
    const node = parsed.statement.upsert
      ? await upsertAsInsert(parsed.statement.node, this.catalog)
      : parsed.statement.node;
    this.#setClock();
    const plan = await this.services.planStatement({
      statement: node,
      // Once inferred they stay: values were already read as these types.
      parameterTypes: types,
      catalog: this.catalog,
      eval: this.eval,
    });
    // Planning may have looked at tables while the catalog moved on.
    if (plan.catalogVersion === this.catalog.version) {
      this.#plans.set(parsed, types, planEpoch, plan);
    }
    return plan;
  }

  /** Plans and starts a query on behalf of another statement (EXECUTE, DECLARE, COPY (query)). */
  startQuery(statement: PreparedStatement, params: readonly Datum[]): Promise<StatementResult> {
    return this.#startQuery(statement, params, false);
  }

  planOf(statement: PreparedStatement): Promise<PreparedPlan> {
    return this.#plan(statement);
  }

  drain(result: StatementResult, out: ClientOutput): Promise<string> {
    return this.#drain(result, out);
  }

  /** A context for work the session does itself (COPY). */
  makeContext(txn: Txn, params: readonly Datum[]): StatementContext {
    return this.#makeContext(txn, params, false);
  }

  #makeContext(txn: Txn, params: readonly Datum[], autocommit: boolean): StatementContext {
    this.#setClock();
    const context: StatementContext = {
      env: this.services.env,
      db: this.services.db,
      txn,
      autocommit,
      catalog: this.catalog,
      eval: this.eval,
      gossip: this.services.gossip,
      reports: this.services.reports,
      advisor: this.services.advisor,
      control: this.services.control,
      jobs: this.services.jobs,
      eventLog: this.services.eventLog,
      params,
      readOnly: this.transaction.readOnly,
      checkCanceled: this.#checkCanceledBound,
      notice: this.#noticeBound,
      memoryLimitBytes: this.services.limits.statementMemoryBytes,
      ddl: this.transaction.ddl,
    };
    this.#context = context;
    return context;
  }

  #setClock(): void {
    const start =
      this.transaction.state === 'idle'
        ? this.services.env.clock.wallMicros()
        : this.transaction.startWallMicros;
    const micros = timestampOfWall(start);
    this.eval.statementMicros = micros;
    this.eval.nowMicros = micros;
    this.settings.format.nowMicros = micros;
  }

  notice(severity: 'NOTICE' | 'WARNING' | 'INFO', code: string, message: string): void {
    const lowest = this.settings.get('client_min_messages');
    if (lowest === 'error' || (lowest === 'warning' && severity === 'NOTICE')) return;
    this.#output?.notice(severity, code, message);
  }

  readonly #checkCanceledBound = (): void => this.#checkCanceled();
  readonly #noticeBound: StatementContext['notice'] = (severity, code, message) =>
    this.notice(severity, code, message);

  // Ends of transactions.

  async #commit(): Promise<void> {
    if (this.portals.size > 0) await this.closePortals();
    try {
      await this.#commitKeys();
    } catch (error) {
      await this.transaction.rollback();
      throw error;
    }
    await this.transaction.finish();
    this.services.counters.commits++;
  }

  /** A commit that definitely did not happen is tried again after a replay. */
  async #commitKeys(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.transaction.commitKeys();
        return;
      } catch (error) {
        if (attempt > this.services.limits.retries || !isAgain(error)) throw error;
        if (!(await this.#replay(error))) throw error;
        await this.#pause(attempt);
      }
    }
  }

  async #rollback(): Promise<void> {
    if (this.portals.size > 0) await this.closePortals();
    if (this.transaction.txn !== undefined) this.services.counters.rollbacks++;
    await this.transaction.rollback();
  }

  commit(): Promise<void> {
    return this.#commit();
  }

  rollback(): Promise<void> {
    return this.#rollback();
  }

  /** Portals and cursors end with their transaction. */
  async closePortals(): Promise<void> {
    if (this.portals.size === 0) return;
    const open = [...this.portals.values()];
    this.portals.clear();
    for (const portal of open) await portal.run?.result.close().catch(() => {});
  }

  /** After an error: an implicit transaction is rolled back, an explicit one fails. Returns what the client sees. */
  async #failed(error: unknown): Promise<SqlFailure> {
    this.services.counters.failedStatements++;
    let failure = toSqlFailure(error);
    if (failure.code === '57014') failure = this.#canceledFailure(failure);
    if (failure.code === sqlStates.serializationFailure) {
      const refusal = this.#refusal === undefined ? '' : `; not replayed: ${this.#refusal}`;
      this.#noteRetry('error', `${reasonOf(failure)}${refusal}`);
    }
    if (failure.code === 'XX000') {
      this.services.env.log.error({ error }, 'a statement failed unexpectedly');
    }
    if (this.transaction.state === 'explicit') {
      if (!this.transaction.failed) await this.transaction.fail();
    } else if (this.transaction.state === 'implicit') {
      await this.#rollback();
    }
    return failure;
  }

  #checkNotFailed(statement: PreparedStatement): void {
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
    if (!this.#isRunning || this.#cancelReason !== undefined) return;
    this.#cancelReason = reason;
    this.transaction.txn?.cancel();
  }

  checkCanceled(): void {
    this.#checkCanceled();
  }

  #checkCanceled(): void {
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
    this.#output = out;
    this.#refusal = undefined;
    this.#cancelReason = undefined;
    const { statementTimeoutMs } = this.settings;
    if (statementTimeoutMs > 0 && this.#timeout === undefined) {
      this.#timeout = this.services.env.timers.after(statementTimeoutMs, () =>
        this.cancel('timeout'),
      );
    }
  }

  #noteQuery(text: string): void {
    this.lastQuery = text;
    this.queryStartMicros = this.services.env.clock.wallMicros();
  }

  #stop(): void {
    this.#isRunning = false;
    this.#timeout?.cancel();
    this.#timeout = undefined;
  }

  #noteRetry(kind: RetryKind, cause: unknown): void {
    const { retries, env } = this.services;
    const reason = typeof cause === 'string' ? cause : reasonOf(toSqlFailure(cause));
    retries.note(kind, this.#statementText, reason, env.clock.wallMicros());
  }

  async #pause(attempt: number): Promise<void> {
    if (attempt <= 2) return;
    const { env } = this.services;
    await sleep(env, Math.min(100, 2 ** attempt * env.random.float()));
    this.#checkCanceled();
  }

  /** DISCARD PLANS. */
  forgetPlans(): void {
    this.#plans.clear();
    this.#templates.clear();
    for (const statement of this.statements.values()) statement.plan = undefined;
  }

  /** The client is gone: rolls back and lets go of everything. Call it when no statement runs any more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stop();
    try {
      await this.#rollback();
      await this.host.close();
    } catch (error) {
      this.services.env.log.warn({ error }, 'rollback of an ended session failed');
    }
    this.statements.clear();
  }
}

/** SELECT ... INTO t is an old way to write CREATE TABLE t AS SELECT. */
function selectIntoAsCreate(node: Node): Node {
  if (!('SelectStmt' in node) || node.SelectStmt.intoClause === undefined) return node;
  const { intoClause: into, ...select } = node.SelectStmt;
  return {
    CreateTableAsStmt: {
      query: { SelectStmt: select },
      into,
      objtype: 'OBJECT_TABLE',
      is_select_into: true,
    },
  };
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

function isSavepointStatement({ parsed }: PreparedStatement): boolean {
  const statement = parsed?.statement;
  if (statement?.kind !== 'postgres' || !('TransactionStmt' in statement.node)) return false;
  const { kind } = statement.node.TransactionStmt;
  return (
    kind === 'TRANS_STMT_SAVEPOINT' ||
    kind === 'TRANS_STMT_RELEASE' ||
    kind === 'TRANS_STMT_ROLLBACK_TO'
  );
}

function reasonOf({ message, fields }: SqlFailure): string {
  return fields.detail?.replace(/^restart transaction: /, '') ?? message;
}

function sameColumns(a: readonly ResultColumn[], b: readonly ResultColumn[]): boolean {
  return (
    a.length === b.length &&
    a.every((column, i) => column.typeOid === b[i]?.typeOid && column.name === b[i].name)
  );
}

function readOnlyError(statement: PreparedStatement): SqlFailure {
  const parsed = statement.parsed?.statement;
  const name = parsed?.kind === 'postgres' ? writingName(parsed.node) : 'this statement';
  return sqlError('readOnlySqlTransaction', `cannot execute ${name} in a read-only transaction`);
}

function writingName(node: Node): string {
  if ('SelectStmt' in node && (node.SelectStmt.lockingClause?.length ?? 0) > 0) {
    return 'SELECT FOR UPDATE';
  }
  return nodeName(node).replace(/Stmt$/, '').toUpperCase();
}

/** The text the plan was made from is not the text that was sent: its positions mean nothing there. */
function withoutPosition(error: unknown): unknown {
  if (!(error instanceof SqlFailure) || error.fields.position === undefined) return error;
  return new SqlFailure(error.code, error.message, { ...error.fields, position: undefined });
}

/** Positions in a tree are bytes of the statement's text; clients count characters of the whole query string. */
function located(error: unknown, parsed: ParsedStatement): unknown {
  if (!(error instanceof SqlFailure) || error.fields.position === undefined) return error;
  const position = characterPosition(parsed.text, error.fields.position - 1) + parsed.offset;
  return new SqlFailure(error.code, error.message, { ...error.fields, position });
}
