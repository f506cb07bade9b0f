/** The versions of each list: who wrote them, in which order, and who read which. */
import { assert } from '../../util/index.ts';
import { type AppendTransaction } from './append-history.ts';

/** What is known of one key. Transactions are indexes of the history; elements name versions. */
export interface KeyVersions {
  /** By element, whatever became of the transaction. */
  readonly writers: ReadonlyMap<number, number>;
  /** The longest list that was read. An element that was never read and is the only one is known to come first. */
  readonly order: readonly number[];
  /** By the last element of what they read, undefined for an empty list. */
  readonly readers: ReadonlyMap<number | undefined, readonly number[]>;
}

interface Builder {
  readonly writers: Map<number, number>;
  order: readonly number[];
  readonly readers: Map<number | undefined, number[]>;
}

export function inferVersions(history: readonly AppendTransaction[]): Map<number, KeyVersions> {
  const keys = new Map<number, Builder>();
  const at = (key: number): Builder => {
    let builder = keys.get(key);
    if (builder === undefined) {
      builder = { writers: new Map(), order: [], readers: new Map() };
      keys.set(key, builder);
    }
    return builder;
  };
  for (const [index, { what, outcome }] of history.entries()) {
    for (const op of what) {
      const { writers, readers } = at(op.key);
      if (op.kind === 'append') {
        assert(!writers.has(op.element), `element ${op.element} was appended twice`);
        writers.set(op.element, index);
      } else if (outcome === 'ok' && op.list !== undefined) {
        const last = op.list.at(-1);
        const known = readers.get(last);
        if (known === undefined) readers.set(last, [index]);
        else if (known.at(-1) !== index) known.push(index);
        const builder = at(op.key);
        if (op.list.length > builder.order.length) builder.order = op.list;
      }
    }
  }
  for (const builder of keys.values()) {
    builder.order = [...new Set(builder.order)];
    if (builder.readers.size === 0 && builder.writers.size === 1) {
      builder.order = [...builder.writers.keys()];
    }
  }
  return keys;
}
