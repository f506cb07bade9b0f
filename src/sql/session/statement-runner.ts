/**
 * Runs the statements of a session in its transaction, again where that is right.
 *
 *   alone             in a transaction of its own (autocommit): again from the start whenever it has to restart
 *   among others      what was overtaken goes back to the statement's beginning (READ COMMITTED); what was lost is replayed
 *   commit            one that definitely did not happen is tried again after a replay
 *
 * INVARIANT: nothing is run again once some of its result has left for the client, or a commit may have happened.
 */
import { type Node } from '@pgsql/types';
import { sleep } from '../../util/index.ts';
import { type Txn } from '../../kv/index.ts';
import { sqlError, type SqlFailure } from '../errors.ts';
import { type Datum, type Row, timestampOfWall } from '../types/index.ts';
import { DigestOutput } from './answer-digest.ts';
import { type ClientOutput } from './client.ts';
import { runChangefeed } from './changefeed.ts';
import { refuseWrongClock } from './clock-check.ts';
import { runControl } from './control.ts';
import { runCopy } from './copy/copy.ts';
import { isStatementRetry, toSqlFailure } from './kv-errors.ts';
import { type Past } from './past-reads.ts';
import { OutdatedTemplate } from './planner.ts';
import { type Portal, PortalRun, type PreparedStatement } from './prepared.ts';
import { isAgain, replay } from './replay.ts';
import { type RetryKind } from './retry-stats.ts';
import { type SessionServices } from './services.ts';
import { type Run, type Session } from './session.ts';
import { nodeName, statementName } from './statement-kind.ts';
import { type SessionTransaction } from './transaction.ts';
import { runTransactionStatement } from './transaction-statements.ts';
import { type StatementContext, type StatementResult } from './types.ts';

const noParams: readonly Datum[] = [];

export class StatementRunner {
  readonly #session: Session;
  readonly #services: SessionServices;
  readonly #transaction: SessionTransaction;
  /** Of the statement that runs, or ran last. */
  context: StatementContext | undefined;
  /** Of the statement that runs, or ran last. */
  #text = '';
  /** Why the open transaction was not replayed, though it had to be. */
  #refusal: string | undefined;

  constructor(session: Session) {
    this.#session = session;
    this.#services = session.services;
    this.#transaction = session.transaction;
  }

  /** `alone`: outside any block, and nothing follows in the same message. */
  async run(statement: PreparedStatement, run: Run, alone: boolean): Promise<void> {
    this.#session.checkNotFailed(statement);
    this.#services.counters.statements++;
    this.#text = statement.text;
    this.#refusal = undefined;
    if (statement.kind === 'transaction') {
      await this.#runTransactionStatement(statement, run.out);
      return;
    }
    refuseWrongClock(this.#services.db.clock);
    // Nothing follows what has no end.
    const isEndless = statement.kind === 'changefeed' && this.#transaction.state === 'idle';
    if (!(alone || isEndless) || this.#transaction.state === 'explicit') {
      if (this.#transaction.state === 'idle') this.#transaction.open('implicit');
      await this.#runInTransaction(statement, run);
      return;
    }
    const mark = run.out.mark();
    this.#session.past.begin();
    for (let attempt = 0; ; attempt++) {
      try {
        this.#transaction.open('implicit', attempt === 0 && statement.kind === 'query');
        await this.#runOnce(statement, run, true);
        return;
      } catch (error) {
        // What follows from an assumption is not believed before it is found again without one.
        const unsure = this.#transaction.assumesStill;
        await this.rollback();
        if (unsure && !this.#session.isCanceled && (await this.#takeBack(run.out, mark))) continue;
        if (this.#session.past.mustStepBack(error) && (await this.#takeBack(run.out, mark)))
          continue;
        if (!isAgain(error) || attempt >= this.#services.limits.retries) throw error;
        if (statement.kind === 'copy' || !(await this.#takeBack(run.out, mark))) throw error;
        this.noteRetry('restart', error);
        await this.pause(attempt + 1);
      }
    }
  }

  /** SAVEPOINT and the like belong to what a replay does again. */
  async #runTransactionStatement(statement: PreparedStatement, out: ClientOutput): Promise<void> {
    const transaction = this.#transaction;
    if (!isSavepointStatement(statement))
      return runTransactionStatement(this.#session, statement, out);
    const isLogged = transaction.log.accepts(statement, transaction.modes);
    const digest = new DigestOutput(out);
    await runTransactionStatement(this.#session, statement, digest);
    if (isLogged) {
      transaction.log.add({
        statement,
        params: noParams,
        formats: [],
        digest: digest.digest(),
        statementMicros: this.#session.eval.statementMicros,
        executed: undefined,
      });
    }
  }

  /**
   * Among others. What was overtaken goes back to the statement's beginning (READ COMMITTED); when the transaction is
   * lost, all statements before it are replayed first.
   */
  async #runInTransaction(statement: PreparedStatement, run: Run): Promise<void> {
    const transaction = this.#transaction;
    const { params, formats } = run;
    const mark = run.out.mark();
    const isLogged = transaction.log.accepts(statement, transaction.modes);
    for (let attempt = 1; ; attempt++) {
      const out = isLogged ? new DigestOutput(run.out) : run.out;
      this.#session.output = out;
      const executed = this.#session.executedBy(statement);
      const note = (digest: string | undefined): void =>
        transaction.log.add({
          statement: asPrepared(statement),
          params,
          formats,
          digest,
          statementMicros: this.#session.eval.statementMicros,
          executed,
        });
      try {
        await this.#runOnce(statement, { ...run, out }, false);
        if (out instanceof DigestOutput) note(out.digest());
        return;
      } catch (error) {
        if (error instanceof OutdatedTemplate) throw error;
        if (!(await this.#mayRunAgain(statement, run.out, { error, attempt, mark }))) {
          if (out instanceof DigestOutput) note(out.failed(toSqlFailure(error)));
          throw error;
        }
        await this.pause(attempt);
      } finally {
        this.#session.output = run.out;
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
    if (attempt > this.#services.limits.retries || !this.#canRunAgain(statement)) return false;
    if (!isAgain(error) || !(await this.#takeBack(out, mark))) return false;
    if (!isStatementRetry(error)) return this.#replay(error);
    this.noteRetry('statement-retry', error);
    this.#transaction.undoStatement();
    return true;
  }

  /** What the client has been sent, and the session's locks that were taken, are as before the statement. */
  async #takeBack(out: ClientOutput, mark: number): Promise<boolean> {
    return out.rewind(mark) && (await this.#session.host.undoStatement());
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
    if (this.#transaction.log.modes === undefined) return false;
    const { eval: seen } = this.#session;
    const { statementMicros } = seen;
    try {
      const refused = await this.#replayLog();
      if (refused === undefined) this.noteRetry('replay', cause);
      else this.noteRetry('refused', refused);
      this.#refusal = refused;
      return refused === undefined;
    } finally {
      seen.statementMicros = statementMicros;
    }
  }

  #replayLog(): Promise<string | undefined> {
    return replay({
      transaction: this.#transaction,
      catalogVersion: () => this.#session.catalog.snapshot.version,
      isAsBefore: ({ statement, executed }) => this.#session.executedBy(statement) === executed,
      run: ({ statement, params, formats, statementMicros }, out) => {
        this.#session.checkCanceled();
        this.#session.output = out;
        this.#session.eval.statementMicros = statementMicros;
        return statement.kind === 'transaction'
          ? runTransactionStatement(this.#session, statement, out)
          : this.#runOnce(statement, { params, formats, describe: false, out }, false);
      },
      pause: (attempt) => this.pause(attempt),
      maxTries: this.#services.limits.retries,
    });
  }

  async #runOnce(statement: PreparedStatement, run: Run, alone: boolean): Promise<void> {
    const { out } = run;
    this.#expectStatement();
    let tag: string;
    switch (statement.kind) {
      case 'query': {
        const result = await this.startQuery(statement, run.params, alone);
        if (result.columns.length > 0) out.beginResult(result.columns, run.formats, run.describe);
        tag = await this.drain(result, out);
        break;
      }
      case 'utility': {
        const result = await this.#startUtility(statement, alone);
        if (result.columns.length > 0) out.beginResult(result.columns, run.formats, run.describe);
        tag = await this.drain(result, out);
        break;
      }
      case 'control':
        tag = await runControl(this.#session, statement, run);
        break;
      case 'copy':
        tag = await runCopy(this.#session, statement, run, alone);
        break;
      case 'changefeed':
        return runChangefeed(this.#session, statement, run, alone);
      default:
        return;
    }
    if (alone) await this.commit();
    // What has come too late for the statement is not left to the next one.
    else this.#session.checkCanceled();
    out.complete(tag);
  }

  /** What a failure takes back is the coming statement's, however early it fails. */
  #expectStatement(): void {
    this.#session.host.beginStatement();
    this.#transaction.expectStatement();
  }

  async drain(result: StatementResult, out: ClientOutput): Promise<string> {
    const hasRows = result.columns.length > 0;
    while (true) {
      const batch = await result.next();
      if (batch === undefined) break;
      if (hasRows && batch.length > 0) {
        const wait = out.rows(batch);
        if (wait !== undefined) await wait;
      }
      // A lone statement has committed before its first row is told: then a cancel comes too late.
      const isCommitted = this.#transaction.txn?.status === 'committed';
      if (this.#session.isCanceled && !isCommitted) this.#session.checkCanceled();
    }
    return result.tag();
  }

  /** The next rows of a portal. The first ones are read anew when its statement was overtaken. */
  async takeRows(portal: Portal, count: number): Promise<{ run: PortalRun; rows: Row[] }> {
    for (let attempt = 1; ; attempt++) {
      const isNew = portal.run?.hasBegun !== true;
      if (isNew) this.#expectStatement();
      try {
        const run = await this.openPortal(portal);
        return { run, rows: await run.take(count) };
      } catch (error) {
        const isAgain =
          isNew && isStatementRetry(error) && attempt <= this.#services.limits.retries;
        if (!isAgain || !(await this.#session.host.undoStatement())) throw error;
        portal.run = undefined;
        this.noteRetry('statement-retry', error);
        this.#transaction.undoStatement();
        await this.pause(attempt);
      }
    }
  }

  /**
   * Starts the portal's statement if it is not running yet, in the open (or a new implicit) transaction. One that only reads
   * does not read before its first rows are taken.
   */
  async openPortal(portal: Portal): Promise<PortalRun> {
    if (portal.run !== undefined) return portal.run;
    if (this.#transaction.state === 'idle') this.#transaction.open('implicit');
    this.#transaction.log.refuse('a portal was read in parts');
    const result = await this.startQuery(portal.statement, portal.params);
    portal.run = new PortalRun(portal.name, result, portal.formats);
    if (portal.statement.plan?.isReadOnly === false)
      await portal.run.complete(this.#services.limits.statementMemoryBytes);
    return portal.run;
  }

  async startQuery(
    statement: PreparedStatement,
    params: readonly Datum[],
    alone = false,
  ): Promise<StatementResult> {
    const past = this.#past(statement, alone);
    const isFirst = this.#transaction.txn === undefined;
    const txn = await this.#transaction.require(past);
    const planned = this.#session.planner.plan(statement);
    const plan = planned instanceof Promise ? await planned : planned;
    if (this.#transaction.readOnly && !plan.isReadOnly) throw readOnlyError(statement);
    const { log } = this.#transaction;
    if (!plan.isRepeatable) log.refuse('something was asked for that may change');
    if (plan.outlivesRollback) log.outlivesRollback = true;
    const reading = this.beginStatement(txn, { mayWrite: !plan.isReadOnly, isFirst });
    if (reading !== undefined) await reading;
    // A lone point read needs no timestamp of its own; AS OF SYSTEM TIME has one. What waits for locks together with
    // the commit would wait without limit.
    const autocommit =
      alone &&
      past === undefined &&
      !this.#transaction.isHistorical &&
      this.#session.settings.lockTimeoutMs === 0;
    const context = this.makeContext(
      autocommit && !plan.isReadOnly ? this.#transaction.guarded(txn) : txn,
      params,
      autocommit,
    );
    return plan.execute(context);
  }

  #past(statement: PreparedStatement, alone: boolean): Past | undefined {
    const parsed = statement.parsed?.statement;
    if (parsed?.kind !== 'postgres' || parsed.asOf === undefined) return undefined;
    return this.#session.past.ofStatement(parsed.asOf, {
      alone,
      inBlock: this.#transaction.state === 'explicit',
    });
  }

  async #startUtility(statement: PreparedStatement, alone: boolean): Promise<StatementResult> {
    const { parsed } = statement;
    if (parsed === undefined) throw sqlError('internalError', 'an empty statement is not run');
    const mayWrite = this.#shown(statement) === undefined;
    if (this.#transaction.readOnly && mayWrite) throw readOnlyError(statement);
    const txn = await this.#transaction.require();
    await this.beginStatement(txn, { mayWrite });
    const context = this.makeContext(txn, noParams, alone);
    const { text } = parsed;
    return this.#services.runUtility(
      parsed.statement.kind === 'cluster'
        ? { kind: 'cluster', statement: parsed.statement.statement, text }
        : { kind: 'postgres', node: selectIntoAsCreate(parsed.statement.node), text },
      context,
    );
  }

  /**
   * A statement takes its snapshot, or may write: what open portals have not read yet, they read first. Undefined when there
   * are none.
   */
  beginStatement(
    txn: Txn,
    { mayWrite, isFirst }: { readonly mayWrite: boolean; readonly isFirst?: boolean },
  ): Promise<void> | undefined {
    const disturbs = mayWrite || txn.meta.isolation === 'read-committed';
    if (disturbs && this.#hasOpenPortals) {
      return this.#session.host
        .apart(() => this.#completePortals())
        .then(() => this.#transaction.beginStatement(txn));
    }
    this.#transaction.beginStatement(txn, isFirst);
    return undefined;
  }

  get #hasOpenPortals(): boolean {
    for (const { run } of this.#session.portals.values()) if (run !== undefined) return true;
    return false;
  }

  /** What fails in a portal is not the statement's, except that it is cancelled. */
  async #completePortals(): Promise<void> {
    for (const portal of this.#session.portals.values()) {
      await portal.run?.complete(this.#services.limits.statementMemoryBytes);
      this.#session.checkCanceled();
    }
  }

  /** Undefined for what changes something. */
  #shown({ parsed }: PreparedStatement): ReturnType<SessionServices['shownBy']> {
    if (parsed?.statement.kind !== 'cluster') return undefined;
    return this.#services.shownBy(parsed.statement.statement);
  }

  makeContext(txn: Txn, params: readonly Datum[], autocommit = false): StatementContext {
    this.setClock();
    const context: StatementContext = {
      env: this.#services.env,
      db: this.#services.db,
      txn,
      autocommit,
      catalog: this.#session.catalog,
      eval: this.#session.eval,
      gossip: this.#services.gossip,
      reports: this.#services.reports,
      advisor: this.#services.advisor,
      control: this.#services.control,
      jobs: this.#services.jobs,
      eventLog: this.#services.eventLog,
      params,
      readOnly: this.#transaction.readOnly,
      checkCanceled: this.#checkCanceled,
      notice: this.#notice,
      memoryLimitBytes: this.#services.limits.statementMemoryBytes,
      ddl: this.#transaction.ddl,
    };
    this.context = context;
    return context;
  }

  /** now() is that of the transaction, be it open or coming. */
  setClock(): void {
    const start =
      this.#transaction.state === 'idle'
        ? this.#session.queryStartMicros
        : this.#transaction.startWallMicros;
    const micros = timestampOfWall(start);
    this.#session.eval.nowMicros = micros;
    this.#session.settings.format.nowMicros = micros;
  }

  async commit(): Promise<void> {
    const closing = this.#session.closePortals();
    if (closing !== undefined) await closing;
    try {
      if (this.#transaction.txn?.status !== 'committed') await this.#commitKeys();
    } catch (error) {
      await this.#transaction.rollback();
      throw error;
    }
    await this.#transaction.finish();
    this.#services.counters.commits++;
  }

  /** A commit that definitely did not happen is tried again after a replay. */
  async #commitKeys(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#transaction.commitKeys();
        return;
      } catch (error) {
        if (attempt > this.#services.limits.retries || !isAgain(error)) throw error;
        if (!(await this.#replay(error))) throw error;
        await this.pause(attempt);
      }
    }
  }

  async rollback(): Promise<void> {
    if (this.#session.portals.size > 0) await this.#session.closePortals();
    if (this.#transaction.txn !== undefined) this.#services.counters.rollbacks++;
    await this.#transaction.rollback();
  }

  noteRetry(kind: RetryKind, cause: unknown): void {
    const { retries, env } = this.#services;
    const reason = typeof cause === 'string' ? cause : reasonOf(toSqlFailure(cause));
    retries.note(kind, this.#text, reason, env.clock.wallMicros());
  }

  async pause(attempt: number): Promise<void> {
    this.#session.checkCanceled();
    if (attempt <= 2) return;
    const { env } = this.#services;
    await sleep(env, Math.min(100, 2 ** attempt * env.random.float()));
    this.#session.checkCanceled();
  }

  /** A client is told of a serialization failure. */
  noteFailure(failure: SqlFailure): void {
    const refusal = this.#refusal === undefined ? '' : `; not replayed: ${this.#refusal}`;
    this.noteRetry('error', `${reasonOf(failure)}${refusal}`);
  }

  readonly #checkCanceled = (): void => this.#session.checkCanceled();
  readonly #notice: StatementContext['notice'] = (severity, code, message) =>
    this.#session.notice(severity, code, message);
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

/** For a replay, which has the same parameters: a template stands for the statement it was made from. */
function asPrepared(statement: PreparedStatement): PreparedStatement {
  return statement.isTemplate ? { ...statement, isTemplate: false } : statement;
}
