/** The workloads that are checked over SQL, by name. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { historyOf, type HistoryEvent } from '../../checkers/history-files.ts';
import { appendSchemaChange } from './append-schema-change.ts';
import { bank } from './bank.ts';
import { comments } from './comments.ts';
import { counter } from './counter.ts';
import { followerReads } from './follower-reads.ts';
import { foreignKey } from './foreign-key.ts';
import { g2 } from './g2.ts';
import { listAppend } from './list-append.ts';
import { lockHolders } from './locks.ts';
import { longFork } from './long-fork.ts';
import { monotonic } from './monotonic.ts';
import { multiKeyAcid } from './multi-key-acid.ts';
import { queue } from './queue.ts';
import { register } from './register.ts';
import { startRun, verdictOn, type Verdict, type WorkloadRun } from './run.ts';
import { rwRegister } from './rw-register.ts';
import { sequential } from './sequential.ts';
import { set } from './set.ts';
import { txnCycle } from './txn-cycle.ts';
import { unique } from './unique.ts';
import { type CheckedWorkload } from './workload.ts';

export { isolationLevels, type IsolationLevel } from '../../checkers/isolation.ts';
export type { Verdict, WorkloadRun } from './run.ts';

const workloads = {
  bank: entry(bank),
  'list-append': entry(listAppend),
  register: entry(register),
  'rw-register': entry(rwRegister),
  set: entry(set),
  monotonic: entry(monotonic),
  'long-fork': entry(longFork),
  g2: entry(g2),
  sequential: entry(sequential),
  'multi-key-acid': entry(multiKeyAcid),
  comments: entry(comments),
  counter: entry(counter),
  'txn-cycle': entry(txnCycle),
  queue: entry(queue),
  unique: entry(unique),
  'foreign-key': entry(foreignKey),
  locks: entry(lockHolders),
  'follower-reads': entry(followerReads),
  'append-schema-change': entry(appendSchemaChange),
};

export type CheckedWorkloadName = keyof typeof workloads;

export const checkedWorkloadNames = Object.keys(workloads) as readonly CheckedWorkloadName[];

export function isCheckedWorkloadName(name: string): name is CheckedWorkloadName {
  return Object.hasOwn(workloads, name);
}

/** `nowMs`: the clock of the history. */
export function startWorkload(
  name: CheckedWorkloadName,
  isolation: IsolationLevel,
  nowMs: () => number,
): WorkloadRun {
  return workloads[name].start(isolation, nowMs);
}

/** On a history that was read from a file. Throws a TypeError when it is not one of this workload. */
export function checkEvents(
  name: CheckedWorkloadName,
  isolation: IsolationLevel,
  events: readonly HistoryEvent[],
): Verdict {
  return workloads[name].check(isolation, events);
}

interface Entry {
  readonly start: (isolation: IsolationLevel, nowMs: () => number) => WorkloadRun;
  readonly check: (isolation: IsolationLevel, events: readonly HistoryEvent[]) => Verdict;
}

function entry<What>(make: (isolation: IsolationLevel) => CheckedWorkload<What>): Entry {
  return {
    start: (isolation, nowMs) => startRun(make(isolation), isolation, nowMs),
    check(isolation, events) {
      const workload = make(isolation);
      return verdictOn(workload, historyOf(events, workload.codec));
    },
  };
}
