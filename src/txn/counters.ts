/** What a gateway's coordinators count; the server exports it. All only grow. */

export interface TxnCounters {
  /** Commits in one phase whose answer was lost, so that their range was asked what became of them. */
  onePhaseCommitsSettled: number;
  /** Commits that staged their record together with their last writes. */
  parallelCommits: number;
  /** Of these: a write or the record did not come through at the staged timestamp, and two rounds followed. */
  parallelCommitsAgain: number;
  /** Of these: an answer was lost or the client cancelled, so the record was asked how it ended. */
  parallelCommitsSettled: number;
  /** Reads of a transaction or a statement that were compared with a later timestamp, to go on there. */
  refreshes: number;
  /** Of these: something had changed. */
  refreshesFailed: number;
}

export function newTxnCounters(): TxnCounters {
  return {
    onePhaseCommitsSettled: 0,
    parallelCommits: 0,
    parallelCommitsAgain: 0,
    parallelCommitsSettled: 0,
    refreshes: 0,
    refreshesFailed: 0,
  };
}
