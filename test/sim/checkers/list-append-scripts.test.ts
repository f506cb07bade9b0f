/**
 * Histories of list appends and what is wrong with them. A case is `check one-by-one` or `check at-once`; a line
 * of its input is a transaction: `ax1` appends 1 to x, `rx12` reads [1 2], `rx` reads []. Before them may stand
 * when it ran (`2-5`), its process (`p1`; one of its own by default) and its outcome (`fail`, `info`). With `order=data`,
 * `process` or `realtime` the history has to agree with that and no more, or with all of real time; with `level=repeatable-read`
 * what the level permits is marked.
 */
import { join } from 'node:path';
import { type KeptOrder } from '../../../src/sim/checkers/append-dependencies.ts';
import { type AppendTransaction, type MicroOp } from '../../../src/sim/checkers/append-history.ts';
import { isolationLevels, permittedOfAppends } from '../../../src/sim/checkers/isolation.ts';
import { checkListAppend } from '../../../src/sim/checkers/list-append.ts';
import { runScripts } from '../../script.ts';

const orders: readonly KeptOrder[] = ['data', 'process', 'conflicts', 'realtime'];

runScripts(join(import.meta.dirname, 'testdata/list-append'), () => ({ args, options, input }) => {
  const lines = input.split('\n');
  const history = lines.map((line, i): AppendTransaction =>
    parse(line, i, args[0] === 'one-by-one' ? [2 * i, 2 * i + 1] : [i, lines.length + i]),
  );
  const kept = orders.find((each) => each === options.get('order'));
  const level = isolationLevels.find((each) => each.replace(' ', '-') === options.get('level'));
  const permitted = permittedOfAppends(level ?? 'serializable');
  const findings = checkListAppend(history, kept).map(({ anomaly, text }) => {
    const [edges = ''] = text.split(';');
    const mark = permitted.includes(anomaly) ? 'permitted ' : '';
    return edges.includes('->') ? `${mark}${anomaly}: ${edges}` : `${mark}${anomaly}`;
  });
  return findings.length === 0 ? 'nothing' : [...new Set(findings)].join('\n');
});

function parse(line: string, index: number, interval: readonly number[]): AppendTransaction {
  let process = 1000 + index;
  let [invoked = 0, completed = 0] = interval;
  let outcome: AppendTransaction['outcome'] = 'ok';
  const what: MicroOp[] = [];
  for (const word of line.split(' ')) {
    const [kind = '', key = ''] = word;
    if (/^\d+-\d+$/.test(word)) [invoked = 0, completed = 0] = word.split('-').map(Number);
    else if (/^p\d+$/.test(word)) process = Number(word.slice(1));
    else if (word === 'fail' || word === 'info') outcome = word;
    else if (kind === 'a')
      what.push({ kind: 'append', key: keyNumber(key), element: Number(word.slice(2)) });
    else
      what.push({ kind: 'read', key: keyNumber(key), list: word.slice(2).split('').map(Number) });
  }
  if (outcome === 'info') completed = Number.POSITIVE_INFINITY;
  return { process, what, invoked, completed, outcome, invokedMs: 0 };
}

function keyNumber(name: string): number {
  return name.charCodeAt(0);
}
