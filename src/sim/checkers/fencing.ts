/**
 * Locks that are taken over, with a token that rises each time, and writes that carry the token of their holder: once
 * another holder is known, the one before it must no longer be able to write.
 */
import { findingsAmong } from './describe.ts';
import { grouped } from './grouped.ts';
import { type Finding, type Recorded } from './history.ts';
import { bool, int, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** A lock, and the token that came with it. */
  acquire: tuple(int, orNull(int)),
  /** A lock, a token, and whether the write was accepted. */
  write: tuple(int, int, orNull(bool)),
};

export type FencingOperation = OperationOf<typeof shapes>;
export const fencingCodec = operations(shapes);

type Operation = Recorded<FencingOperation>;

/**
 *   duplicate-token    two have got the same one
 *   not-rising         acquired after a larger token, or an equal one, was known
 *   lost-holder        a write was accepted after a larger token was known
 */
export function checkFencing(history: readonly Operation[]): Finding[] {
  return [...grouped(history, ({ what }) => what.value[0]).values()].flatMap(checkLock);
}

function checkLock(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(fencingCodec);
  const holders = new Map<number, Operation>();
  /** What was known, the earliest first, and only where the token rose. */
  const known: { readonly token: number; readonly by: Operation }[] = [];
  const done = history
    .filter(({ outcome }) => outcome === 'ok')
    .toSorted((a, b) => a.completed - b.completed);
  for (const by of done) {
    const token = by.what.value[1];
    if (by.what.kind !== 'acquire' || token === null) continue;
    const other = holders.get(token);
    if (other !== undefined) found('duplicate-token', other, by);
    holders.set(token, by);
    if (token > (known.at(-1)?.token ?? -1)) known.push({ token, by });
  }
  for (const operation of done) {
    const { kind, value } = operation.what;
    const token = value[1];
    if (token === null || (kind === 'write' && value[2] !== true)) continue;
    const before = known.findLast(({ by }) => by.completed < operation.invoked);
    if (before === undefined || before.token <= token) continue;
    found(kind === 'write' ? 'lost-holder' : 'not-rising', before.by, operation);
  }
  return findings;
}
