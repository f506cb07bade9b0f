/**
 * What the stores hold, what clients did, and what does not fit. The first line of a case's input lists versions,
 * `k0=1@5` or a deletion `k0@6`. Each further line is a transaction, one after the other unless `2-5` says when it
 * ran: its outcome (`ok@5`, `fail`, `info`), perhaps `past@5` or `bound@5`, and its steps: `r0=1` and `r0` read,
 * `w0=1` puts, `d0` deletes, `i0` demands that nothing is there, `s0-3:0=1,2=5` scans, `b0-3` scans backwards, `(` is
 * a savepoint and `)` goes back to it.
 */
import { join } from 'node:path';
import { type Recorded } from '../../../src/sim/checkers/history.ts';
import {
  checkMvccHistory,
  type KvStep,
  type KvTransaction,
  type Version,
} from '../../../src/sim/checkers/mvcc-history.ts';
import { runScripts } from '../../script.ts';

runScripts(join(import.meta.dirname, 'testdata/mvcc-history'), () => ({ input }) => {
  const [stored = '', ...lines] = input.split('\n');
  const versions = stored
    .split(' ')
    .slice(1)
    .map((word): Version => {
      const [, key, , value, at] = /^k(\d+)(=(\d+))?@(\d+)$/.exec(word) ?? [];
      return { key: Number(key), value: optional(value), timestamp: timestamp(at) };
    });
  const findings = checkMvccHistory(lines.map(parse), versions);
  return findings.length === 0
    ? 'nothing'
    : findings.map(({ anomaly, text }) => `${anomaly}: ${text.split(' (')[0]}`).join('\n');
});

function parse(line: string, index: number): Recorded<KvTransaction> {
  let [invoked, completed] = [2 * index, 2 * index + 1];
  let outcome: Recorded<KvTransaction>['outcome'] = 'ok';
  let what: KvTransaction = {
    steps: [],
    committedAt: undefined,
    boundTo: undefined,
    inPast: false,
  };
  const steps: KvStep[] = [];
  for (const word of line.split(' ')) {
    const [name = '', at] = word.split('@');
    if (/^\d+-\d+$/.test(word)) [invoked = 0, completed = 0] = word.split('-').map(Number);
    else if (name === 'ok') what = { ...what, committedAt: timestamp(at) };
    else if (name === 'fail' || name === 'info') outcome = name;
    else if (name === 'past') what = { ...what, inPast: true, boundTo: timestamp(at) };
    else if (name === 'bound') what = { ...what, boundTo: timestamp(at) };
    else steps.push(parseStep(word));
  }
  if (outcome === 'info') completed = Number.POSITIVE_INFINITY;
  return { process: index, what: { ...what, steps }, invoked, completed, outcome, invokedMs: 0 };
}

function parseStep(word: string): KvStep {
  if (word === '(') return { kind: 'savepoint' };
  if (word === ')') return { kind: 'rollback' };
  const [, kind, first, , to, , value, , rows] =
    /^([a-z])(\d+)(-(\d+))?(=(\d+))?(:(.*))?$/.exec(word) ?? [];
  const key = Number(first);
  switch (kind) {
    case 'r':
      return { kind: 'read', key, value: optional(value) };
    case 'w':
      return { kind: 'write', key, value: Number(value) };
    case 'd':
      return { kind: 'write', key, value: undefined };
    case 'i':
      return { kind: 'absent', key };
    case 's':
    case 'b':
      return {
        kind: 'scan',
        from: key,
        to: Number(to),
        reverse: kind === 'b',
        rows: (rows ?? '').split(',').flatMap((row) => {
          const [a, b] = row.split('=').map(Number);
          return a === undefined || b === undefined ? [] : [[a, b] as const];
        }),
      };
    default:
      throw new Error(`no step: ${word}`);
  }
}

function optional(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function timestamp(wall: string | undefined): { wall: number; logical: number } {
  return { wall: Number(wall), logical: 0 };
}
