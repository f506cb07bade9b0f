/** What is wrong with a history of appends before any order between transactions is looked at. */
import { type KeyVersions } from './append-versions.ts';
import { type Finding } from './history.ts';
import { describe, type AppendTransaction } from './append-history.ts';

export function appendAnomalies(
  history: readonly AppendTransaction[],
  versions: ReadonlyMap<number, KeyVersions>,
): Finding[] {
  const findings: Finding[] = [];
  const found = (anomaly: string, text: string): void => {
    findings.push({ anomaly, text });
  };
  for (const [index, { outcome }] of history.entries()) {
    if (outcome !== 'ok') continue;
    within(history, index, found);
    readValues(history, index, { versions, found });
  }
  for (const key of versions.values()) dirtyUpdates(history, key, found);
  lostUpdates(history, found);
  return findings;
}

type Found = (anomaly: string, text: string) => void;

/**
 * A transaction must see what it has read and appended before ('internal'), and no element that it is yet to
 * append ('future-read').
 */
function within(history: readonly AppendTransaction[], index: number, found: Found): void {
  const ops = history[index]?.what ?? [];
  /** `whole`: not only what the list ends with. */
  const known = new Map<number, { whole: boolean; list: readonly number[] }>();
  for (const [i, op] of ops.entries()) {
    const before = known.get(op.key);
    if (op.kind === 'append') {
      const { whole, list } = before ?? { whole: false, list: [] };
      known.set(op.key, { whole, list: [...list, op.element] });
      continue;
    }
    const { key, list } = op;
    if (list === undefined) continue;
    const expected = before?.list ?? [];
    const seen = before?.whole === true ? list : list.slice(list.length - expected.length);
    if (before !== undefined && !isEqual(seen, expected)) {
      found('internal', describe(history, index));
      return;
    }
    const later = ops
      .slice(i)
      .some((each) => each.kind === 'append' && each.key === key && list.includes(each.element));
    if (later) {
      found('future-read', describe(history, index));
      return;
    }
    known.set(key, { whole: true, list });
  }
}

/**
 * Lists that hold an element twice, are not a beginning of the longest one, or hold elements that nobody wrote
 * ('garbage-read'), whose writer failed ('G1a') or, at the end, that the writer itself replaced ('G1b').
 */
function readValues(
  history: readonly AppendTransaction[],
  index: number,
  { versions, found }: { versions: ReadonlyMap<number, KeyVersions>; found: Found },
): void {
  const reader = (): string => describe(history, index);
  for (const op of history[index]?.what ?? []) {
    const key = versions.get(op.key);
    if (op.kind === 'append' || op.list === undefined || key === undefined) continue;
    const { writers, order, readers } = key;
    if (new Set(op.list).size < op.list.length) found('duplicate-elements', reader());
    else if (op.list.some((element, i) => element !== order[i])) {
      const [other] = readers.get(order.at(-1)) ?? [];
      found('incompatible-order', `${describe(history, other)}; ${reader()}`);
    }
    for (const element of op.list) {
      const writer = writers.get(element);
      if (writer === undefined) found('garbage-read', `element ${element}; ${reader()}`);
      else if (history[writer]?.outcome === 'fail') {
        found('G1a', `${describe(history, writer)}; ${reader()}`);
      }
    }
    const last = op.list.at(-1);
    const writer = last === undefined ? undefined : writers.get(last);
    if (writer === undefined || writer === index) continue;
    const final = history[writer]?.what.findLast(
      (each) => each.kind === 'append' && each.key === op.key,
    );
    if (final?.kind === 'append' && final.element !== last) {
      found('G1b', `${describe(history, writer)}; ${reader()}`);
    }
  }
}

/** A committed element behind one that failed: what was rolled back was built on. */
function dirtyUpdates(
  history: readonly AppendTransaction[],
  { writers, order }: KeyVersions,
  found: Found,
): void {
  let failed: number | undefined;
  for (const element of order) {
    const writer = writers.get(element);
    const outcome = writer === undefined ? 'info' : history[writer]?.outcome;
    if (outcome === 'fail') failed = writer;
    if (outcome !== 'ok') continue;
    if (failed !== undefined) {
      found('dirty-update', `${describe(history, failed)}; ${describe(history, writer)}`);
    }
    failed = undefined;
  }
}

/** Two transactions that read the same list and then appended to it: one of them did not see the other. */
function lostUpdates(history: readonly AppendTransaction[], found: Found): void {
  const basedOn = new Map<string, number>();
  for (const [index, { what, outcome }] of history.entries()) {
    if (outcome !== 'ok') continue;
    const touched = new Set<number>();
    for (const [i, op] of what.entries()) {
      if (touched.has(op.key)) continue;
      touched.add(op.key);
      const appends = what.slice(i).some(({ kind, key }) => kind === 'append' && key === op.key);
      if (op.kind === 'append' || op.list === undefined || !appends) continue;
      const version = `${op.key} ${op.list.length} ${op.list.at(-1)}`;
      const other = basedOn.get(version);
      if (other === undefined) basedOn.set(version, index);
      else found('lost-update', `${describe(history, other)}; ${describe(history, index)}`);
    }
  }
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i]);
}
