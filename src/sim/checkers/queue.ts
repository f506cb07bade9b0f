/** A queue of jobs: each is taken at most once, and what was put in is taken or still there. */
import { findingsAmong } from './describe.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, orNull, type OperationOf } from './shape.ts';

const shapes = {
  produce: int,
  /** The job, null when there was none. */
  consume: orNull(int),
  /** What is left in the end. */
  rest: orNull(listOf(int)),
};

export type QueueOperation = OperationOf<typeof shapes>;
export const queueCodec = operations(shapes);

type Operation = Recorded<QueueOperation>;

/**
 *   twice         two have taken a job
 *   unexpected    taken or left, but never put in before, or the attempt certainly failed
 *   revived       taken, and left in the end
 *   lost          put in, neither taken nor left: more of them than attempts to take one that nobody knows the end of
 */
export function checkQueue(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(queueCodec);
  const produced = new Map<number, Operation>();
  for (const each of history) if (each.what.kind === 'produce') produced.set(each.what.value, each);
  const taken = new Map<number, Operation>();
  const rests: { readonly left: ReadonlySet<number>; readonly by: Operation }[] = [];
  const expect = (job: number, by: Operation): void => {
    const producer = produced.get(job);
    if (!mayBeSeen(producer, by)) found('unexpected', producer, by);
  };
  for (const operation of history) {
    const { what, outcome } = operation;
    if (outcome !== 'ok' || what.kind === 'produce' || what.value === null) continue;
    if (what.kind === 'rest') {
      rests.push({ left: new Set(what.value), by: operation });
      continue;
    }
    expect(what.value, operation);
    const other = taken.get(what.value);
    if (other !== undefined) found('twice', other, operation);
    taken.set(what.value, operation);
  }
  const unknown = history.filter(
    ({ what, outcome }) => what.kind === 'consume' && outcome === 'info',
  );
  for (const { left, by } of rests) {
    for (const job of left) {
      expect(job, by);
      const taker = taken.get(job);
      if (taker !== undefined && taker.completed < by.invoked) found('revived', taker, by);
    }
    const missing = [...produced].filter(
      ([job, { outcome, completed }]) =>
        outcome === 'ok' && completed < by.invoked && !taken.has(job) && !left.has(job),
    );
    if (missing.length > unknown.length) found('lost', ...missing.map(([, each]) => each), by);
  }
  return findings;
}
