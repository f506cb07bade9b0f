/** What the checker of list appends permits under snapshot isolation, against every execution that level has. */
import { expect, it } from 'vitest';
import { type AppendTransaction, type MicroOp } from '../../../src/sim/checkers/append-history.ts';
import { permittedOfAppends } from '../../../src/sim/checkers/isolation.ts';
import { checkListAppend } from '../../../src/sim/checkers/list-append.ts';
import { SeededRandom } from '../../../src/sim/random.ts';
import { precedence, smallHistory } from './small-histories.ts';

const seed = Number(process.env['SIM_SEED'] ?? 1);
const permitted = permittedOfAppends('repeatable read');

it(`agrees with a search of all executions (seed ${seed})`, () => {
  const random = new SeededRandom(seed);
  let good = 0;
  let skewed = 0;
  let bad = 0;
  for (let i = 0; i < 20_000; i++) {
    // Where nobody has seen who of two wrote first, they might be said to have missed each other.
    const history = smallHistory(random, { isReadInTheEnd: true });
    const expected = someExecutionExplains(history);
    const findings = checkListAppend(history);
    const wrong = findings.filter(({ anomaly }) => !permitted.includes(anomaly));
    if ((wrong.length === 0) !== expected) {
      expect.fail(`${JSON.stringify(history)}: ${expected}, but ${JSON.stringify(findings)}`);
    }
    if (!expected) bad++;
    else if (findings.length > 0) skewed++;
    else good++;
  }
  expect(good).toBeGreaterThan(1_500);
  expect(skewed).toBeGreaterThan(50);
  expect(bad).toBeGreaterThan(1_500);
}, 60_000);

type Lists = ReadonlyMap<number, readonly number[]>;

interface Commit {
  readonly index: number;
  readonly written: ReadonlySet<number>;
  readonly after: Lists;
}

/**
 * Tries all orders of commits, with each snapshot that each transaction can have had: what was committed up to some
 * moment, which includes what had to come before it; nobody between the snapshot and the commit writes what it writes.
 */
function someExecutionExplains(history: readonly AppendTransaction[]): boolean {
  const before = precedence(history);
  const isOk = (index: number): boolean => history[index]?.outcome === 'ok';
  const search = (commits: readonly Commit[]): boolean => {
    const done = new Set(commits.map(({ index }) => index));
    if (history.every((_, i) => !isOk(i) || done.has(i))) return true;
    return history.some(({ outcome, what }, index) => {
      if (outcome === 'fail' || done.has(index)) return false;
      // What must come before but is left out for now is left out for good.
      if (before.some(([a, b]) => a === index && done.has(b))) return false;
      if (before.some(([a, b]) => b === index && isOk(a) && !done.has(a))) return false;
      const written = new Set(what.filter(({ kind }) => kind === 'append').map(({ key }) => key));
      for (let taken = 0; taken <= commits.length; taken++) {
        const later = commits.slice(taken);
        if (later.some((each) => before.some(([a, b]) => a === each.index && b === index)))
          continue;
        if (later.some((each) => [...written].some((key) => each.written.has(key)))) continue;
        if (outcome === 'ok' && !explains(what, commits[taken - 1]?.after)) continue;
        const after = appended(what, commits.at(-1)?.after);
        if (search([...commits, { index, written, after }])) return true;
      }
      return false;
    });
  };
  return search([]);
}

function explains(what: readonly MicroOp[], snapshot: Lists | undefined): boolean {
  const lists = new Map(snapshot);
  return what.every((op) => {
    const list = lists.get(op.key) ?? [];
    if (op.kind === 'read') return op.list?.join() === list.join();
    lists.set(op.key, [...list, op.element]);
    return true;
  });
}

function appended(what: readonly MicroOp[], to: Lists | undefined): Lists {
  const lists = new Map(to);
  for (const op of what) {
    if (op.kind === 'append') lists.set(op.key, [...(lists.get(op.key) ?? []), op.element]);
  }
  return lists;
}
