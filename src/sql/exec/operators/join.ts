/** Joins: hash, merge, lookup, and loops for everything else. */
import { must } from '../../../util/index.ts';
import { type Row, typeOps, type TypeOps } from '../../types/index.ts';
import { type ColumnId } from '../../plan/expr.ts';
import { type JoinType } from '../../plan/logical.ts';
import { type Compiled } from '../expr/compile.ts';
import { collectRows, type Operator, type Plan } from '../operator.ts';
import { batchRows, rowBytes, type Runtime } from '../runtime.ts';
import { evaluateAll, passes } from './basic.ts';
import { type CompiledKey, compareKey, rowText } from './compare.ts';
import { fetchRows, type TableReader } from './scan.ts';

function nulls(count: number): Row {
  return Array.from<null>({ length: count }).fill(null);
}

export function joinLayout(type: JoinType, left: Plan, right: Plan): ColumnId[] {
  return type === 'semi' || type === 'anti' ? [...left.layout] : [...left.layout, ...right.layout];
}

/** Which right rows go with one left row, and what comes out for it. */
async function emitMatches(
  type: JoinType,
  row: Row,
  candidates: readonly Row[],
  residual: readonly Compiled[],
  padding: Row,
  rt: Runtime,
  out: Row[],
  matched: ((candidate: Row) => void) | undefined,
): Promise<void> {
  let found = false;
  for (const candidate of candidates) {
    const joined = row.concat(candidate);
    if (residual.length > 0 && !(await passes(residual, joined, rt))) continue;
    found = true;
    if (type === 'semi' || type === 'anti') break;
    matched?.(candidate);
    out.push(joined);
  }
  if (type === 'semi' ? found : type === 'anti' && !found) out.push(row);
  else if (!found && (type === 'left' || type === 'full')) out.push(row.concat(padding));
}

/** Splits long outputs into batches. */
class Batcher implements Operator {
  readonly #fill: () => Promise<Row[] | undefined>;
  readonly #end: () => void;
  #rows: Row[] = [];
  #at = 0;

  constructor(fill: () => Promise<Row[] | undefined>, end: () => void) {
    this.#fill = fill;
    this.#end = end;
  }

  async next(): Promise<readonly Row[] | undefined> {
    while (this.#at >= this.#rows.length) {
      const more = await this.#fill();
      if (more === undefined) return undefined;
      this.#rows = more;
      this.#at = 0;
    }
    if (this.#at === 0 && this.#rows.length <= batchRows) {
      this.#at = this.#rows.length;
      return this.#rows;
    }
    const batch = this.#rows.slice(this.#at, this.#at + batchRows);
    this.#at += batch.length;
    return batch;
  }

  close(): void {
    this.#end();
  }
}

// Hash.

export interface HashJoinParts {
  readonly type: JoinType;
  readonly leftKeys: readonly Compiled[];
  readonly rightKeys: readonly Compiled[];
  readonly keyTypes: readonly number[];
  /** Over the joined row. */
  readonly residual: readonly Compiled[];
}

export function hashJoinPlan(left: Plan, right: Plan, parts: HashJoinParts): Plan {
  const { type } = parts;
  const ops = parts.keyTypes.map((t) => typeOps(t));
  return {
    layout: joinLayout(type, left, right),
    open(rt) {
      const source = left.open(rt);
      let built: { table: Map<string, Row[]>; all: Row[]; bytes: number } | undefined;
      const matched = type === 'right' || type === 'full' ? new Set<Row>() : undefined;
      const rightPad = nulls(right.layout.length);
      const leftPad = nulls(left.layout.length);
      let drained = false;
      return new Batcher(
        async () => {
          built ??= await buildTable(right, parts.rightKeys, ops, rt, matched !== undefined);
          if (drained) return undefined;
          const batch = await source.next();
          const out: Row[] = [];
          if (batch === undefined) {
            drained = true;
            if (matched === undefined) return undefined;
            for (const row of built.all) if (!matched.has(row)) out.push(leftPad.concat(row));
            return out;
          }
          for (const row of batch) {
            const key = await evaluateAll(parts.leftKeys, row, rt);
            const candidates = key.includes(null) ? [] : (built.table.get(rowText(key, ops)) ?? []);
            await emitMatches(
              type,
              row,
              candidates,
              parts.residual,
              rightPad,
              rt,
              out,
              matched && ((c) => matched.add(c)),
            );
          }
          await rt.breathe();
          return out;
        },
        () => {
          source.close();
          if (built !== undefined) rt.release(built.bytes);
          built = undefined;
        },
      );
    },
  };
}

async function buildTable(
  plan: Plan,
  keys: readonly Compiled[],
  ops: readonly TypeOps[],
  rt: Runtime,
  keepAll: boolean,
): Promise<{ table: Map<string, Row[]>; all: Row[]; bytes: number }> {
  const table = new Map<string, Row[]>();
  const all: Row[] = [];
  let bytes = 0;
  const rows = await collectRows(plan, rt, (row) => {
    const size = rowBytes(row) + 64;
    bytes += size;
    return size;
  });
  for (const row of rows) {
    if (keepAll) all.push(row);
    const key = await evaluateAll(keys, row, rt);
    if (key.includes(null)) continue;
    const text = rowText(key, ops);
    const same = table.get(text);
    if (same === undefined) table.set(text, [row]);
    else same.push(row);
  }
  return { table, all, bytes };
}

// Merge.

export interface MergeJoinParts {
  readonly type: JoinType;
  readonly leftKeys: readonly CompiledKey[];
  readonly rightKeys: readonly CompiledKey[];
  readonly residual: readonly Compiled[];
}

/** Both inputs come in key order; equal runs of the right side are kept while they last. */
export function mergeJoinPlan(left: Plan, right: Plan, parts: MergeJoinParts): Plan {
  return {
    layout: joinLayout(parts.type, left, right),
    open(rt) {
      const source = left.open(rt);
      const run = new RunReader(right.open(rt), parts.rightKeys, rt);
      const padding = nulls(right.layout.length);
      return new Batcher(
        async () => {
          const batch = await source.next();
          if (batch === undefined) return undefined;
          const out: Row[] = [];
          for (const row of batch) {
            const key = await evaluateAll(
              parts.leftKeys.map((k) => k.value),
              row,
              rt,
            );
            const candidates = key.includes(null) ? [] : await run.matching(key);
            await emitMatches(
              parts.type,
              row,
              candidates,
              parts.residual,
              padding,
              rt,
              out,
              undefined,
            );
          }
          await rt.breathe();
          return out;
        },
        () => {
          source.close();
          run.close();
        },
      );
    },
  };
}

class RunReader {
  readonly #source: Operator;
  readonly #keys: readonly CompiledKey[];
  readonly #rt: Runtime;
  #batch: readonly Row[] = [];
  #at = 0;
  #done = false;
  #runKey: Row | undefined;
  #run: Row[] = [];

  constructor(source: Operator, keys: readonly CompiledKey[], rt: Runtime) {
    this.#source = source;
    this.#keys = keys;
    this.#rt = rt;
  }

  async matching(key: Row): Promise<readonly Row[]> {
    if (this.#runKey !== undefined && this.#order(this.#runKey, key) === 0) return this.#run;
    this.#run = [];
    this.#runKey = undefined;
    for (;;) {
      const row = await this.#peek();
      if (row === undefined) break;
      const own = await evaluateAll(
        this.#keys.map((k) => k.value),
        row,
        this.#rt,
      );
      const order = own.includes(null) ? -1 : this.#order(own, key);
      if (order > 0) break;
      this.#at++;
      if (order < 0) continue;
      this.#run.push(row);
      this.#runKey = own;
    }
    return this.#run;
  }

  #order(a: Row, b: Row): number {
    for (const [i, key] of this.#keys.entries()) {
      const order = compareKey(key, a[i] ?? null, b[i] ?? null);
      if (order !== 0) return order;
    }
    return 0;
  }

  async #peek(): Promise<Row | undefined> {
    while (!this.#done && this.#at >= this.#batch.length) {
      const next = await this.#source.next();
      if (next === undefined) this.#done = true;
      else {
        this.#batch = next;
        this.#at = 0;
      }
    }
    return this.#done ? undefined : this.#batch[this.#at];
  }

  close(): void {
    this.#source.close();
  }
}

// Lookup.

export interface LookupJoinParts {
  readonly type: JoinType;
  /** Its spans are made from the left row. */
  readonly reader: TableReader;
  readonly residual: readonly Compiled[];
}

/** Left rows per round of lookups. */
const lookupRows = 256;

export function lookupJoinPlan(left: Plan, parts: LookupJoinParts): Plan {
  const { reader, type } = parts;
  const layout =
    type === 'semi' || type === 'anti' ? [...left.layout] : [...left.layout, ...reader.layout];
  return {
    layout,
    open(rt) {
      const source = left.open(rt);
      const padding = nulls(reader.layout.length);
      let waiting: readonly Row[] = [];
      return new Batcher(
        async () => {
          if (waiting.length === 0) {
            const batch = await source.next();
            if (batch === undefined) return undefined;
            waiting = batch;
          }
          const rows = waiting.slice(0, lookupRows);
          waiting = waiting.slice(lookupRows);
          const found = await lookUp(reader, rows, rt);
          const out: Row[] = [];
          for (const [i, row] of rows.entries()) {
            await emitMatches(
              type,
              row,
              must(found[i]),
              parts.residual,
              padding,
              rt,
              out,
              undefined,
            );
          }
          await rt.breathe();
          return out;
        },
        () => source.close(),
      );
    },
  };
}

/** The matching rows of each left row. Single keys are fetched together, spans one by one and shared. */
async function lookUp(reader: TableReader, rows: readonly Row[], rt: Runtime): Promise<Row[][]> {
  const found: Row[][] = rows.map(() => []);
  const byKey = new Map<string, { key: Buffer; users: number[] }>();
  const bySpan = new Map<string, { start: Buffer; end: Buffer; users: number[] }>();
  for (const [i, row] of rows.entries()) {
    for (const span of reader.spans(row, rt)) {
      const name = span.start.toString('latin1');
      if (span.end === undefined) {
        const entry = byKey.get(name) ?? { key: span.start, users: [] };
        entry.users.push(i);
        byKey.set(name, entry);
      } else {
        const entry = bySpan.get(name) ?? { start: span.start, end: span.end, users: [] };
        entry.users.push(i);
        bySpan.set(name, entry);
      }
    }
  }
  const wanted = [...byKey.values()];
  if (wanted.length > 0) {
    const values = await rt.txn.getMany(
      wanted.map((entry) => entry.key),
      reader.options,
    );
    for (const [j, entry] of wanted.entries()) {
      const value = values[j];
      if (value === undefined) continue;
      const matches: Row[] = [];
      await readPairs(reader, [entry.key], [value], matches, rt);
      for (const user of entry.users) found[user]?.push(...matches);
    }
  }
  for (const { start, end, users } of bySpan.values()) {
    const matches: Row[] = [];
    let rest: { start: Buffer; end: Buffer } | undefined = { start, end };
    while (rest !== undefined) {
      const page = await rt.txn.scan({ ...reader.options, ...rest, maxRows: batchRows });
      await readPairs(reader, page.keys, page.values, matches, rt);
      rest = page.resume;
    }
    for (const user of users) found[user]?.push(...matches);
  }
  return found;
}

async function readPairs(
  reader: TableReader,
  keys: readonly Buffer[],
  values: readonly Buffer[],
  rows: Row[],
  rt: Runtime,
): Promise<void> {
  if (reader.node.lookup) {
    await fetchRows(reader, keys, values, rows, rt);
    return;
  }
  for (const [i, key] of keys.entries()) {
    const row = reader.read(key, must(values[i]), rt);
    if (row !== undefined) rows.push(row);
  }
}

// Loops.

export interface LoopJoinParts {
  readonly type: JoinType;
  readonly on: readonly Compiled[];
  /** Slots to fill from the left row before the right side is opened. */
  readonly dependent: readonly { readonly slot: number; readonly position: number }[];
}

export function loopJoinPlan(left: Plan, right: Plan, parts: LoopJoinParts): Plan {
  const { type } = parts;
  const isDependent = parts.dependent.length > 0;
  return {
    layout: joinLayout(type, left, right),
    open(rt) {
      const source = left.open(rt);
      const matched = type === 'right' || type === 'full' ? new Set<Row>() : undefined;
      const rightPad = nulls(right.layout.length);
      const leftPad = nulls(left.layout.length);
      let kept: Row[] | undefined;
      let waiting: readonly Row[] = [];
      let drained = false;
      return new Batcher(
        async () => {
          if (!isDependent) kept ??= await collectRows(right, rt, rowBytes);
          if (drained) return undefined;
          const out: Row[] = [];
          if (waiting.length === 0) waiting = (await source.next()) ?? [];
          if (waiting.length === 0) {
            drained = true;
            if (matched === undefined || kept === undefined) return undefined;
            for (const row of kept) if (!matched.has(row)) out.push(leftPad.concat(row));
            return out;
          }
          let taken = 0;
          for (const row of waiting) {
            taken++;
            for (const { slot, position } of parts.dependent)
              rt.slots[slot] = row[position] ?? null;
            const candidates = kept ?? (await collectRows(right, rt, undefined));
            await emitMatches(
              type,
              row,
              candidates,
              parts.on,
              rightPad,
              rt,
              out,
              matched && ((c) => matched.add(c)),
            );
            if (out.length >= batchRows) break;
          }
          waiting = waiting.slice(taken);
          await rt.breathe();
          return out;
        },
        () => source.close(),
      );
    },
  };
}
