/** Sets and counters: what may be read when. */
import { describe, expect, it } from 'vitest';
import { checkCounter, type CounterOp } from '../../../src/sim/checkers/counter.ts';
import { type Outcome, type Recorded } from '../../../src/sim/checkers/history.ts';
import { checkSet, type SetOp } from '../../../src/sim/checkers/set.ts';

/** `0-3 a1` adds, `r12` reads; `0-? a1` is unknown, `0-3! a1` failed; `r+12` and `a-1` for counters. */
function history<Op>(text: string, parse: (word: string) => Op): Recorded<Op>[] {
  return text.split(', ').map((line, process) => {
    const [, from, to, failed, word = ''] = /^(\d+)-(\d+|\?)(!?) (.*)$/.exec(line) ?? [];
    const outcome: Outcome = to === '?' ? 'info' : failed === '!' ? 'fail' : 'ok';
    return {
      process,
      what: parse(word),
      invoked: Number(from),
      completed: to === '?' ? Number.POSITIVE_INFINITY : Number(to),
      outcome,
      invokedMs: 0,
    };
  });
}

const setOp = (word: string): SetOp =>
  word.startsWith('a')
    ? { kind: 'add', value: Number(word.slice(1)) }
    : { kind: 'read', value: word.slice(1).split('').map(Number) };
const counterOp = (word: string): CounterOp =>
  word.startsWith('a')
    ? { kind: 'add', value: Number(word.slice(1)) }
    : { kind: 'read', value: Number(word.slice(1)) };

describe('sets', () => {
  it.each([
    ['0-1 a1, 2-3 r1'],
    ['0-5 a1, 1-2 r, 3-4 r1'],
    ['0-? a1, 1-2 r, 3-4 r1'],
    ['0-1! a1, 2-3 r'],
    ['0-1 a1, 2-5 a2, 3-6 r1, 4-7 r12'],
  ])('good: %s', (text) => {
    expect(checkSet(history(text, setOp))).toEqual([]);
  });

  it.each([
    ['0-1 a1, 2-3 r', 'lost'],
    ['0-1 a1, 2-3 r, 4-5 r1', 'stale'],
    ['0-? a1, 1-2 r1, 3-4 r', 'lost'],
    ['0-9 a1, 1-2 r1, 3-4 r, 5-6 r1', 'stale'],
    ['0-1! a1, 2-3 r1', 'unexpected'],
    ['0-1 r1, 2-3 a1', 'unexpected'],
    ['0-1 r7', 'unexpected'],
    ['0-1 a1, 2-3 r11', 'duplicate'],
  ])('bad: %s: %s', (text, anomaly) => {
    expect(checkSet(history(text, setOp)).map((finding) => finding.anomaly)).toEqual([anomaly]);
  });
});

describe('counters', () => {
  it.each([
    ['0-1 a1, 2-3 r1'],
    ['0-5 a1, 1-2 r0, 3-4 r1'],
    ['0-? a1, 1-2 r0, 3-4 r1'],
    ['0-1! a1, 2-3 r0'],
    ['0-1 a1, 2-? a-1, 4-5 r0, 6-7 r1'],
  ])('good: %s', (text) => {
    expect(checkCounter(history(text, counterOp))).toEqual([]);
  });

  it.each([
    ['0-1 a1, 2-3 r0', 'too-small'],
    ['0-1 a1, 2-3 r2', 'too-large'],
    ['0-1! a1, 2-3 r1', 'too-large'],
    ['0-1 r1, 2-3 a1', 'too-large'],
    ['0-? a1, 2-3 r2', 'too-large'],
    ['0-1 a-1, 2-3 r0', 'too-large'],
    ['0-1 a1, 2-? a-1, 4-5 r-1', 'too-small'],
  ])('bad: %s: %s', (text, anomaly) => {
    const found = checkCounter(history(text, counterOp)).map((finding) => finding.anomaly);
    expect(found).toEqual([anomaly]);
  });
});
