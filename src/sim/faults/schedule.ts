/** The faults of a run, drawn before it begins; and which of them happen, in a run that is repeated. */
import { type SeededRandom } from '../random.ts';
import { faultClassOf, type FaultName } from './classes.ts';
import { type DrawnFault, type Scene } from './fault.ts';

export interface ScheduledFault {
  /** From 1, in order of time. */
  readonly id: number;
  /** From the begin of the faults. */
  readonly atMs: number;
  readonly name: FaultName;
  readonly fault: DrawnFault;
  /** See `DrawnFault`. */
  readonly shrunk: number;
}

export interface ScheduleOptions {
  readonly scene: Scene;
  readonly durationMs: number;
  /** Mean time between two. */
  readonly everyMs: number;
  readonly classes: readonly FaultName[];
}

export function drawSchedule(random: SeededRandom, options: ScheduleOptions): ScheduledFault[] {
  const { scene, durationMs, everyMs, classes } = options;
  const weights = classes.map((name) => faultClassOf(name).weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const schedule: ScheduledFault[] = [];
  if (total === 0) return schedule;
  for (let atMs = 0; ;) {
    atMs += random.float() * 2 * everyMs;
    if (atMs >= durationMs) return schedule;
    let place = random.float() * total;
    const name = classes.find((_, i) => (place -= weights[i] ?? 0) < 0);
    const own = random.fork();
    const fault = name === undefined ? undefined : faultClassOf(name).draw(own, scene);
    if (name === undefined || fault === undefined) continue;
    schedule.push({ id: schedule.length + 1, atMs, name, fault, shrunk: 1 });
  }
}

/** Ids of the faults that happen, each with the factor by which its times are shorter. */
export type Selection = ReadonlyMap<number, number>;

export function select(
  schedule: readonly ScheduledFault[],
  selection: Selection | undefined,
): ScheduledFault[] {
  if (selection === undefined) return [...schedule];
  return schedule.flatMap((fault) => {
    const shrunk = selection.get(fault.id);
    return shrunk === undefined ? [] : [{ ...fault, shrunk }];
  });
}

/** `3,7/4,12`: the faults 3, 7 (four times as short) and 12. Undefined when it does not say that. */
export function parseSelection(text: string): Selection | undefined {
  const selection = new Map<number, number>();
  for (const part of text.split(',')) {
    if (part === '') continue;
    const match = /^(\d+)(?:\/(\d+))?$/.exec(part.trim());
    const divisor = Number(match?.[2] ?? 1);
    if (match === null || divisor === 0) return undefined;
    selection.set(Number(match[1]), 1 / divisor);
  }
  return selection;
}

export function formatSelection(selection: Selection): string {
  return [...selection]
    .map(([id, shrunk]) => (shrunk === 1 ? String(id) : `${id}/${Math.round(1 / shrunk)}`))
    .join(',');
}

export function describeFault({ id, atMs, name, fault, shrunk }: ScheduledFault): string {
  return `#${id} ${(atMs / 1000).toFixed(3)}s ${name} ${fault.describe(shrunk)}`;
}
