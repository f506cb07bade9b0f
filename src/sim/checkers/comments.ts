/** Comments that are each written once, to different tables, and read all at once: who sees one sees what it may answer. */
import { findingsAmong } from './describe.ts';
import { mayBeSeen, type Finding, type Recorded } from './history.ts';
import { int, listOf, operations, orNull, type OperationOf } from './shape.ts';

const shapes = { write: int, read: orNull(listOf(int)) };

export type CommentsOperation = OperationOf<typeof shapes>;
export const commentsCodec = operations(shapes);

type Operation = Recorded<CommentsOperation>;

/**
 *   causal-reverse    a comment is seen, and one is missing that was acknowledged before it was begun
 *   stale             a comment is missing that was acknowledged before the read began
 *   unexpected        nobody had begun to write it when the read ended, or the attempt certainly failed
 */
export function checkComments(history: readonly Operation[]): Finding[] {
  const { findings, found } = findingsAmong(commentsCodec);
  const writes = new Map<number, Operation>();
  for (const each of history) if (each.what.kind === 'write') writes.set(each.what.value, each);
  const acknowledged = [...writes].filter(([, { outcome }]) => outcome === 'ok');
  for (const read of history) {
    if (read.what.kind !== 'read' || read.outcome !== 'ok') continue;
    const seen = new Set(read.what.value);
    let latest: Operation | undefined;
    for (const id of seen) {
      const write = writes.get(id);
      if (!mayBeSeen(write, read)) {
        found('unexpected', write, read);
      } else if (latest === undefined || write.invoked > latest.invoked) latest = write;
    }
    for (const [id, write] of acknowledged) {
      if (seen.has(id)) continue;
      if (write.completed < read.invoked) found('stale', write, read);
      else if (latest !== undefined && write.completed < latest.invoked) {
        found('causal-reverse', write, latest, read);
      }
    }
  }
  return findings;
}
