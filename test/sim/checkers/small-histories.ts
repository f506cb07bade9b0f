/** Small histories of list appends, right and wrong ones, and what has to come before what in them. */
import { type AppendTransaction, type MicroOp } from '../../../src/sim/checkers/append-history.ts';
import { type SeededRandom } from '../../../src/sim/random.ts';

type Lists = readonly (readonly number[])[];

/**
 * Up to five transactions over up to three keys. Those of a history are run at levels of their own: each reads what is there,
 * lists of any age, or all as it was after some earlier commit; and some of the last kind are given up when another
 * one has written meanwhile what they write. `isReadInTheEnd`: a last transaction tells all versions.
 */
export function smallHistory(
  random: SeededRandom,
  { isReadInTheEnd }: { readonly isReadInTheEnd: boolean },
): AppendTransaction[] {
  const keys = random.between(1, 3);
  const oldShare = random.pick([0, 0.3, 0.8]);
  const tornShare = random.pick([0, 0, 0.2, 0.5]);
  /** After each commit. */
  const states: Lists[] = [Array.from({ length: keys }, () => [])];
  let element = 0;
  const transactions = Array.from({ length: random.between(2, 5) }, () => {
    const now = states.at(-1) ?? [];
    const from = random.chance(oldShare) ? random.pick(states) : now;
    const own = from.map((list) =>
      random.chance(tornShare) ? list.slice(0, random.between(0, list.length)) : [...list],
    );
    const what = Array.from({ length: random.between(1, 3) }, (): MicroOp => {
      const key = random.between(0, keys - 1);
      if (random.chance(0.5)) return { kind: 'read', key, list: [...(own[key] ?? [])] };
      element++;
      own[key]?.push(element);
      return { kind: 'append', key, element };
    });
    const isWrittenSince = ({ kind, key }: MicroOp): boolean =>
      kind === 'append' && from[key]?.length !== now[key]?.length;
    const outcome =
      random.chance(0.7) && what.some(isWrittenSince)
        ? 'fail'
        : random.pick(['ok', 'ok', 'ok', 'ok', 'info', 'fail'] as const);
    const isLost =
      outcome === 'fail' ? !random.chance(0.03) : outcome === 'info' && random.chance(0.5);
    if (!isLost) {
      const next = now.map((list) => [...list]);
      for (const op of what) if (op.kind === 'append') next[op.key]?.push(op.element);
      states.push(next);
    }
    return { what, outcome };
  });
  const history = placed(transactions, random);
  if (!isReadInTheEnd) return history;
  const at = 2 * history.length;
  const what = (states.at(-1) ?? []).map((list, key): MicroOp => ({ kind: 'read', key, list }));
  const reader = { process: -1, what, outcome: 'ok' as const, invokedMs: 0 };
  return [...history, { ...reader, invoked: at, completed: at + 1 }];
}

/** All at once, or more or less in the order in which they were run. */
function placed(
  transactions: readonly Pick<AppendTransaction, 'what' | 'outcome'>[],
  random: SeededRandom,
): AppendTransaction[] {
  const spread = random.pick([0, 1, 3, 10]);
  const isAtOnce = random.chance(0.4);
  const points = transactions
    .flatMap((_, i) =>
      [0, 1].map((end) => ({ i, at: isAtOnce ? end : i + spread * random.float() })),
    )
    .sort((a, b) => a.at - b.at)
    .map(({ i }) => i);
  const history = transactions
    .map(({ what, outcome }, i) => ({
      process: i + 1,
      what,
      outcome,
      invoked: points.indexOf(i),
      completed: outcome === 'info' ? Number.POSITIVE_INFINITY : points.lastIndexOf(i),
      invokedMs: 0,
    }))
    .sort((a, b) => a.invoked - b.invoked);
  let freeAt = 0;
  for (const transaction of history) {
    if (transaction.invoked < freeAt || random.chance(0.3)) continue;
    transaction.process = 0;
    freeAt = transaction.completed;
  }
  return history;
}

/** Pairs that processes and real time order. */
export function precedence(history: readonly AppendTransaction[]): [number, number][] {
  const pairs: [number, number][] = [];
  for (const [a, first] of history.entries()) {
    for (const [b, second] of history.entries()) {
      if (a === b || second.outcome === 'fail' || first.outcome === 'fail') continue;
      if (first.outcome === 'ok' && second.outcome === 'ok' && first.process === second.process) {
        if (a < b) pairs.push([a, b]);
      }
      for (const mine of first.what) {
        for (const theirs of second.what) {
          if (mine.key !== theirs.key) continue;
          if (mine.kind === 'read' && theirs.kind === 'read') continue;
          const shown = history
            .filter(({ outcome, what }) => outcome === 'ok' && what.some((op) => shows(op, mine)))
            .map(({ completed }) => completed);
          if (Math.min(first.completed, ...shown) < second.invoked) pairs.push([a, b]);
        }
      }
    }
  }
  return pairs;
}

function shows(op: MicroOp, append: MicroOp): boolean {
  return (
    op.kind === 'read' &&
    append.kind === 'append' &&
    op.key === append.key &&
    op.list?.includes(append.element) === true
  );
}
