/**
 * Is there an order of the operations on one object, each at some moment between its invocation and its completion,
 * that explains what they returned? (Wing and Gong 1993, with Lowe's memo of visited configurations, 2017.)
 * An operation of unknown outcome may happen at any time after its invocation, or never.
 */
import { type Finding, type Recorded } from './history.ts';

/** An object whose states are strings. */
export interface Model<Op> {
  readonly initial: string;
  /** The state behind `op`, or undefined when `op` cannot have returned what it did in `state`. */
  step(state: string, op: Op): string | undefined;
}

/** Of one object; more are not tried. */
const stepsMax = 1_000_000;

/**
 * Of several objects: 'not-linearizable' with what `describe` says of one, and 'undecided' when more than one and more than
 * one in a hundred could not be decided. `noun`: what they are called.
 */
export function checkLinearizable<Op, Name>(
  objects: ReadonlyMap<Name, readonly Recorded<Op>[]>,
  model: Model<Op>,
  shown: {
    readonly noun: string;
    readonly describe: (history: readonly Recorded<Op>[], name: Name) => string;
  },
): Finding[] {
  const findings: Finding[] = [];
  let unknown = 0;
  for (const [name, history] of objects) {
    const verdict = isLinearizable(history, model, stepsMax);
    if (verdict === 'unknown') unknown++;
    if (verdict !== 'no') continue;
    findings.push({ anomaly: 'not-linearizable', text: shown.describe(history, name) });
  }
  if (unknown > 1 && unknown * 100 > objects.size) {
    findings.push({ anomaly: 'undecided', text: `${unknown} of ${objects.size} ${shown.noun}` });
  }
  return findings;
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
  const configurations = new Configurations(calls);
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
      configurations.flip(last.call);
      putBack(calls + last.call);
      putBack(last.call);
      entry = next[last.call] ?? head;
      continue;
    }
    const after =
      model.step(state, operation.what) ?? (operation.outcome === 'info' ? state : undefined);
    if (after === undefined || !configurations.visit(entry, after)) {
      entry = next[entry] ?? head;
      continue;
    }
    stack.push({ call: entry, state });
    state = after;
    take(entry);
    take(calls + entry);
    entry = next[head] ?? head;
  }
  return 'yes';
}

/** Which operations are in the order and what state they lead to: whatever led there, what follows is the same. */
class Configurations {
  /** A bit for each operation that is in the order, and a hash of them all. */
  readonly #done: Uint32Array;
  #hash = 0;
  readonly #states = new Map<string, number>();
  readonly #visited = new Map<number, { readonly done: Uint32Array; readonly state: number }[]>();

  constructor(operations: number) {
    this.#done = new Uint32Array((operations >>> 5) + 1);
  }

  /** Takes an operation into the order, or out of it again. */
  flip(operation: number): void {
    this.#done[operation >>> 5] = (this.#done[operation >>> 5] ?? 0) ^ (1 << (operation & 31));
    this.#hash ^= scrambled(operation + 1);
  }

  /** Takes an operation into the order; false, and nothing is done, when what this leads to was visited before. */
  visit(operation: number, after: string): boolean {
    const state = this.#states.get(after) ?? this.#states.size;
    this.#states.set(after, state);
    this.flip(operation);
    const name = this.#hash ^ scrambled(~state);
    const alike = this.#visited.get(name) ?? [];
    if (alike.some((each) => each.state === state && isEqual(each.done, this.#done))) {
      this.flip(operation);
      return false;
    }
    alike.push({ done: this.#done.slice(), state });
    this.#visited.set(name, alike);
    return true;
  }
}

function isEqual(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Spreads small numbers over 32 bits (the finalizer of MurmurHash3). */
function scrambled(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
