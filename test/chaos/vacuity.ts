/** Why a run proves little: too little happened in it (RunResult.vacuous). */
import { type Availability } from './availability.ts';
import { type JournalEntry } from './nemesis.ts';
import { type RunOptions } from './run.ts';

/** Operations that have to succeed per second, whatever fails. */
const okPerSecondMin = 1;
const okInsideMin = 0.3;
const okOutsideMin = 0.95;

export function vacuities(
  { nemesis, seconds }: Pick<RunOptions, 'nemesis' | 'seconds'>,
  availability: Availability,
  journal: readonly JournalEntry[],
): string[] {
  const { operations, okInside, okOutside } = availability;
  const reasons: string[] = [];
  if (operations < seconds * okPerSecondMin) reasons.push(`only ${operations} operations`);
  if ((okInside ?? 1) < okInsideMin) reasons.push(`${percent(okInside)} ok under faults`);
  if ((okOutside ?? 1) < okOutsideMin) reasons.push(`${percent(okOutside)} ok without faults`);
  for (const name of nemesis === 'none' ? [] : nemesis.split('+')) {
    const done = journal.filter((entry) => entry.name === name && entry.struck.length > 0);
    const refused = journal.find((entry) => entry.name === name && entry.error !== undefined);
    if (done.length === 0) reasons.push(`no ${name} ${refused?.error ?? 'happened'}`);
  }
  if (nemesis !== 'none' && okInside === undefined) reasons.push('no operation met a fault');
  return reasons;
}

export function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${(share * 100).toFixed(1)} %`;
}
