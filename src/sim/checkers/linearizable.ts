/**
 * Is there an order of the operations on one object, each at some moment between its invocation and its completion,
 * that explains what they returned? (Wing and Gong 1993, with Lowe's memo of visited configurations, 2017.)
 * An operation of unknown outcome may happen at any time after its invocation, or never.
 */
import { type Recorded } from './history.ts';

/** An object whose states are strings. */
export interface Model<Op> {
  readonly initial: string;
  /** The state behind `op`, or undefined when `op` cannot have returned what it did in `state`. */
  step(state: string, op: Op): string | undefined;
}

/** 'unknown': not decided within `stepsMax` steps. */
export function isLinearizable<Op>(
  history: readonly Recorded<Op>[],
  model: Model<Op>,
  stepsMax: number,
): 'yes' | 'no' | 'unknown' {
  const operations = history.filter(({ outcome }) => outcome !== 'fail');
  const calls = operations.length;
  const order = operations
    .flatMap(({ invoked, completed }, i) => [
      { at: invoked, entry: i },
      { at: completed, entry: calls + i },
    ])
    .sort((a, b) => (a.at === b.at ? a.entry - b.entry : a.at - b.at))
    .map(({ entry }) => entry);
  // A list of what is not in order yet: calls are below `calls`, their returns above, the end is `head`.
  const head = 2 * calls;
  const next = new Int32Array(head + 1);
  const previous = new Int32Array(head + 1);
  const link = (a: number, b: number): void => {
    next[a] = b;
    previous[b] = a;
  };
  [head, ...order].forEach((entry, i) => link(entry, order[i] ?? head));
  const take = (entry: number): void => link(previous[entry] ?? head, next[entry] ?? head);
  const putBack = (entry: number): void => {
    link(previous[entry] ?? head, entry);
    link(entry, next[entry] ?? head);
  };

  let state = model.initial;
  let done = 0n;
  const visited = new Set<string>();
  const stack: { readonly call: number; readonly state: string }[] = [];
  let entry = next[head] ?? head;
  for (let steps = 0; next[head] !== head; steps++) {
    if (steps === stepsMax) return 'unknown';
    const operation = operations[entry];
    if (operation === undefined) {
      // A return whose call is not in the order, or the end: the last choice was wrong.
      const last = stack.pop();
      if (last === undefined) return 'no';
      state = last.state;
      done &= ~(1n << BigInt(last.call));
      putBack(calls + last.call);
      putBack(last.call);
      entry = next[last.call] ?? head;
      continue;
    }
    const after =
      model.step(state, operation.what) ?? (operation.outcome === 'info' ? state : undefined);
    const configuration = `${(done | (1n << BigInt(entry))).toString(36)} ${after}`;
    if (after === undefined || visited.has(configuration)) {
      entry = next[entry] ?? head;
      continue;
    }
    visited.add(configuration);
    stack.push({ call: entry, state });
    state = after;
    done |= 1n << BigInt(entry);
    take(entry);
    take(calls + entry);
    entry = next[head] ?? head;
  }
  return 'yes';
}
