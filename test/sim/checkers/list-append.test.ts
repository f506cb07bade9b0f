/** The checker of list appends against every possible order of small histories, and against planted anomalies. */
import { expect, it } from 'vitest';
import { type AppendTransaction, type MicroOp } from '../../../src/sim/checkers/append-history.ts';
import { checkListAppend } from '../../../src/sim/checkers/list-append.ts';
import { SeededRandom } from '../../../src/sim/random.ts';
import { precedence, smallHistory } from './small-histories.ts';

const seed = Number(process.env['SIM_SEED'] ?? 1);

it(`agrees with a search of all orders (seed ${seed})`, () => {
  const random = new SeededRandom(seed);
  let good = 0;
  let bad = 0;
  for (let i = 0; i < 20_000; i++) {
    const history = smallHistory(random, { isReadInTheEnd: random.chance(0.3) });
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
  const history = serialHistory(random, 600);
  expect(checkListAppend(history)).toEqual([]);
  for (const plant of [loseElement, swapElements, repeatElement, inventElement, readThePast]) {
    for (let planted = 0; planted < 20;) {
      const changed = changeRead(history, random, plant);
      if (changed === undefined) continue;
      planted++;
      expect(checkListAppend(changed), plant.name).not.toEqual([]);
    }
  }
  for (let i = 0; i < 20; i++) {
    const changed = forgetAppend(history, random);
    expect(checkListAppend(changed), 'an append is gone').not.toEqual([]);
  }
});

it('takes 30,000 transactions in a moment', () => {
  const history = serialHistory(new SeededRandom(seed), 30_000);
  expect(checkListAppend(history)).toEqual([]);
});

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

/** Undefined: there is nothing that could be changed. */
type Plant = (list: readonly number[], random: SeededRandom) => readonly number[] | undefined;

const loseElement: Plant = (list, random) => list.toSpliced(random.between(0, list.length - 1), 1);

const swapElements: Plant = (list, random) => {
  if (list.length < 2) return undefined;
  const at = random.between(1, list.length - 1);
  return [list[at] ?? 0, ...list.toSpliced(at, 1)];
};

const repeatElement: Plant = (list, random) => [...list, random.pick(list)];

const inventElement: Plant = (list) => [...list, -1];

/** An earlier version: by data alone that may be right, but another client has been told of what it misses. */
const readThePast: Plant = (list, random) => list.slice(0, random.between(0, list.length - 1));

/** One read of one transaction of the later ones. */
function changeRead(
  history: readonly AppendTransaction[],
  random: SeededRandom,
  plant: Plant,
): AppendTransaction[] | undefined {
  const index = random.between(100, history.length - 1);
  const victim = history[index];
  const at = victim?.what.findIndex((op) => op.kind === 'read' && (op.list?.length ?? 0) > 1) ?? -1;
  const read = victim?.what[at];
  if (victim === undefined || read?.kind !== 'read' || read.list === undefined) return undefined;
  const list = plant(read.list, random);
  if (list === undefined) return undefined;
  const what = victim.what.with(at, { ...read, list });
  return history.with(index, { ...victim, what });
}

/** Some element is gone from all reads but those of its own transaction. */
function forgetAppend(
  history: readonly AppendTransaction[],
  random: SeededRandom,
): AppendTransaction[] {
  for (;;) {
    const owner = random.pick(history.slice(100));
    const append = owner.what.find(({ kind }) => kind === 'append');
    if (append?.kind !== 'append') continue;
    const shows = (op: MicroOp): boolean =>
      op.kind === 'read' && op.key === append.key && op.list?.includes(append.element) === true;
    const isMissed = history.some((each) => each !== owner && each.what.some(shows));
    if (!isMissed) continue;
    return history.map((each) => ({
      ...each,
      what: each.what.map((op) =>
        each !== owner && op.kind === 'read' && shows(op)
          ? { ...op, list: op.list?.filter((element) => element !== append.element) }
          : op,
      ),
    }));
  }
}
