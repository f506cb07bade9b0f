/** What is wrong with a history of appends before any order between transactions is looked at. */
import { inferVersions, type KeyVersions } from './append-versions.ts';
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
 * A transaction must see what it has appended, behind what was there ('internal'), what it has read before
 * ('non-repeatable-read'), and no element that it is yet to append ('future-read').
 */
function within(history: readonly AppendTransaction[], index: number, found: Found): void {
  const ops = history[index]?.what ?? [];
  const known = new Map<number, KnownList>();
  for (const [i, op] of ops.entries()) {
    const { before, own } = known.get(op.key) ?? { before: undefined, own: [] };
    if (op.kind === 'append') {
      known.set(op.key, { before, own: [...own, op.element] });
      continue;
    }
    const { key, list } = op;
    if (list === undefined) continue;
    const ownFrom = list.length - own.length;
    const later = ops
      .slice(i)
      .some((each) => each.kind === 'append' && each.key === key && list.includes(each.element));
    const anomaly = !isEqual(list.slice(Math.max(0, ownFrom)), own)
      ? 'internal'
      : before !== undefined && !isEqual(list.slice(0, ownFrom), before)
        ? 'non-repeatable-read'
        : later
          ? 'future-read'
          : undefined;
    if (anomaly !== undefined) {
      found(anomaly, describe(history, index));
      return;
    }
    known.set(key, { before: list.slice(0, ownFrom), own });
  }
}

/** What a transaction has read of a key, and what it has appended. */
interface KnownList {
  readonly before: readonly number[] | undefined;
  readonly own: readonly number[];
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

/**
 * Reads that miss what was acknowledged before their transaction began. As a cycle that is G-single-item-realtime; but where a
 * level permits such cycles, those of two transactions are still wrong.
 */
export function staleReads(history: readonly AppendTransaction[]): Finding[] {
  const findings: Finding[] = [];
  for (const { writers, order, readers } of inferVersions(history).values()) {
    const observed = new Set(order);
    /** By length of a list, the element behind it that was acknowledged first. */
    let missed: Acknowledged | undefined;
    const firstMissed: (Acknowledged | undefined)[] = [];
    const note = (writer: number | undefined): void => {
      const writes = writer === undefined ? undefined : history[writer];
      if (writer === undefined || writes?.outcome !== 'ok') return;
      const { completed } = writes;
      if (missed === undefined || completed < missed.completed) missed = { writer, completed };
    };
    for (const [element, writer] of writers) if (!observed.has(element)) note(writer);
    for (let length = order.length; length >= 0; length--) {
      firstMissed[length] = missed;
      note(writers.get(order[length - 1] ?? NaN));
    }
    for (const [last, indexes] of readers) {
      const first = firstMissed[last === undefined ? 0 : order.indexOf(last) + 1];
      for (const reader of indexes) {
        if (first === undefined || first.completed > (history[reader]?.invoked ?? 0)) continue;
        const text = `${describe(history, first.writer)}; ${describe(history, reader)}`;
        findings.push({ anomaly: 'stale-read', text });
      }
    }
  }
  return findings;
}

interface Acknowledged {
  readonly writer: number;
  readonly completed: number;
}

function isEqual(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((each, i) => each === b[i]);
}
