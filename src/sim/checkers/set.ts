/** A set that elements are added to and that is read as a whole: what has once been known stays. */
import { type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, type OperationOf } from './shape.ts';

const shapes = { add: int, read: listOf(int) };

export type SetOp = OperationOf<typeof shapes>;
export const setCodec = operations(shapes);

/**
 *   duplicate    twice in one read
 *   unexpected   nobody had tried to add it when the read ended, or the attempt certainly failed
 *   lost         acknowledged or seen, and missing in every read that began later
 *   stale        acknowledged or seen, missing in a read that began later, and there in another
 *
 * One finding per element and kind.
 */
export function checkSet(history: readonly Recorded<SetOp>[]): Finding[] {
  const found = new Map<string, Finding>();
  const note = (anomaly: string, element: number, text: string): void => {
    const name = `${anomaly} ${element}`;
    if (!found.has(name)) found.set(name, { anomaly, text: `element ${element}: ${text}` });
  };
  const adds = new Map<number, Recorded<SetOp>>();
  const reads: { read: Recorded<SetOp>; elements: readonly number[]; has: Set<number> }[] = [];
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind === 'add') adds.set(what.value, operation);
    else if (outcome === 'ok') {
      const { value: elements } = what;
      reads.push({ read: operation, elements, has: new Set(elements) });
    }
  }
  /** Since when everybody must see an element. */
  const known = new Map<number, number>();
  for (const [element, { outcome, completed }] of adds) {
    if (outcome === 'ok') known.set(element, completed);
  }
  for (const { read, elements } of reads) {
    const seen = new Set<number>();
    for (const element of elements) {
      if (seen.has(element)) note('duplicate', element, describe(read));
      seen.add(element);
      const add = adds.get(element);
      if (add === undefined || add.invoked > read.completed || add.outcome === 'fail') {
        note('unexpected', element, `${describe(add)}; ${describe(read)}`);
      }
      known.set(element, Math.min(read.completed, known.get(element) ?? read.completed));
    }
  }
  for (const [element, since] of known) {
    const later = reads.filter(({ read }) => read.invoked > since);
    const missing = later.find(({ has }) => !has.has(element));
    if (missing === undefined) continue;
    const isSeen = later.some(({ has }) => has.has(element));
    note(
      isSeen ? 'stale' : 'lost',
      element,
      `${describe(adds.get(element))}; missing in ${describe(missing.read)}`,
    );
  }
  return [...found.values()];
}

function describe(operation: Recorded<SetOp> | undefined): string {
  if (operation === undefined) return 'nobody adds it';
  const { process, what, outcome, invokedMs } = operation;
  const size = what.kind === 'read' ? ` of ${what.value.length}` : '';
  return `${what.kind}${size} (process ${process}, ${outcome}, from ${Math.round(invokedMs)} ms)`;
}
