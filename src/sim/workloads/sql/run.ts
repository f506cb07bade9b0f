/** A checked workload under way: its history so far, and in the end what is wrong with it. Holds no clock and no timer. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { type Finding, type Outcome, type Recorded } from '../../checkers/history.ts';
import { eventsOf, type HistoryEvent } from '../../checkers/history-files.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { History } from '../history.ts';
import { AttemptFailure, execute } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

export interface Verdict {
  /** 'unknown' when nothing succeeded: then the history proves nothing. */
  readonly valid: boolean | 'unknown';
  /** What must not be. */
  readonly anomalies: readonly Finding[];
  /** What the isolation level permits and was seen. */
  readonly permitted: readonly Finding[];
  /** By kind of operation. */
  readonly counts: Readonly<Record<string, Readonly<Record<Outcome, number>>>>;
}

export interface WorkloadRun {
  readonly tables: readonly string[];
  /** To be executed one after the other before the clients start. */
  readonly setup: readonly string[];
  /**
   * What client `client` (from 0) does next, tried once. `sql` is one connection from beginning to end; the same
   * object means the same session. After 'info' the connection should be given up. Failures of the database and of
   * the connection are outcomes; anything else that is thrown is a mistake of the workload.
   */
  step(sql: SqlQueries, random: SqlRandom, client: number): Promise<Outcome>;
  /** To be called on each node when the clients have ended and all is healed; again on a new connection if not 'ok'. */
  finish(sql: SqlQueries): Promise<Outcome>;
  events(): readonly HistoryEvent[];
  verdict(): Verdict;
}

export function startRun<What>(
  workload: CheckedWorkload<What>,
  isolation: IsolationLevel,
  nowMs: () => number,
): WorkloadRun {
  return new Run(workload, isolation, nowMs);
}

class Run<What> implements WorkloadRun {
  readonly #workload: CheckedWorkload<What>;
  readonly #isolation: IsolationLevel;
  readonly #history: History<What>;
  /** Sessions are the processes of the history: what one client is promised holds within its session. */
  readonly #sessions = new WeakMap<SqlQueries, number>();
  #sessionCount = 0;

  constructor(workload: CheckedWorkload<What>, isolation: IsolationLevel, nowMs: () => number) {
    this.#workload = workload;
    this.#history = new History(nowMs);
    this.#isolation = isolation;
  }

  get setup(): readonly string[] {
    return this.#workload.setup;
  }

  get tables(): readonly string[] {
    return this.#workload.tables;
  }

  async step(sql: SqlQueries, random: SqlRandom, client: number): Promise<Outcome> {
    const session = await this.#sessionOf(sql);
    if (session === undefined) return 'info';
    return this.#perform(session, sql, this.#workload.next(random, client));
  }

  async finish(sql: SqlQueries): Promise<Outcome> {
    const session = await this.#sessionOf(sql);
    if (session === undefined) return 'info';
    for (const read of this.#workload.finalReads()) {
      const outcome = await this.#perform(session, sql, read);
      if (outcome !== 'ok') return outcome;
    }
    return 'ok';
  }

  events(): readonly HistoryEvent[] {
    return eventsOf(this.#history.operations, this.#workload.codec);
  }

  verdict(): Verdict {
    return verdictOn(this.#workload, this.#history.operations);
  }

  /** Undefined when it could not be set up. */
  async #sessionOf(sql: SqlQueries): Promise<number | undefined> {
    const known = this.#sessions.get(sql);
    if (known !== undefined) return known;
    try {
      for (const statement of sessionSetup(this.#isolation)) await execute(sql, statement);
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      return undefined;
    }
    const session = this.#sessionCount++;
    this.#sessions.set(sql, session);
    return session;
  }

  #perform(session: number, sql: SqlQueries, { what, run }: Step<What>): Promise<Outcome> {
    return this.#history.perform(session, what, () => run(sql));
  }
}

function sessionSetup(isolation: IsolationLevel): string[] {
  const level = isolation === 'strict' ? 'serializable' : isolation;
  const isStrict = isolation === 'strict' ? 'on' : 'off';
  return [
    `SET default_transaction_isolation = '${level}'`,
    `SET strict_serializability = ${isStrict}`,
  ];
}

export function verdictOn<What>(
  workload: Pick<CheckedWorkload<What>, 'codec' | 'check' | 'permitted'>,
  history: readonly Recorded<What>[],
): Verdict {
  const counts: Record<string, Record<Outcome, number>> = {};
  for (const { what, outcome } of history) {
    const { f } = workload.codec.encode(what);
    (counts[f] ??= { ok: 0, fail: 0, info: 0 })[outcome]++;
  }
  const findings = workload.check(history);
  const isPermitted = ({ anomaly }: Finding): boolean => workload.permitted.includes(anomaly);
  const anomalies = findings.filter((finding) => !isPermitted(finding));
  const succeeded = Object.values(counts).some(({ ok }) => ok > 0);
  return {
    valid: anomalies.length > 0 ? false : succeeded ? true : 'unknown',
    anomalies,
    permitted: findings.filter(isPermitted),
    counts,
  };
}
