/**
 * How a node process keeps its memory small. Measured with a transaction of a million rows, which its gateway and the leaseholder, one node,
 * took 510 MB for, and 290 to 320 MB with both of these, pages of files included (`npm run bench -- large-transaction`).
 */
import { setFlagsFromString } from 'node:v8';

/**
 * V8 lets the heap grow to as much as four times of what was alive after a collection, on a machine that has the memory. Buffers that
 * are garbage stay for as long. It collects when there is 45 % more; a bulk load takes 8 % longer for it.
 */
const heapGrowingPercent = 45;

/**
 * Variables that glibc reads when a process starts. Left alone, its threshold for allocations which it can give back one by one (bytes)
 * rises by itself, and pages of rows and entries of the log end up between small things that stay: half of its heap was free and not
 * given back. Above the 64 KiB that Node reads of a socket at once: to map and unmap those took a fifth of the updates per second.
 * For the same reason all threads share one arena. The image has them (cluster/Dockerfile); other C libraries ignore them.
 */
export const mallocVariables: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: '69632',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_ARENA_MAX: '1',
};

/** Of this process, from the next collection on; what was said on the command line of Node holds. */
export function limitHeapGrowth(): void {
  if (process.execArgv.some((option) => option.startsWith('--heap-growing-percent'))) return;
  setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`);
}
