/** Transactions that write unique values to registers and read registers, and how they are printed. */
import { type Recorded } from './history.ts';
import { int, isList, orNull, type Codec, type Json } from './shape.ts';

export type RegisterOp =
  | { readonly kind: 'write'; readonly key: number; readonly value: number }
  /** `value` null: nothing was there; undefined: the answer never came. */
  | { readonly kind: 'read'; readonly key: number; readonly value: number | null | undefined };

/** A history of them is in the order of invocation. */
export type RegisterTransaction = Recorded<readonly RegisterOp[]>;

/** As Jepsen writes them: `[[:w 1 7] [:r 2 nil]]`. */
export const registerTxnCodec: Codec<readonly RegisterOp[]> = {
  encode: (ops) => ({
    f: 'txn',
    value: ops.map(({ kind, key, value }) => [kind === 'write' ? 'w' : 'r', key, value ?? null]),
  }),
  decode({ f, value }) {
    if (f !== 'txn' || !isList(value)) throw new TypeError('not a transaction of writes and reads');
    return value.map(registerOp);
  },
};

const values = orNull(int);

function registerOp(written: Json): RegisterOp {
  const [f, key = null, value = null] = isList(written) ? written : [];
  if (f === 'w') return { kind: 'write', key: int(key), value: int(value) };
  if (f === 'r') return { kind: 'read', key: int(key), value: values(value) };
  throw new TypeError(`${String(f)} is neither w nor r`);
}

/** `T3 (process 1, ok, from 1204 ms): write k1 7, read k2 nothing` */
export function describeRegisters(history: readonly RegisterTransaction[], index: number): string {
  const transaction = history[index];
  if (transaction === undefined) return 'nobody';
  const { process, outcome, invokedMs, what } = transaction;
  const ops = what.map(({ kind, key, value }) => `${kind} k${key} ${value ?? 'nothing'}`);
  return `T${index} (process ${process}, ${outcome}, from ${Math.round(invokedMs)} ms): ${ops.join(', ')}`;
}
