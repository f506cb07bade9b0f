/**
 * What is known of the versions of each register: who wrote and read them, and which of them come before which. A register does
 * not tell what it was before, so the order is known in part: nothing comes first, a transaction that
 * reads a version and writes one has put it behind, and as each register is linearizable, so has who began when a version was
 * known to be there.
 */
import { type RegisterTransaction } from './rw-history.ts';
import { stronglyConnected } from './graph.ts';

export interface RegisterVersion {
  /** Undefined: as it was before all writes. */
  readonly value: number | undefined;
  readonly writer: number | undefined;
  /** Transactions that have read it and did not write the register before that. */
  readonly readers: number[];
  /** Position in the history at which its write had certainly been made. */
  knownAt: number;
  /** Versions that come at once before it, as far as is known. */
  readonly before: Set<RegisterVersion>;
}

export interface Register {
  readonly key: number;
  readonly versions: ReadonlyMap<number | undefined, RegisterVersion>;
  /** Versions that come before each other: no order explains what was read. */
  readonly isCyclic: boolean;
}

export function registersOf(history: readonly RegisterTransaction[]): Register[] {
  const keys = new Map<number, Map<number | undefined, RegisterVersion>>();
  const versionsOf = (key: number): Map<number | undefined, RegisterVersion> => {
    let versions = keys.get(key);
    if (versions === undefined) {
      const nothing = versionOf(undefined, undefined);
      nothing.knownAt = -1;
      versions = new Map([[undefined, nothing]]);
      keys.set(key, versions);
    }
    return versions;
  };
  for (const [index, { what, outcome, completed }] of history.entries()) {
    for (const { kind, key, value } of what) {
      const versions = versionsOf(key);
      if (kind !== 'write' || outcome === 'fail') continue;
      const version = versionOf(value, index);
      version.knownAt = completed;
      versions.set(value, version);
    }
  }
  for (const [index, transaction] of history.entries()) noteReads(index, transaction, versionsOf);
  return [...keys].map(([key, versions]) => {
    order(history, [...versions.values()]);
    return { key, versions, isCyclic: isCyclic([...versions.values()]) };
  });
}

function versionOf(value: number | undefined, writer: number | undefined): RegisterVersion {
  return { value, writer, readers: [], knownAt: Number.POSITIVE_INFINITY, before: new Set() };
}

/** Who read what, and what a transaction puts behind what it has read or written before. */
function noteReads(
  index: number,
  { what, outcome, completed }: RegisterTransaction,
  versionsOf: (key: number) => ReadonlyMap<number | undefined, RegisterVersion>,
): void {
  if (outcome === 'fail') return;
  const seen = new Map<number, RegisterVersion>();
  const wrote = new Set<number>();
  for (const { kind, key, value } of what) {
    if (kind === 'read' && (value === undefined || outcome !== 'ok')) continue;
    const version = versionsOf(key).get(value ?? undefined);
    if (version === undefined) continue;
    const last = seen.get(key);
    if (kind === 'write') {
      if (last !== undefined && last !== version) version.before.add(last);
      wrote.add(key);
    } else if (!wrote.has(key)) {
      if (version.readers.at(-1) !== index) version.readers.push(index);
      version.knownAt = Math.min(version.knownAt, completed);
    }
    seen.set(key, version);
  }
}

/** Who has written or read it. */
export function touchedBy({ writer, readers }: RegisterVersion): number[] {
  return writer === undefined ? [...readers] : [writer, ...readers];
}

/** Versions whose writer or reader began when another one was known come behind that one; nothing, too, which shows as an order that goes round. */
function order(
  history: readonly RegisterTransaction[],
  versions: readonly RegisterVersion[],
): void {
  for (const version of versions) {
    const began = touchedBy(version).map((index) => history[index]?.invoked ?? 0);
    const latest = Math.max(-1, ...began);
    for (const other of versions) {
      if (other !== version && other.knownAt < latest) version.before.add(other);
    }
  }
}

function isCyclic(versions: readonly RegisterVersion[]): boolean {
  const numbers = new Map(versions.map((version, i) => [version, i]));
  const arcs = versions.flatMap((version, to) =>
    [...version.before].map((each) => ({ from: numbers.get(each) ?? to, to })),
  );
  const component = stronglyConnected(versions.length, arcs);
  return new Set(component).size < versions.length;
}
