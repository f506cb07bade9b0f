/**
 * What clients did and what they were told, as the checkers take it: every operation with its interval between
 * invocation and completion on one clock of events, and how it ended.
 */

/**
 * 'ok': it happened. 'fail': it certainly did not. 'info': nobody knows, it may even happen later
 * (the words are Jepsen's).
 */
export type Outcome = 'ok' | 'fail' | 'info';

export interface Recorded<What> {
  /** A process makes one operation after the other; nothing follows one that ended as 'info'. */
  readonly process: number;
  readonly what: What;
  /** Position among all invocations and completions; no two are equal. */
  readonly invoked: number;
  /** Infinity when the outcome is 'info'. */
  readonly completed: number;
  readonly outcome: Outcome;
  /** When it was invoked, for whoever compares it with a trace. */
  readonly invokedMs: number;
  /** When its end was known; undefined when it never ended. */
  readonly completedMs?: number;
  /** Of an attempt in SQL that did not succeed: SQLSTATE, or the system's name of a broken connection. */
  readonly error?: string;
}

/** Whether `by` may have seen what `write` did: it was begun before that ended, and has not certainly failed. */
export function mayBeSeen<What>(
  write: Recorded<What> | undefined,
  by: Recorded<unknown>,
): write is Recorded<What> {
  return write !== undefined && write.outcome !== 'fail' && write.invoked < by.completed;
}

/** What a checker found: the name of the anomaly, and the operations that show it. */
export interface Finding {
  readonly anomaly: string;
  readonly text: string;
}
