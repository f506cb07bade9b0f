/** The checker of list appends against every possible order of small histories, and against planted anomalies. */
import { expect, it } from 'vitest';
import { type AppendTransaction, type MicroOp } from '../../../src/sim/checkers/append-history.ts';
import { checkListAppend } from '../../../src/sim/checkers/list-append.ts';
import { SeededRandom } from '../../../src/sim/random.ts';

const seed = Number(process.env['SIM_SEED'] ?? 1);

it(`agrees with a search of all orders (seed ${seed})`, () => {
  const random = new SeededRandom(seed);
  let good = 0;
  let bad = 0;
  for (let i = 0; i < 20_000; i++) {
    const history = smallHistory(random);
    const expected = someOrderExplains(history);
    const findings = checkListAppend(history);
    if ((findings.length === 0) !== expected) {
      expect.fail(`${JSON.stringify(history)}: ${expected}, but ${JSON.stringify(findings)}`);
    }
    if (expected) good++;
    else bad++;
  }
  expect(good).toBeGreaterThan(1_500);
  expect(bad).toBeGreaterThan(1_500);
}, 60_000);

it('finds what is planted in a long history that is right', () => {
  const random = new SeededRandom(seed);
  const history = serialHistory(random, 2_000);
  expect(checkListAppend(history)).toEqual([]);
  for (let i = 0; i < 60; i++) {
    const index = random.between(100, history.length - 1);
    const changed = plant(history, index, random);
    if (changed !== undefined) expect(checkListAppend(changed)).not.toEqual([]);
  }
});

it('takes 30,000 transactions in a moment', () => {
  const history = serialHistory(new SeededRandom(seed), 30_000);
  expect(checkListAppend(history)).toEqual([]);
});

/** Up to five transactions over up to three keys, run on values that are not always the right ones. */
function smallHistory(random: SeededRandom): AppendTransaction[] {
  const keys = random.between(1, 3);
  const stale = random.pick([0, 0.2, 0.5]);
  const states = Array.from({ length: keys }, (): number[] => []);
  let element = 0;
  const transactions = Array.from({ length: random.between(2, 5) }, () => {
    const own = states.map((list) =>
      random.chance(stale) ? list.slice(0, random.between(0, list.length)) : [...list],
    );
    const what = Array.from({ length: random.between(1, 3) }, (): MicroOp => {
      const key = random.between(0, keys - 1);
      if (random.chance(0.5)) return { kind: 'read', key, list: [...(own[key] ?? [])] };
      element++;
      own[key]?.push(element);
      return { kind: 'append', key, element };
    });
    const outcome = random.pick(['ok', 'ok', 'ok', 'ok', 'info', 'fail'] as const);
    const isLost =
      outcome === 'fail' ? !random.chance(0.03) : outcome === 'info' && random.chance(0.5);
    if (!isLost) {
      for (const op of what) if (op.kind === 'append') states[op.key]?.push(op.element);
    }
    return { what, outcome };
  });
  // More or less in the order in which they were run.
  const spread = random.pick([0, 1, 3, 10]);
  const points = transactions
    .flatMap((_, i) => [i, i].map(() => ({ i, at: i + spread * random.float() })))
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

/** Tries all orders of what happened, with each choice of what may have. */
function someOrderExplains(history: readonly AppendTransaction[]): boolean {
  const before = precedence(history);
  const search = (
    done: readonly number[],
    states: ReadonlyMap<number, readonly number[]>,
  ): boolean => {
    const isOver = history.every(({ outcome }, i) => outcome !== 'ok' || done.includes(i));
    if (isOver) return true;
    return history.some(({ outcome }, i) => {
      if (outcome === 'fail' || done.includes(i)) return false;
      const late = before.some(
        ([a, b]) => b === i && !done.includes(a) && history[a]?.outcome === 'ok',
      );
      // What must come before but is left out for now is left out for good.
      if (late || before.some(([a, b]) => a === i && done.includes(b))) return false;
      const next = runOne(history[i], states);
      return next !== undefined && search([...done, i], next);
    });
  };
  return search([], new Map());
}

/** Pairs that processes and real time order. */
function precedence(history: readonly AppendTransaction[]): [number, number][] {
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

function runOne(
  transaction: AppendTransaction | undefined,
  states: ReadonlyMap<number, readonly number[]>,
): Map<number, readonly number[]> | undefined {
  const next = new Map(states);
  for (const op of transaction?.what ?? []) {
    const list = next.get(op.key) ?? [];
    if (op.kind === 'append') next.set(op.key, [...list, op.element]);
    else if (transaction?.outcome === 'ok' && op.list?.join() !== list.join()) return undefined;
  }
  return next;
}

/** Right by construction: one after the other. */
function serialHistory(random: SeededRandom, length: number): AppendTransaction[] {
  const lists = new Map<number, number[]>();
  return Array.from({ length }, (_, i): AppendTransaction => {
    const what = Array.from({ length: random.between(1, 4) }, (__, j): MicroOp => {
      const key = random.between(0, 9) + 10 * Math.floor(i / 100);
      const list = lists.get(key) ?? [];
      lists.set(key, list);
      if (random.chance(0.5)) return { kind: 'read', key, list: [...list] };
      list.push(10 * i + j);
      return { kind: 'append', key, element: 10 * i + j };
    });
    return {
      process: i % 10,
      what,
      outcome: 'ok',
      invoked: 2 * i,
      completed: 2 * i + 1,
      invokedMs: i,
    };
  });
}

/** Changes what one transaction read; undefined when it has read nothing that can be changed. */
function plant(
  history: readonly AppendTransaction[],
  index: number,
  random: SeededRandom,
): AppendTransaction[] | undefined {
  const victim = history[index];
  const at = victim?.what.findIndex((op) => op.kind === 'read' && (op.list?.length ?? 0) > 1) ?? -1;
  const read = victim?.what[at];
  if (victim === undefined || read?.kind !== 'read' || read.list === undefined) return undefined;
  const list = [...read.list];
  const how = random.pick(['lose', 'swap', 'repeat', 'invent']);
  if (how === 'lose') list.splice(random.between(0, list.length - 1), 1);
  if (how === 'swap') list.unshift(...list.splice(random.between(1, list.length - 1), 1));
  if (how === 'repeat') list.push(random.pick(list));
  if (how === 'invent') list.push(-1);
  const what = victim.what.map((op, i) => (i === at ? { ...read, list } : op));
  return history.map((each, i) => (i === index ? { ...victim, what } : each));
}
