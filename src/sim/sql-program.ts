/** What a user's own workload consists of: functions that talk SQL to a simulated cluster. */
import { type Sql } from './sql-session.ts';

/** Everything random in a workload comes from here: then a seed gives the same run again. */
export interface SqlRandom {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [min, max]. */
  between(min: number, max: number): number;
  /** True with this probability, 0 to 1. */
  chance(probability: number): boolean;
  /** One of the items, which must not be none. */
  pick<T>(items: readonly T[]): T;
}

/**
 * INVARIANT: the functions wait for nothing but SQL and timers; there is nothing else in a simulation.
 *
 * A function that throws anything but a failure of the database under faults (see `isTransient`) has found something:
 * the run has failed. So has one that returns false.
 */
export interface SqlProgram {
  /** How many clients call `step` side by side; default: drawn from the seed. */
  readonly clients?: number;
  /** Tables and first rows, before anything goes wrong. */
  setup?(sql: Sql): unknown;
  /** What client `client` (from 0) does next. Never called again for a client before it has ended. */
  step(sql: Sql, random: SqlRandom, client: number): unknown;
  /** What holds at any moment: called between the steps of the clients, under faults. */
  invariant?(sql: Sql): unknown;
  /** What holds in the end: no step runs, nothing is broken any more. Called on each node. */
  check?(sql: Sql): unknown;
}
