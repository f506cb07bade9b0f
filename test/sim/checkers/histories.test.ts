/**
 * Histories of the workloads that are checked over SQL, and what is wrong with them. A case is `check NAME`, or
 * `check NAME ISOLATION`; a line of its input is an operation, its value in EDN: `read [0 [1 2]]`. They ran one after
 * the other, unless it stands before them when they did (`2-5`, `2-?` for one of unknown outcome). `p1` is the process
 * (one of its own by default), `!` marks one that failed.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  fromEdn,
  fromJsonLines,
  readEdnValue,
  toEdn,
  toJsonLines,
  type HistoryEvent,
} from '../../../src/sim/checkers/history-files.ts';
import {
  checkEvents,
  isCheckedWorkloadName,
  isolationLevels,
} from '../../../src/sim/workloads/sql/index.ts';
import { runScripts } from '../../script.ts';

runScripts(join(import.meta.dirname, 'testdata/histories'), () => ({ args, input }) => {
  const [name = '', level = 'serializable'] = args;
  const isolation = isolationLevels.find((each) => each.replace(' ', '-') === level);
  if (!isCheckedWorkloadName(name) || isolation === undefined)
    return `no workload ${args.join(' ')}`;
  const { valid, anomalies, permitted } = checkEvents(name, isolation, eventsOf(input));
  const names = (found: typeof anomalies): string =>
    [...new Set(found.map(({ anomaly }) => anomaly))].sort().join(' ');
  if (anomalies.length > 0) return names(anomalies);
  return permitted.length > 0
    ? `permitted: ${names(permitted)}`
    : valid === true
      ? 'valid'
      : 'unknown';
});

function eventsOf(input: string): HistoryEvent[] {
  const events = input.split('\n').flatMap((line, i) => {
    const [, from, to, , process, failed, f = '', value = 'nil'] =
      /^(?:(\d+)-(\d+|\?) )?(p(\d+) )?(! )?([a-z-]+)(?: (.*))?$/.exec(line) ?? [];
    const invocation = {
      process: process === undefined ? 1000 + i : Number(process),
      type: 'invoke' as const,
      f,
      value: readEdnValue(value),
      t: from === undefined ? 2 * i : Number(from),
    };
    if (to === '?') return [invocation];
    const type = failed === undefined ? ('ok' as const) : ('fail' as const);
    return [invocation, { ...invocation, type, t: to === undefined ? 2 * i + 1 : Number(to) }];
  });
  events.sort((a, b) => a.t - b.t);
  return events.map((event, index) => ({ index, ...event }));
}

describe('files', () => {
  const events = eventsOf(
    '0-? txn [[:append 1 2]]\n1-4 p3 txn [[:append 1 3] [:r 2 nil] [:r 1 [3]]]\n2-3 ! write [1 "a b" true]',
  );

  it('hold a history as JSON lines', () => {
    expect(fromJsonLines(toJsonLines(events))).toEqual(events);
  });

  it('hold a history as EDN', () => {
    expect(fromEdn(toEdn(events))).toEqual(events);
    expect(toEdn(events).split('\n').slice(1, 2)).toEqual([
      '{:index 1, :process 3, :type :invoke, :f :txn, :value [[:append 1 3] [:r 2 nil] [:r 1 [3]]], :time 1000000}',
    ]);
  });

  it('may be EDN that others wrote', () => {
    const theirs =
      '[{:type :invoke, :f :read :process 0 :value [1 nil] :time 5000000} ; a comment\n' +
      ' {:type :info, :f :kill, :process :nemesis, :value {"n1" :killed}}\n' +
      ' #jepsen.history.Op{:type :ok, :f :read :process 0 :value (1 2)}]';
    expect(fromEdn(theirs)).toEqual([
      { index: 0, process: 0, type: 'invoke', f: 'read', value: [1, null], t: 5 },
      { index: 1, process: 0, type: 'ok', f: 'read', value: [1, 2], t: 0 },
    ]);
  });
});
