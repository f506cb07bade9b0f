/**
 * Checks transactions on keys against everything that was ever committed, as the stores hold it in the end
 * (in the way of CockroachDB's kvnemesis). Keys and values are numbers, and every value is written once. What must hold:
 *
 *   - an acknowledged transaction has all its last writes at its commit timestamp, and all it read is what is
 *     there at that timestamp, in the order of its own steps;
 *   - one that failed has left nothing, one of unknown outcome all or nothing; what either wrote it has read back until then;
 *   - every version belongs to exactly one transaction, and none to a write that its own transaction replaced;
 *   - who begins after a write of a key is known has a later timestamp, and so does a write of a key after the
 *     reads that have been answered.
 */
import {
  compareTimestamps,
  equalTimestamps,
  formatTimestamp,
  type Timestamp,
} from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { type Finding, type Recorded } from './history.ts';

/** `value` undefined: none, or a deletion. */
export type KvStep =
  | { readonly kind: 'read'; readonly key: number; readonly value: number | undefined }
  /** All keys in [from, to) that had a value, in the order of the answer. */
  | {
      readonly kind: 'scan';
      readonly from: number;
      readonly to: number;
      readonly reverse: boolean;
      readonly rows: readonly (readonly [key: number, value: number])[];
    }
  | { readonly kind: 'write'; readonly key: number; readonly value: number | undefined }
  /** The transaction may only commit when the key had no value at this step. */
  | { readonly kind: 'absent'; readonly key: number }
  | { readonly kind: 'savepoint' }
  /** To the latest savepoint, which is used up. */
  | { readonly kind: 'rollback' };

/** One that writes puts at least one value: by it the checker finds a commit whose answer was lost. */
export interface KvTransaction {
  readonly steps: readonly KvStep[];
  /** Given by the commit. */
  readonly committedAt: Timestamp | undefined;
  /** Where it was bound to read; in the past when `inPast`. */
  readonly boundTo: Timestamp | undefined;
  readonly inPast: boolean;
}

export interface Version {
  readonly key: number;
  readonly timestamp: Timestamp;
  readonly value: number | undefined;
}

type Found = (anomaly: string, text: string) => void;

/** A transaction with what follows from its steps. */
interface Placed extends Recorded<KvTransaction> {
  readonly name: string;
  /** Undefined: it has not happened. */
  readonly at: Timestamp | undefined;
  /** By key, what it leaves there. */
  readonly lastWrites: ReadonlyMap<number, number | undefined>;
}

/** `history` in the order of invocation; `versions` in any order. */
export function checkMvccHistory(
  history: readonly Recorded<KvTransaction>[],
  versions: readonly Version[],
): Finding[] {
  const findings: Finding[] = [];
  const found: Found = (anomaly, text) => {
    findings.push({ anomaly, text });
  };
  const stored = new VersionIndex(versions);
  const placed = history.map((transaction, index): Placed => {
    const written = lastWrites(transaction.what.steps);
    const at = timestampOf(transaction, written, stored);
    return { ...transaction, name: describe(transaction, index, at), at, lastWrites: written };
  });
  checkWrites(placed, stored, found);
  const reads = placed.map((transaction) => checkReads(transaction, stored, found));
  checkRealTime(placed, reads, found);
  return findings;
}

class VersionIndex {
  readonly all: readonly Version[];
  /** Newest first. */
  readonly #byKey = new Map<number, Version[]>();
  readonly #byValue = new Map<number, Version[]>();

  constructor(versions: readonly Version[]) {
    this.all = versions.toSorted((a, b) => compareTimestamps(b.timestamp, a.timestamp));
    for (const version of this.all) {
      addTo(this.#byKey, version.key, version);
      if (version.value !== undefined) addTo(this.#byValue, version.value, version);
    }
  }

  withValue(value: number): readonly Version[] {
    return this.#byValue.get(value) ?? [];
  }

  /** The newest at or, with `below`, only below a timestamp. */
  newest(key: number, at: Timestamp, how: { readonly below: boolean }): Version | undefined {
    return this.#byKey.get(key)?.find(({ timestamp }) => {
      const order = compareTimestamps(timestamp, at);
      return how.below ? order < 0 : order <= 0;
    });
  }
}

function addTo(lists: Map<number, Version[]>, name: number, version: Version): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [version]);
  else list.push(version);
}

function lastWrites(steps: readonly KvStep[]): Map<number, number | undefined> {
  let written = new Map<number, number | undefined>();
  const savepoints: Map<number, number | undefined>[] = [];
  for (const step of steps) {
    if (step.kind === 'write') written.set(step.key, step.value);
    if (step.kind === 'savepoint') savepoints.push(new Map(written));
    if (step.kind === 'rollback') written = savepoints.pop() ?? written;
  }
  return written;
}

/** What an answer that was lost would have said is known by the values that are there. */
function timestampOf(
  { outcome, what }: Recorded<KvTransaction>,
  written: ReadonlyMap<number, number | undefined>,
  stored: VersionIndex,
): Timestamp | undefined {
  if (outcome === 'ok') return what.committedAt;
  if (outcome === 'fail') return undefined;
  for (const value of written.values()) {
    const [version] = value === undefined ? [] : stored.withValue(value);
    if (version !== undefined) return version.timestamp;
  }
  return undefined;
}

function checkWrites(placed: readonly Placed[], stored: VersionIndex, found: Found): void {
  const owners = new Map<Version, string>();
  for (const { name, at, what, lastWrites: written } of placed) {
    for (const step of what.steps) {
      if (step.kind !== 'write' || step.value === undefined) continue;
      const copies = stored.withValue(step.value);
      if (copies.length > 1) found('written-twice', `${copies.map(show).join(', ')}; ${name}`);
      const isLast = written.get(step.key) === step.value;
      if (copies.length > 0 && !isLast) found('replaced-write', name);
      if (copies.length > 0 && at === undefined) found('aborted-write', name);
    }
    if (at === undefined) continue;
    for (const [key, value] of written) {
      const version = stored.newest(key, at, { below: false });
      const isThere =
        version !== undefined && equalTimestamps(version.timestamp, at) && version.value === value;
      if (!isThere) {
        found('lost-write', `k${key} has ${show(version)} at ${formatTimestamp(at)}; ${name}`);
        continue;
      }
      const other = owners.get(version);
      if (other !== undefined) found('two-writers', `${other}; ${name}`);
      owners.set(version, name);
    }
  }
  for (const version of stored.all) {
    if (!owners.has(version)) found('unexplained-version', show(version));
  }
}

/** By key, the version that a transaction has read; undefined when there was none. */
type Reads = Map<number, Version | undefined>;

function checkReads(transaction: Placed, stored: VersionIndex, found: Found): Reads {
  const reads: Reads = new Map();
  const { at, what, name, lastWrites: written } = transaction;
  if (at === undefined) {
    checkOwnReads(transaction, found);
    return reads;
  }
  if (what.boundTo !== undefined && !equalTimestamps(what.boundTo, at)) {
    found('moved-timestamp', `bound to ${formatTimestamp(what.boundTo)}; ${name}`);
  }
  let own = new Map<number, number | undefined>();
  /** What was demanded to be absent; what is undone need not have been looked at. */
  let demanded: { key: number; read: Version | 'own' | undefined; isMet: boolean }[] = [];
  const savepoints: { own: typeof own; demanded: typeof demanded }[] = [];
  // Its own version is the newest at its timestamp.
  const versionOf = (key: number): Version | undefined =>
    stored.newest(key, at, { below: written.has(key) });
  const valueOf = (key: number): number | undefined => {
    if (own.has(key)) return own.get(key);
    const version = versionOf(key);
    reads.set(key, version);
    return version?.value;
  };
  for (const step of what.steps) {
    switch (step.kind) {
      case 'read': {
        const value = valueOf(step.key);
        if (value !== step.value) {
          found('wrong-read', `k${step.key} was ${value}, read as ${step.value}; ${name}`);
        }
        break;
      }
      case 'scan': {
        const rows: string[] = [];
        for (let key = step.from; key < step.to; key++) {
          const value = valueOf(key);
          if (value !== undefined) rows.push(`k${key}=${value}`);
        }
        if (step.reverse) rows.reverse();
        const wanted = rows.join(' ');
        const got = step.rows.map(([key, value]) => `k${key}=${value}`).join(' ');
        if (got !== wanted) found('wrong-scan', `was (${wanted}), read as (${got}); ${name}`);
        break;
      }
      case 'write':
        own.set(step.key, step.value);
        break;
      case 'absent': {
        const { key } = step;
        const read = own.has(key) ? 'own' : versionOf(key);
        const value = read === 'own' ? own.get(key) : read?.value;
        demanded.push({ key, read, isMet: value === undefined });
        break;
      }
      case 'savepoint':
        savepoints.push({ own: new Map(own), demanded: [...demanded] });
        break;
      case 'rollback':
        ({ own, demanded } = savepoints.pop() ?? { own, demanded });
        break;
      default:
        unreachable(step);
    }
  }
  for (const { key, read, isMet } of demanded) {
    if (read !== 'own') reads.set(key, read);
    if (!isMet) found('unmet-condition', `k${key} was there; ${name}`);
  }
  return reads;
}

/** Nobody knows what else was there for a transaction that has not happened. */
function checkOwnReads({ what, name }: Placed, found: Found): void {
  for (const [index, step] of what.steps.entries()) {
    if (step.kind !== 'read' && step.kind !== 'scan') continue;
    const own = lastWrites(what.steps.slice(0, index));
    const rows = step.kind === 'read' ? [[step.key, step.value] as const] : step.rows;
    const read = new Map<number, number | undefined>(rows);
    for (const [key, value] of own) {
      const isRead = step.kind === 'read' ? key === step.key : key >= step.from && key < step.to;
      if (!isRead || read.get(key) === value) continue;
      found('own-write-missed', `k${key} was ${value}, read as ${read.get(key)}; ${name}`);
    }
  }
}

/** The latest timestamp at which something is known, and from whom. */
interface Known {
  readonly at: Timestamp;
  readonly from: string;
}

function checkRealTime(placed: readonly Placed[], reads: readonly Reads[], found: Found): void {
  const written = new Map<number, Known>();
  const read = new Map<number, Known>();
  const raise = (latest: Map<number, Known>, key: number, known: Known): void => {
    const before = latest.get(key);
    if (before === undefined || compareTimestamps(before.at, known.at) < 0) latest.set(key, known);
  };
  const events = placed
    .flatMap((transaction, index) => [
      { position: transaction.invoked, transaction, seen: reads[index], isStart: true },
      { position: transaction.completed, transaction, seen: reads[index], isStart: false },
    ])
    .filter(({ position }) => position < Number.POSITIVE_INFINITY)
    .sort((a, b) => a.position - b.position);
  for (const { transaction, seen, isStart } of events) {
    const { at, name, what, lastWrites: writes } = transaction;
    if (at === undefined || seen === undefined) continue;
    if (isStart) {
      const report = (anomaly: string, key: number, known: Known | undefined): void => {
        if (known === undefined || compareTimestamps(known.at, at) <= 0) return;
        found(anomaly, `k${key} at ${formatTimestamp(known.at)}: ${known.from}; ${name}`);
      };
      for (const key of new Set([...seen.keys(), ...writes.keys()])) {
        if (!what.inPast) report('stale', key, written.get(key));
      }
      for (const key of writes.keys()) report('write-below-read', key, read.get(key));
    } else {
      for (const key of writes.keys()) raise(written, key, { at, from: name });
      for (const [key, version] of seen) {
        raise(read, key, { at, from: name });
        if (version !== undefined) raise(written, key, { at: version.timestamp, from: name });
      }
    }
  }
}

function show(version: Version | undefined): string {
  if (version === undefined) return 'nothing';
  return `k${version.key}=${version.value} at ${formatTimestamp(version.timestamp)}`;
}

/** `K3 (process 1, ok at 17.0000000001, from 1204 ms): get k1=7, put k2=8` */
function describe(
  { process, outcome, invokedMs, what }: Recorded<KvTransaction>,
  index: number,
  at: Timestamp | undefined,
): string {
  const steps = what.steps.map((step) => {
    switch (step.kind) {
      case 'read':
        return `get k${step.key}=${step.value}`;
      case 'scan':
        return `scan${step.reverse ? ' back' : ''} k${step.from} to k${step.to}: ${step.rows.length} rows`;
      case 'write':
        return step.value === undefined ? `delete k${step.key}` : `put k${step.key}=${step.value}`;
      case 'absent':
        return `no k${step.key}`;
      case 'savepoint':
      case 'rollback':
        return step.kind;
      default:
        return unreachable(step);
    }
  });
  const place = at === undefined ? '' : ` at ${formatTimestamp(at)}`;
  return `K${index} (process ${process}, ${outcome}${place}, from ${Math.round(invokedMs)} ms): ${steps.join(', ')}`;
}
