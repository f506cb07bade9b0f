/** Transactions that append unique elements to lists and read lists, and how they are printed. */
import { type Recorded } from './history.ts';

export type MicroOp =
  | { readonly kind: 'append'; readonly key: number; readonly element: number }
  /** `list` undefined: the answer never came. */
  | { readonly kind: 'read'; readonly key: number; readonly list: readonly number[] | undefined };

/** A history of them is in the order of invocation. */
export type AppendTransaction = Recorded<readonly MicroOp[]>;

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
