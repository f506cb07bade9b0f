/** The search for linear orders: registers by hand, and published histories where they are there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Recorded } from '../../../src/sim/checkers/history.ts';
import { isLinearizable, type Model } from '../../../src/sim/checkers/linearizable.ts';
import { checkRegisters, register, type RegisterOp } from '../../../src/sim/checkers/register.ts';

const corpus = new URL('../../../../../shared/corpus/linearizable', import.meta.url).pathname;
const stepsMax = 2_000_000;
const keyStepsMax = 400_000;

/** `0-3 w1` writes, `r1` reads, `r` reads nothing, `c12+` sets 1 to 2, `c12-` found something else; `?` is unknown. */
function history(text: string): Recorded<RegisterOp>[] {
  return text.split(', ').map((line, process) => {
    const [, from, to, kind, a, b, mark] =
      /^(\d+)-(\d+|\?) (\w)(\d?)(\d?)([+-]?)$/.exec(line) ?? [];
    const what: RegisterOp =
      kind === 'w'
        ? { kind: 'write', value: Number(a) }
        : kind === 'r'
          ? { kind: 'read', value: a === '' ? undefined : Number(a) }
          : { kind: 'cas', from: Number(a), to: Number(b), done: mark === '+' };
    const isUnknown = to === '?';
    return {
      process,
      what,
      invoked: Number(from),
      completed: isUnknown ? Number.POSITIVE_INFINITY : Number(to),
      outcome: isUnknown ? 'info' : 'ok',
      invokedMs: 0,
    };
  });
}

describe('registers', () => {
  it.each([
    ['0-1 w1, 2-3 r1'],
    ['0-5 w1, 1-2 r, 3-4 r1'],
    ['0-1 w1, 2-7 w2, 3-4 r2, 5-6 r2'],
    ['0-1 w1, 2-3 c12+, 4-5 r2, 6-7 c12-'],
    ['0-? w1, 2-3 r, 4-5 r1'],
    ['0-? w1, 2-3 w2, 4-5 r2, 6-7 r1'],
    ['0-1 w1, 2-? c12+, 4-5 r1, 6-7 r2'],
    ['0-? c12+, 2-3 r'],
  ])('good: %s', (text) => {
    expect(isLinearizable(history(text), register, stepsMax)).toBe('yes');
  });

  it.each([
    ['0-1 w1, 2-3 r'],
    ['0-1 w1, 2-3 w2, 4-5 r1'],
    ['0-5 w1, 1-2 r1, 3-4 r'],
    ['0-1 w1, 2-3 c12+, 4-5 r1'],
    ['0-1 w1, 2-3 c12-'],
    ['0-1 w1, 2-9 c12+, 3-8 c12+'],
    ['0-? w1, 2-3 r1, 4-5 r'],
    ['0-1 r3'],
  ])('bad: %s', (text) => {
    const found = checkRegisters(
      history(text).map((each) => ({ ...each, what: { ...each.what, key: 1 } })),
    );
    expect(found.map(({ anomaly }) => anomaly)).toEqual(['not-linearizable']);
  });

  it('gives up in the end', () => {
    expect(isLinearizable(history('0-1 w1, 2-3 r1'), register, 1)).toBe('unknown');
  });
});

/** Pairs of invocation and completion of each process. */
function pair<Op>(events: readonly { process: number; type: string; op: Op }[]): Recorded<Op>[] {
  const open = new Map<number, number>();
  const found: { -readonly [K in keyof Recorded<Op>]: Recorded<Op>[K] }[] = [];
  for (const [at, { process, type, op }] of events.entries()) {
    const index = open.get(process);
    if (type === 'invoke') {
      open.set(process, found.length);
      const completed = Number.POSITIVE_INFINITY;
      found.push({ process, what: op, invoked: at, completed, outcome: 'info', invokedMs: at });
      continue;
    }
    const operation = index === undefined ? undefined : found[index];
    if (operation === undefined || type === 'info') continue;
    operation.completed = at;
    operation.outcome = type === 'fail' ? 'fail' : 'ok';
    operation.what = op;
  }
  return found;
}

interface KvEvent {
  readonly process: number;
  readonly type: string;
  readonly op: { readonly kind: string; readonly value: string };
}

const published =
  '002 005 007 018 025 031 038 045 048 049 051 053 056 067 075 076 080 087 092 098 100 101 102';

describe.skipIf(!existsSync(corpus))('published histories (only where they are there)', () => {
  it('of a register in etcd', () => {
    const wrong: string[] = [];
    for (const name of readdirSync(`${corpus}/jepsen`)) {
      const lines = readFileSync(`${corpus}/jepsen/${name}`, 'utf8').split('\n');
      if (lines.length === 1) continue;
      const events = lines.flatMap((line) => {
        const [, process, type = '', kind, rest = ''] =
          /(\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$/.exec(line) ?? [];
        if (kind !== 'read' && kind !== 'write' && kind !== 'cas') return [];
        const [a = NaN, b = NaN] = [...rest.matchAll(/\d+/g)].map(Number);
        const op: RegisterOp =
          kind === 'read'
            ? { kind, value: Number.isNaN(a) ? undefined : a }
            : kind === 'write'
              ? { kind, value: a }
              : { kind, from: a, to: b, done: type !== 'fail' };
        // A comparison that fails is an answer.
        return [
          { process: Number(process), type: kind === 'cas' && type === 'fail' ? 'ok' : type, op },
        ];
      });
      const verdict = isLinearizable(pair(events), register, stepsMax);
      const number = name.slice(5, 8);
      if (verdict !== (published.includes(number) ? 'yes' : 'no')) wrong.push(`${name} ${verdict}`);
    }
    expect(wrong).toEqual([]);
  }, 60_000);

  it('of a store of strings', () => {
    const strings: Model<{ kind: string; value: string }> = {
      initial: '',
      step: (state, { kind, value }) =>
        kind === 'put'
          ? value
          : kind === 'append'
            ? state + value
            : state === value
              ? state
              : undefined,
    };
    for (const name of readdirSync(`${corpus}/kv`)) {
      const lines = readFileSync(`${corpus}/kv/${name}`, 'utf8').split('\n');
      const byKey = new Map<string, KvEvent[]>();
      for (const line of lines) {
        const [, process, type = '', kind = '', key = '', value = ''] =
          /:process (\d+), :type :(\w+), :f :(\w+), :key "(.*?)", :value "?(.*?)"?\}/.exec(line) ??
          [];
        const events = byKey.get(key) ?? [];
        byKey.set(key, events);
        if (kind !== '') events.push({ process: Number(process), type, op: { kind, value } });
      }
      const verdictOf = (events: readonly KvEvent[]): string =>
        isLinearizable(pair(events), strings, keyStepsMax);
      const keys = [...byKey.values()];
      if (name.includes('-ok'))
        expect(new Set(keys.map(verdictOf)), name).toEqual(new Set(['yes']));
      // Some keys take very long to refute; others show that the history is bad.
      else
        expect(
          keys.some((events) => verdictOf(events) === 'no'),
          name,
        ).toBe(true);
    }
  });
});
