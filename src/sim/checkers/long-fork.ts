/** Groups of keys that are each written once: whatever is read of a group, one read has all that the other has. */
import { findingsAmong } from './describe.ts';
import { grouped } from './grouped.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** Group and key. */
  write: tuple(int, int),
  /** A group, and which of its keys were there. */
  read: tuple(int, orNull(listOf(int))),
};

export type LongForkOperation = OperationOf<typeof shapes>;
export const longForkCodec = operations(shapes);

type Operation = Recorded<LongForkOperation>;

/**
 *   long-fork      two reads, each of which has what the other one misses
 *   unexpected     a key that nobody had begun to write when the read ended, or whose write certainly failed
 *   stale          a key is missing that was acknowledged before the read began
 */
export function checkLongFork(history: readonly Operation[]): Finding[] {
  return [...grouped(history, ({ what }) => what.value[0]).values()].flatMap(checkGroup);
}

function checkGroup(group: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(longForkCodec);
  const writes = new Map<number, Operation>();
  for (const each of group) if (each.what.kind === 'write') writes.set(each.what.value[1], each);
  const states: { readonly keys: ReadonlySet<number>; readonly read: Operation }[] = [];
  for (const read of group) {
    if (read.what.kind !== 'read' || read.outcome !== 'ok') continue;
    const keys = new Set(read.what.value[1] ?? []);
    for (const key of keys) {
      const write = writes.get(key);
      if (!mayBeSeen(write, read)) found('unexpected', write, read);
    }
    for (const [key, write] of writes) {
      const isKnown = write.outcome === 'ok' && write.completed < read.invoked;
      if (isKnown && !keys.has(key)) found('stale', write, read);
    }
    for (const other of states) {
      if (!isWithin(keys, other.keys) && !isWithin(other.keys, keys)) {
        found('long-fork', other.read, read);
      }
    }
    const isNew = states.every(
      (other) => !isWithin(keys, other.keys) || keys.size < other.keys.size,
    );
    if (isNew) states.push({ keys, read });
  }
  return findings;
}

function isWithin(part: ReadonlySet<number>, whole: ReadonlySet<number>): boolean {
  return [...part].every((key) => whole.has(key));
}
