/**
 * Checks transactions that write unique values to registers and read registers: what each of them may have seen, and whether some order of
 * all of them explains it. A register tells less than a list (`list-append.ts`), so a wrong order may remain unseen, but it is written
 * and read as most tables are, blindly and without what was there before.
 */
import { describeCycle, findCycles, processOrder, type Dependency } from './dependency-cycles.ts';
import { type Finding } from './history.ts';
import { describeRegisters, type RegisterTransaction } from './rw-history.ts';
import { registersOf, touchedBy, type Register, type RegisterVersion } from './rw-versions.ts';

/** Every anomaly found, with its transactions. No value may be written twice to a key. */
export function checkRegisters(history: readonly RegisterTransaction[]): Finding[] {
  const findings: Finding[] = [];
  const found: Found = (anomaly, ...indexes) => {
    const text = indexes.map((index) => describeRegisters(history, index)).join('; ');
    findings.push({ anomaly, text });
  };
  const writers = writersOf(history);
  for (const [index, { outcome }] of history.entries()) {
    if (outcome === 'ok') readValues(history, index, writers, found);
  }
  lostUpdates(history, found);
  const registers = registersOf(history);
  for (const { isCyclic, versions } of registers) {
    if (isCyclic) found('cyclic-versions', ...touching([...versions.values()]).slice(0, shownMax));
  }
  const dependencies = [
    ...registers.filter(({ isCyclic }) => !isCyclic).flatMap(dataDependencies),
    ...processOrder(history),
  ];
  for (const cycle of findCycles(history.length, dependencies)) {
    const text = describeCycle(cycle, (index) => describeRegisters(history, index));
    findings.push({ anomaly: cycle.anomaly, text });
  }
  return findings;
}

type Found = (anomaly: string, ...indexes: number[]) => void;

const shownMax = 8;

function touching(versions: readonly RegisterVersion[]): number[] {
  return [...new Set(versions.flatMap(touchedBy))].sort((a, b) => a - b);
}

/** By key and value, whatever became of the transaction. */
function writersOf(history: readonly RegisterTransaction[]): ReadonlyMap<string, number> {
  const writers = new Map<string, number>();
  for (const [index, { what }] of history.entries()) {
    for (const { kind, key, value } of what) {
      if (kind === 'write') writers.set(`${key} ${value}`, index);
    }
  }
  return writers;
}

/**
 * A transaction sees what it has written ('internal'), what it has read before ('non-repeatable-read'), nothing that nobody wrote
 * ('garbage-read'), that was rolled back ('G1a') or that its writer replaced itself ('G1b').
 */
function readValues(
  history: readonly RegisterTransaction[],
  index: number,
  writers: ReadonlyMap<string, number>,
  found: Found,
): void {
  const known = new Map<number, { readonly value: number | null; readonly isOwn: boolean }>();
  for (const { kind, key, value } of history[index]?.what ?? []) {
    if (value === undefined) continue;
    const before = known.get(key);
    if (kind === 'read' && before !== undefined && before.value !== value) {
      found(before.isOwn ? 'internal' : 'non-repeatable-read', index);
    }
    known.set(key, { value, isOwn: kind === 'write' || before?.isOwn === true });
    if (kind === 'write' || value === null || before?.isOwn === true) continue;
    const writer = writers.get(`${key} ${value}`);
    if (writer === undefined) found('garbage-read', index);
    else if (writer === index) found('internal', index);
    else if (history[writer]?.outcome === 'fail') found('G1a', writer, index);
    else if (finalWrite(history[writer], key) !== value) found('G1b', writer, index);
  }
}

function finalWrite(transaction: RegisterTransaction | undefined, of: number): number | undefined {
  const last = transaction?.what.findLast(({ kind, key }) => kind === 'write' && key === of);
  return last?.value ?? undefined;
}

/** Two transactions that read the same version and then replaced it: one of them did not see the other. */
function lostUpdates(history: readonly RegisterTransaction[], found: Found): void {
  const basedOn = new Map<string, number>();
  for (const [index, { what, outcome }] of history.entries()) {
    if (outcome !== 'ok') continue;
    const touched = new Set<number>();
    for (const [i, { kind, key, value }] of what.entries()) {
      if (touched.has(key)) continue;
      touched.add(key);
      const replaces = what.slice(i).some((each) => each.kind === 'write' && each.key === key);
      if (kind === 'write' || value === undefined || !replaces) continue;
      const version = `${key} ${value}`;
      const other = basedOn.get(version);
      if (other === undefined) basedOn.set(version, index);
      else found('lost-update', other, index);
    }
  }
}

function dataDependencies({ versions }: Register): Dependency[] {
  const dependencies: Dependency[] = [];
  const add = (from: number | undefined, to: number, kind: Dependency['kind']): void => {
    if (from !== undefined && from !== to) dependencies.push({ from, to, kind });
  };
  for (const version of versions.values()) {
    const { writer, readers } = version;
    for (const reader of readers) add(writer, reader, 'wr');
    if (writer === undefined) continue;
    for (const before of latestOf(version.before)) {
      add(before.writer, writer, 'ww');
      for (const reader of before.readers) add(reader, writer, 'rw');
    }
  }
  return dependencies;
}

/** Those that none of the others is known to come behind. */
function latestOf(versions: ReadonlySet<RegisterVersion>): RegisterVersion[] {
  const passed = new Set([...versions].flatMap(({ before }) => [...before]));
  return [...versions].filter((version) => !passed.has(version));
}
