/** What clients noticed, worked out by hand for small runs; what makes a run vacuous. */
import { describe, expect, it } from 'vitest';
import { type Outcome } from '../../src/sim/checkers/history.ts';
import { availabilityOf } from './availability.ts';
import { type Attempt } from './clients.ts';
import { type JournalEntry } from './nemesis.ts';
import { vacuities } from './vacuity.ts';

function attempt(beganMs: number, endedMs: number, how: Partial<Attempt> = {}): Attempt {
  return { beganMs, endedMs, outcome: 'ok', isWrite: true, isConflict: false, ...how };
}

function fault(name: string, fromMs: number, healedMs: number | undefined): JournalEntry {
  const struck = [{ atMs: fromMs, text: 'node 1' }];
  return { name, drawn: {}, beganMs: fromMs - 5, struck, healedMs, error: undefined };
}

function every(stepMs: number, fromMs: number, toMs: number, outcome: Outcome = 'ok'): Attempt[] {
  const count = Math.floor((toMs - fromMs) / stepMs);
  return Array.from({ length: count }, (_, i) =>
    attempt(fromMs + i * stepMs, fromMs + i * stepMs + 1, { outcome }),
  );
}

describe('availabilityOf', () => {
  it('finds the longest time without a write in a fault, and the time to the first one behind it', () => {
    const attempts = [...every(10, 0, 1_000), attempt(1_000, 1_400), ...every(10, 2_100, 3_000)];
    const { windows } = availabilityOf(attempts, [fault('kill-one', 1_000, 2_000)], 3_000);
    // Written at 1,400, then healed at 2,000, then written at 2,101.
    expect(windows).toMatchObject([{ silenceMs: 600, silenceAfterMs: 101 }]);
  });

  it('begins to count after healing when no other outage holds, and ends when one strikes', () => {
    const journal = [
      fault('kill-one', 1_000, 1_500),
      fault('parts', 1_200, 2_000),
      fault('split', 1_000, 2_900),
      fault('pause-leaseholder', 2_305, 2_800),
    ];
    const { windows } = availabilityOf([attempt(2_840, 2_850)], journal, 3_000);
    expect(windows.map(({ silenceAfterMs }) => silenceAfterMs)).toEqual([300, 300, 100, 50]);
  });

  it('counts neither reads nor what failed as a write', () => {
    const attempts = [
      attempt(1_100, 1_200, { isWrite: false }),
      attempt(1_300, 1_400, { outcome: 'info' }),
      attempt(2_900, 2_950),
    ];
    const { windows } = availabilityOf(attempts, [fault('kill-one', 1_000, 2_000)], 3_000);
    expect(windows).toMatchObject([{ silenceMs: 1_000, silenceAfterMs: 950 }]);
  });

  it('lets a fault that never healed last until the end', () => {
    const { windows } = availabilityOf([], [fault('kill-one', 1_000, undefined)], 3_000);
    expect(windows).toMatchObject([{ toMs: 3_000, silenceMs: 2_000, silenceAfterMs: 0 }]);
  });

  it('counts an operation that met a fault inside, and conflicts for neither share', () => {
    const attempts = [
      attempt(0, 10),
      attempt(900, 1_100, { outcome: 'info' }),
      attempt(1_500, 1_600),
      attempt(1_500, 1_600, { outcome: 'fail', isConflict: true }),
      attempt(2_500, 2_600, { outcome: 'fail' }),
    ];
    const found = availabilityOf(attempts, [fault('parts', 1_000, 2_000)], 3_000);
    expect(found).toMatchObject({ operations: 5, okInside: 0.5, okOutside: 0.5 });
    expect(found).toMatchObject({ ambiguous: 0.2, conflicts: 0.2 });
  });
});

describe('vacuities', () => {
  const options = { nemesis: 'parts+split', seconds: 3 };
  const both = [fault('parts', 1_000, 2_000), fault('split', 1_000, 1_200)];
  const vacuous = (attempts: Attempt[], journal: JournalEntry[]): string[] =>
    vacuities(options, availabilityOf(attempts, journal, 3_000), journal);

  it('are none in a run in which everything happened', () => {
    expect(vacuous(every(10, 0, 3_000), both)).toEqual([]);
  });

  it('name what did not', () => {
    const [parts, split] = both.map((entry) => ({ ...entry }));
    const refused = { ...split, struck: [], error: 'Error: no' } as JournalEntry;
    const attempts = [...every(10, 0, 1_000, 'fail'), ...every(500, 1_000, 2_000, 'info')];
    expect(vacuous(attempts, [parts as JournalEntry, refused])).toEqual([
      '0.0 % ok under faults',
      '0.0 % ok without faults',
      'no split Error: no',
    ]);
    expect(vacuous([], both)).toEqual(['only 0 operations', 'no operation met a fault']);
  });
});
