/** The workloads that are checked over SQL, by name. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { historyOf, type HistoryEvent } from '../../checkers/history-files.ts';
import { bank } from './bank.ts';
import { counter } from './counter.ts';
import { g2 } from './g2.ts';
import { listAppend } from './list-append.ts';
import { longFork } from './long-fork.ts';
import { monotonic } from './monotonic.ts';
import { register } from './register.ts';
import { startRun, verdictOn, type Verdict, type WorkloadRun } from './run.ts';
import { sequential } from './sequential.ts';
import { set } from './set.ts';
import { type CheckedWorkload } from './workload.ts';

export { isolationLevels, type IsolationLevel } from '../../checkers/isolation.ts';
export type { Verdict, WorkloadRun } from './run.ts';

const workloads = {
  bank: entry(bank),
  'list-append': entry(listAppend),
  register: entry(register),
  set: entry(set),
  monotonic: entry(monotonic),
  'long-fork': entry(longFork),
  g2: entry(g2),
  sequential: entry(sequential),
  counter: entry(counter),
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
