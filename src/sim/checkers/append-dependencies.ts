/**
 * Who must come before whom (Adya 1999): write-write, write-read and read-write (anti-)dependencies from the
 * versions, and the orders between transactions that a database may keep, too.
 */
import { type KeyVersions } from './append-versions.ts';
import { processOrder, type Dependency } from './dependency-cycles.ts';
import { type AppendTransaction } from './append-history.ts';

/**
 * Which orders have to agree with the data, each with those before it: none; that within a process; real time where
 * two transactions meet at a key (who begins after a write of the key is known comes after it, and so does a write
 * after the reads that have been answered); real time throughout (every transaction comes after all that have ended before
 * it began), which is promised to ranges with global_reads alone: clocks may differ.
 */
export type KeptOrder = 'data' | 'process' | 'conflicts' | 'realtime';

/** Edges between different transactions that have, or may have, happened. */
export function inferDependencies(
  history: readonly AppendTransaction[],
  versions: ReadonlyMap<number, KeyVersions>,
  kept: KeptOrder,
): Dependency[] {
  const edges: Dependency[] = [];
  const add = (from: number | undefined, to: number, kind: Dependency['kind']): void => {
    if (from !== undefined && from !== to) edges.push({ from, to, kind });
  };
  for (const key of versions.values()) dataDependencies(history, key, add);
  if (kept === 'data') return edges;
  for (const edge of processOrder(history)) edges.push(edge);
  if (kept === 'process') return edges;
  realTime(history, events(history, versions, kept === 'realtime'), add);
  return edges;
}

type Add = (from: number | undefined, to: number, kind: Dependency['kind']) => void;

function dataDependencies(
  history: readonly AppendTransaction[],
  { writers, order, readers }: KeyVersions,
  add: Add,
): void {
  const possibleWriter = (element: number | undefined): number | undefined => {
    const writer = element === undefined ? undefined : writers.get(element);
    return writer === undefined || history[writer]?.outcome === 'fail' ? undefined : writer;
  };
  const follow = (previous: number | undefined, element: number): void => {
    const writer = possibleWriter(element);
    if (writer === undefined) return;
    add(possibleWriter(previous), writer, 'ww');
    for (const reader of readers.get(previous) ?? []) add(reader, writer, 'rw');
  };
  for (const [i, element] of order.entries()) follow(order[i - 1], element);
  // What nobody has seen comes after everything that somebody has; nothing more is known.
  const observed = new Set(order);
  for (const element of writers.keys()) {
    if (!observed.has(element)) follow(order.at(-1), element);
  }
  for (const [element, indexes] of readers) {
    for (const reader of indexes) add(possibleWriter(element), reader, 'wr');
  }
}

/** What is known of one key, without what a later write of it has seen to be known. */
interface Frontier {
  writers: readonly number[];
  readers: readonly number[];
}

/** Only edges that do not follow from others: their number grows with how many transactions overlap. */
function realTime(
  history: readonly AppendTransaction[],
  known: readonly KeyEvent[],
  add: Add,
): void {
  const frontiers = new Map<number, Frontier>();
  /** By transaction and key, what was known when it began. */
  const seen = history.map(() => new Map<number, Frontier>());
  for (const { index, key, writes, kind } of known) {
    const frontier = frontiers.get(key) ?? { writers: [], readers: [] };
    frontiers.set(key, frontier);
    if (kind === 'begins') {
      const { writers, readers } = frontier;
      for (const writer of writers) add(writer, index, 'realtime');
      if (writes) for (const reader of readers) add(reader, index, 'realtime');
      seen[index]?.set(key, { writers, readers });
    } else if (writes) {
      const before = seen[index]?.get(key);
      const unseen = (now: readonly number[], then: readonly number[] = []): number[] =>
        now.filter((each) => !then.includes(each));
      frontier.writers = [...unseen(frontier.writers, before?.writers), index];
      frontier.readers = unseen(frontier.readers, before?.readers);
    } else {
      frontier.readers = [...frontier.readers, index];
    }
  }
}

interface KeyEvent {
  readonly at: number;
  readonly index: number;
  readonly key: number;
  readonly writes: boolean;
  /** A write is known when it was acknowledged or somebody has been told what it wrote. */
  readonly kind: 'begins' | 'known';
}

/** No key of the workload: where all transactions of a strict history meet, as if each wrote it. */
const meetingPoint = -1;

function events(
  history: readonly AppendTransaction[],
  versions: ReadonlyMap<number, KeyVersions>,
  isStrict: boolean,
): KeyEvent[] {
  const shown = shownAt(history, versions);
  const found: KeyEvent[] = [];
  for (const [index, { what, invoked, completed, outcome }] of history.entries()) {
    if (outcome === 'fail') continue;
    const touched = new Map<number, boolean>(isStrict ? [[meetingPoint, true]] : []);
    for (const { key, kind } of what) {
      touched.set(key, kind === 'append' || touched.get(key) === true);
    }
    for (const [key, writes] of touched) {
      found.push({ at: invoked, index, key, writes, kind: 'begins' });
      const at = Math.min(
        completed,
        (writes ? shown.get(key)?.get(index) : undefined) ?? completed,
      );
      if (at < Number.POSITIVE_INFINITY) found.push({ at, index, key, writes, kind: 'known' });
    }
  }
  return found.sort((a, b) => a.at - b.at);
}

/** By key and writer, when somebody had first been told of its element. */
function shownAt(
  history: readonly AppendTransaction[],
  versions: ReadonlyMap<number, KeyVersions>,
): Map<number, Map<number, number>> {
  const shown = new Map<number, Map<number, number>>();
  for (const { what, completed, outcome } of history) {
    if (outcome !== 'ok') continue;
    for (const op of what) {
      if (op.kind === 'append') continue;
      const ofKey = shown.get(op.key) ?? new Map<number, number>();
      shown.set(op.key, ofKey);
      for (const element of op.list ?? []) {
        const writer = versions.get(op.key)?.writers.get(element);
        if (writer === undefined) continue;
        ofKey.set(writer, Math.min(completed, ofKey.get(writer) ?? completed));
      }
    }
  }
  return shown;
}
