/** A counter that is added to and read: no read is outside of what the additions allow. */
import { type Finding, type Recorded } from './history.ts';
import { int, operations, type OperationOf } from './shape.ts';

const shapes = { add: int, read: int };

export type CounterOp = OperationOf<typeof shapes>;
export const counterCodec = operations(shapes);

/**
 * A read sees all that was acknowledged before it began, nothing that began after it ended or certainly failed,
 * and of the rest any part.
 */
export function checkCounter(history: readonly Recorded<CounterOp>[]): Finding[] {
  const findings: Finding[] = [];
  const additions = history.flatMap(({ what, ...interval }) =>
    what.kind === 'add' && interval.outcome !== 'fail' ? [{ ...interval, by: what.value }] : [],
  );
  for (const { what, outcome, invoked, completed, process, invokedMs } of history) {
    if (what.kind !== 'read' || outcome !== 'ok') continue;
    let least = 0;
    let most = 0;
    for (const addition of additions) {
      if (addition.invoked > completed) continue;
      const isCertain = addition.completed < invoked;
      if (isCertain || addition.by < 0) least += addition.by;
      if (isCertain || addition.by > 0) most += addition.by;
    }
    if (what.value >= least && what.value <= most) continue;
    findings.push({
      anomaly: what.value < least ? 'too-small' : 'too-large',
      text: `process ${process} read ${what.value}, not ${least} to ${most}, from ${Math.round(invokedMs)} ms`,
    });
  }
  return findings;
}
