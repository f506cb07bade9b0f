/** Transactions that append unique elements to lists and read lists, and how they are printed. */
import { type Recorded } from './history.ts';
import { int, isList, listOf, orNull, type Codec, type Json } from './shape.ts';

export type MicroOp =
  | { readonly kind: 'append'; readonly key: number; readonly element: number }
  /** `list` undefined: the answer never came. */
  | { readonly kind: 'read'; readonly key: number; readonly list: readonly number[] | undefined };

/** A history of them is in the order of invocation. */
export type AppendTransaction = Recorded<readonly MicroOp[]>;

const lists = orNull(listOf(int));

/** As Jepsen writes them: `[[:append 1 7] [:r 2 [1 2]]]`. */
export const appendCodec: Codec<readonly MicroOp[]> = {
  encode: (ops) => ({
    f: 'txn',
    value: ops.map((op) =>
      op.kind === 'append' ? ['append', op.key, op.element] : ['r', op.key, op.list ?? null],
    ),
  }),
  decode({ f, value }) {
    if (f !== 'txn' || !isList(value))
      throw new TypeError('not a transaction of appends and reads');
    return value.map(microOp);
  },
};

function microOp(value: Json): MicroOp {
  const [f, key = null, rest = null] = isList(value) ? value : [];
  if (f === 'append') return { kind: 'append', key: int(key), element: int(rest) };
  if (f === 'r') return { kind: 'read', key: int(key), list: lists(rest) ?? undefined };
  throw new TypeError(`${String(f)} is neither append nor r`);
}

/** `T3 (process 1, ok, from 1204 ms): append k1 7, read k2 [1 2]` */
export function describe(history: readonly AppendTransaction[], index: number | undefined): string {
  const transaction = index === undefined ? undefined : history[index];
  if (transaction === undefined) return 'nobody';
  const { process, outcome, invokedMs, what } = transaction;
  const ops = what.map((op) =>
    op.kind === 'append'
      ? `append k${op.key} ${op.element}`
      : `read k${op.key} ${op.list === undefined ? '?' : describeList(op.list)}`,
  );
  return `T${index} (process ${process}, ${outcome}, from ${Math.round(invokedMs)} ms): ${ops.join(', ')}`;
}

const shownElements = 12;

function describeList(list: readonly number[]): string {
  if (list.length <= shownElements) return `[${list.join(' ')}]`;
  return `[${list.length - shownElements} more, ${list.slice(-shownElements).join(' ')}]`;
}
