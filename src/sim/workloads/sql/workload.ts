/**
 * A workload whose history is recorded and checked: it needs nothing but SQL, so the same one runs in simulated
 * clusters and against real ones. `run.ts` runs it.
 */
import { type Finding, type Recorded } from '../../checkers/history.ts';
import { type Codec } from '../../checkers/shape.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { type SqlQueries } from '../../sql-session.ts';

export interface Step<What> {
  /** As it is asked for; what is to be read is not there yet. */
  readonly what: What;
  /** One attempt. Resolves with what was done, answers included; throws AttemptFailure. */
  readonly run: (sql: SqlQueries) => Promise<What>;
}

export interface CheckedWorkload<What> {
  readonly tables: readonly string[];
  /** Makes the tables and their first rows: single statements. */
  readonly setup: readonly string[];
  /** How operations are written to files. */
  readonly codec: Codec<What>;
  /** What a client does next. */
  next(random: SqlRandom, client: number): Step<What>;
  /** Made through each node when the clients have ended. */
  finalReads(): readonly Step<What>[];
  /** Anomalies that the isolation level permits. */
  readonly permitted: readonly string[];
  /** Of a history in the order of invocation. */
  check(history: readonly Recorded<What>[]): readonly Finding[];
}
