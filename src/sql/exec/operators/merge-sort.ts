/**
 * A stable sort that lets other work have its turn, and ends when the statement is cancelled. Sorting a million rows takes seconds: a
 * node that is silent for so long loses its leases, and the transactions of its clients are taken for abandoned.
 */
import { type Runtime } from '../runtime.ts';

/** Sorted, or merged, in one go. */
const runLength = 1_024;

type Order<T> = (a: T, b: T) => number;

export async function mergeSort<T>(
  items: readonly T[],
  order: Order<T>,
  rt: Pick<Runtime, 'breathe'>,
): Promise<T[]> {
  if (items.length <= runLength) return items.toSorted(order);
  let runs: T[][] = [];
  for (let from = 0; from < items.length; from += runLength) {
    runs.push(items.slice(from, from + runLength).sort(order));
    await rt.breathe();
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      const [left = [], right = []] = runs.slice(i, i + 2);
      merged.push(await merge(left, right, order, rt));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(
  left: T[],
  right: T[],
  order: Order<T>,
  rt: Pick<Runtime, 'breathe'>,
): Promise<T[]> {
  const out: T[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const first = left[i] as T;
    const second = right[j] as T;
    // Of equal ones the left one is first.
    if (order(first, second) <= 0) {
      out.push(first);
      i++;
    } else {
      out.push(second);
      j++;
    }
    if (out.length % runLength === 0) await rt.breathe();
  }
  for (; i < left.length; i++) out.push(left[i] as T);
  for (; j < right.length; j++) out.push(right[j] as T);
  return out;
}
