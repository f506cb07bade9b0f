/** The workloads that are checked over SQL, by name. */
import { type IsolationLevel } from './attempt.ts';
import { bank } from './bank.ts';
import { listAppend } from './list-append.ts';
import { startRun, type WorkloadRun } from './run.ts';

export { isolationLevels, type IsolationLevel } from './attempt.ts';
export type { Verdict, WorkloadRun } from './run.ts';

type Start = (isolation: IsolationLevel, nowMs: () => number) => WorkloadRun;

const starts = {
  bank: (isolation, nowMs) => startRun(bank(isolation), isolation, nowMs),
  'list-append': (isolation, nowMs) => startRun(listAppend(isolation), isolation, nowMs),
} satisfies Record<string, Start>;

export type CheckedWorkloadName = keyof typeof starts;

export const checkedWorkloadNames = Object.keys(starts) as readonly CheckedWorkloadName[];

export function isCheckedWorkloadName(name: string): name is CheckedWorkloadName {
  return Object.hasOwn(starts, name);
}

/** `nowMs`: the clock of the history. */
export function startWorkload(
  name: CheckedWorkloadName,
  isolation: IsolationLevel,
  nowMs: () => number,
): WorkloadRun {
  return starts[name](isolation, nowMs);
}
