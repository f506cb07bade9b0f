/** Counters that only rise, and reads of all of them as they were at a time: at one time there is one answer. */
import { findingsAmong } from './describe.ts';
import { grouped } from './grouped.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, text, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** The counter that is added one to. */
  add: int,
  /** Only asks what time it is, to read there later: in decimal microseconds. */
  now: text,
  /** A time, and counters with their values. */
  read: tuple(text, listOf(tuple(int, int))),
};

export type PastReadsOperation = OperationOf<typeof shapes>;
export const pastReadsCodec = operations(shapes);

type Operation = Recorded<PastReadsOperation>;

/**
 *   changed-past    two reads of one time differ
 *   going-back      a counter is smaller at a later time
 *   too-large       more than had been asked for when the read ended
 */
export function checkPastReads(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(pastReadsCodec);
  /** By time. */
  const answers = new Map<
    bigint,
    { readonly values: ReadonlyMap<number, number>; readonly by: Operation }
  >();
  const additions = grouped(
    history.filter(({ what }) => what.kind === 'add'),
    ({ what }) => what.value,
  );
  for (const by of history) {
    if (by.what.kind !== 'read' || by.outcome !== 'ok') continue;
    const [time, rows] = by.what.value;
    const values = new Map(rows);
    const other = answers.get(BigInt(time));
    if (other === undefined) answers.set(BigInt(time), { values, by });
    else if (differ(values, other.values)) found('changed-past', other.by, by);
    for (const [counter, value] of values) {
      const asked = additions.get(counter) ?? [];
      if (value > asked.filter((each) => mayBeSeen(each, by)).length) found('too-large', by);
    }
  }
  const inOrder = [...answers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, answer]) => answer);
  for (const [i, { values, by }] of inOrder.entries()) {
    const before = inOrder[i - 1];
    for (const [counter, value] of before?.values ?? []) {
      if (value > (values.get(counter) ?? 0)) found('going-back', before?.by, by);
    }
  }
  return findings;
}

function differ(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  return a.size !== b.size || [...a].some(([counter, value]) => b.get(counter) !== value);
}
