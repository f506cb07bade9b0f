/**
 * Reading tables: point gets, index scans page by page, index scans with a fetch of the whole rows,
 * and scans whose filter, projection or partial aggregation runs beside the data.
 */
import { must } from '../../../util/index.ts';
import { type ReadOptions, type ScanOptions, type WaitPolicy } from '../../../kv/index.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec, type RowDecoder } from '../../row/types.ts';
import { type Datum, type Row } from '../../types/index.ts';
import { type ColumnId, type Expr } from '../../plan/expr.ts';
import { type ScanNode } from '../../plan/physical/types.ts';
import { type Eval } from '../expr/compile-types.ts';
import { compile, type Compiled, type Env } from '../expr/compile.ts';
import { type Operator, type Plan } from '../operator.ts';
import { partialTypes } from '../pushdown/compiler.ts';
import { type StaticProgram, tableEssentials, WireWriter } from '../pushdown/program.ts';
import { canPush } from '../pushdown/pushable.ts';
import { RowBytes, unpackPair } from '../pushdown/row-bytes.ts';
import { batchRows, type Runtime } from '../runtime.ts';
import { compileSpans, type KeySpan, type SpanMaker } from './spans.ts';

/** Rows asked for in the first page when a limit is known, and the most in one page. */
const pageRows = 1024;
const pageBytes = 4 * 1024 * 1024;
const lookupBatch = 256;

/** How stored pairs become rows of the plan's layout. */
export interface TableReader {
  readonly node: ScanNode;
  readonly layout: readonly ColumnId[];
  readonly codec: IndexCodec;
  readonly primary: IndexCodec;
  readonly spans: SpanMaker;
  /** Undefined when a row does not pass the filter. */
  readonly read: (key: Buffer, value: Buffer, rt: Runtime) => Row | undefined;
  /** From an index entry to the key of its row. */
  readonly primaryKey: (key: Buffer, value: Buffer) => Buffer;
  readonly options: ReadOptions;
}

function allSync(compiled: readonly Compiled[]): Eval[] {
  return compiled.map((item) => {
    if (!item.sync) throw new Error('filters of a scan are synchronous');
    return item.run;
  });
}

export function tableReader(node: ScanNode, env: Env, waitPolicy?: WaitPolicy): TableReader {
  const codec = tableCodec(node.table);
  const index = codec.index(node.index.id);
  const primary = must(codec.indexes[0]);
  const layout = node.columns.map((column) => column.id);
  const positions = node.columns.map((column) => column.position);
  const layoutEnv: Env = { ...env, layout: new Map(layout.map((id, i) => [id, i])) };
  const filter = allSync(node.filter.map((condition) => compile(condition, layoutEnv)));
  const decode: RowDecoder = (node.lookup ? primary : index).decoder(positions);
  const width = node.table.columns.length;
  const scratch = Array.from<Datum>({ length: width }).fill(null);
  const keyPositions = node.table.primaryIndex.columns.map(({ columnId }) =>
    node.table.columns.findIndex((column) => column.id === columnId),
  );
  const keyDecode = node.lookup ? index.decoder(keyPositions) : undefined;
  return {
    node,
    layout,
    codec: index,
    primary,
    spans: compileSpans(node.spans, index, node.table, node.index === node.table.primaryIndex, env),
    read(key, value, rt) {
      for (const position of positions) scratch[position] = null;
      decode(key, value, scratch);
      const row: Datum[] = [];
      for (const position of positions) row.push(scratch[position] ?? null);
      for (const condition of filter) if (condition(row, rt) !== true) return undefined;
      return row;
    },
    primaryKey(key, value) {
      for (const position of keyPositions) scratch[position] = null;
      keyDecode?.(key, value, scratch);
      return primary.encodeKey(scratch);
    },
    options: readOptions(node, waitPolicy),
  };
}

/** A row that is found by its primary key and then written may be assumed: the write checks it. */
function readOptions({ lock }: ScanNode, waitPolicy: WaitPolicy | undefined): ReadOptions {
  if (lock === undefined) return waitPolicy === undefined ? {} : { waitPolicy };
  return { lock: lock.strength, waitPolicy: lock.waitPolicy, mayAssume: lock.isTarget === true };
}

/** `waitPolicy`: of a scan without a lock, for rows that are going to be locked. */
export function compileScan(node: ScanNode, env: Env, waitPolicy?: WaitPolicy): Plan {
  const reader = tableReader(node, env, waitPolicy);
  const limit =
    node.limit === undefined ? undefined : compile(node.limit, { ...env, layout: new Map() });
  const limitRun = limit?.sync === true ? limit.run : undefined;
  const program = compileProgram(node, env);
  return {
    layout: program?.layout ?? reader.layout,
    open(rt) {
      const spans = reader.spans([], rt);
      const wanted = limitRun === undefined ? null : limitRun([], rt);
      const most = wanted === null ? undefined : Number(wanted);
      const isPoints = spans.every((span) => span.end === undefined);
      if (isPoints && program?.isAggregate !== true) return new PointScan(reader, spans, rt);
      if (program !== undefined) return new ProgramScan(reader, program, spans, most, rt);
      return new IndexScan(reader, spans, most, rt);
    },
  };
}

/** Spans that are single keys: fetched in batches. */
class PointScan implements Operator {
  readonly #reader: TableReader;
  readonly #spans: readonly KeySpan[];
  readonly #rt: Runtime;
  #at = 0;

  constructor(reader: TableReader, spans: readonly KeySpan[], rt: Runtime) {
    this.#reader = reader;
    this.#spans = reader.node.reverse ? [...spans].reverse() : spans;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    const reader = this.#reader;
    while (this.#at < this.#spans.length) {
      const keys = this.#spans.slice(this.#at, this.#at + batchRows).map((span) => span.start);
      this.#at += keys.length;
      const rows: Row[] = [];
      const [only] = keys;
      if (keys.length === 1 && only !== undefined) {
        const value = await this.#rt.txn.get(only, reader.options);
        if (value !== undefined) await this.#add([only], [value], rows);
      } else {
        const values = await this.#rt.txn.getMany(keys, reader.options);
        const found = keys.filter((_key, i) => values[i] !== undefined);
        await this.#add(
          found,
          values.filter((value) => value !== undefined),
          rows,
        );
        await this.#rt.breathe();
      }
      if (rows.length > 0) return rows;
    }
    return undefined;
  }

  async #add(keys: readonly Buffer[], values: readonly Buffer[], rows: Row[]): Promise<void> {
    if (this.#reader.node.lookup) await fetchRows(this.#reader, keys, values, rows, this.#rt);
    else readRows(this.#reader, keys, values, rows, this.#rt);
  }

  close(): void {
    this.#at = this.#spans.length;
  }
}

function readRows(
  reader: TableReader,
  keys: readonly Buffer[],
  values: readonly Buffer[],
  rows: Row[],
  rt: Runtime,
): void {
  for (const [i, key] of keys.entries()) {
    const row = reader.read(key, must(values[i]), rt);
    if (row !== undefined) rows.push(row);
  }
}

/** Follows index entries to their rows. */
export async function fetchRows(
  reader: TableReader,
  keys: readonly Buffer[],
  values: readonly Buffer[],
  rows: Row[],
  rt: Runtime,
): Promise<void> {
  for (let at = 0; at < keys.length; at += lookupBatch) {
    const primaryKeys = keys
      .slice(at, at + lookupBatch)
      .map((key, i) => reader.primaryKey(key, must(values[at + i])));
    const found = await rt.txn.getMany(primaryKeys, reader.options);
    for (const [i, key] of primaryKeys.entries()) {
      const value = found[i];
      if (value === undefined) continue;
      const row = reader.read(key, value, rt);
      if (row !== undefined) rows.push(row);
    }
  }
}

/** Walks spans page by page in key order. */
class IndexScan implements Operator {
  readonly #reader: TableReader;
  readonly #rt: Runtime;
  readonly #pending: KeySpan[];
  readonly #limit: number | undefined;
  #given = 0;

  constructor(
    reader: TableReader,
    spans: readonly KeySpan[],
    limit: number | undefined,
    rt: Runtime,
  ) {
    this.#reader = reader;
    // Taken from the end.
    this.#pending = reader.node.reverse ? [...spans] : [...spans].reverse();
    this.#limit = limit;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    for (;;) {
      const span = this.#pending.pop();
      if (span === undefined) return undefined;
      if (this.#limit !== undefined && this.#given >= this.#limit) return undefined;
      const rows: Row[] = [];
      await this.#page(span, rows);
      if (rows.length > 0) {
        this.#given += rows.length;
        return rows;
      }
      await this.#rt.breathe();
    }
  }

  async #page(span: KeySpan, rows: Row[]): Promise<void> {
    const reader = this.#reader;
    const rt = this.#rt;
    if (span.end === undefined) {
      const value = await rt.txn.get(span.start, reader.options);
      if (value !== undefined) await this.#take([span.start], [value], rows);
      return;
    }
    const page = await rt.txn.scan({
      ...pageOptions(reader, span.start, span.end),
      maxRows: pageSize(this.#limit, this.#given, reader.node.filter.length > 0),
    });
    if (page.resume !== undefined) this.#pending.push(page.resume);
    await this.#take(page.keys, page.values, rows);
    if (page.resume !== undefined) await rt.breathe();
  }

  async #take(keys: readonly Buffer[], values: readonly Buffer[], rows: Row[]): Promise<void> {
    if (this.#reader.node.lookup) await fetchRows(this.#reader, keys, values, rows, this.#rt);
    else readRows(this.#reader, keys, values, rows, this.#rt);
  }

  close(): void {
    this.#pending.length = 0;
  }
}

function pageSize(limit: number | undefined, given: number, filtered: boolean): number {
  if (limit === undefined || filtered) return pageRows;
  return Math.max(1, Math.min(pageRows, limit - given));
}

function pageOptions(reader: TableReader, start: Buffer, end: Buffer): ScanOptions {
  const { node, options } = reader;
  return { ...options, start, end, reverse: node.reverse, maxBytes: pageBytes };
}

// Row programs.

interface ScanProgram {
  readonly layout: readonly ColumnId[];
  readonly head: Buffer;
  readonly parameters: readonly Eval[];
  readonly parameterBytes: RowBytes;
  /** From one output row of the program; undefined: pairs. */
  readonly decode: RowBytes | undefined;
  readonly isAggregate: boolean;
}

/** A program pays when there is a filter or an aggregation to run, or few of many columns are wanted. */
function compileProgram(node: ScanNode, env: Env): ScanProgram | undefined {
  const { partial } = node;
  const filterable = node.filter.length > 0 && node.filter.every((condition) => canPush(condition));
  if (partial === undefined && (!filterable || node.lookup || node.isPoint)) return undefined;
  if (node.filter.length > 0 && !filterable) return undefined;
  const writer = new WireWriter(
    new Map(node.columns.map((column) => [column.id, column.position])),
  );
  const filter = node.filter.map((condition) => writer.write(condition));
  const positions = node.columns.map((column) => column.position);
  let output: StaticProgram['output'];
  let layout: readonly ColumnId[] = node.columns.map((column) => column.id);
  if (partial !== undefined) {
    output = {
      kind: 'aggregate',
      groups: partial.groups.map((group) => ({
        type: group.expr.type,
        expr: writer.write(group.expr),
      })),
      aggregates: partial.aggregates.map((call) => ({
        name: call.fn.name,
        oid: call.fn.oid,
        types: call.callTypes,
        args: call.args.map((arg) => writer.write(arg)),
        filter: call.filter && writer.write(call.filter),
      })),
    };
    layout = [];
  } else if (positions.length * 2 <= node.table.columns.length)
    output = { kind: 'columns', positions };
  else output = { kind: 'pairs' };
  const decodePositions = [
    ...new Set([...writer.used, ...(output.kind === 'columns' ? positions : [])]),
  ];
  const parameterTypes = writer.parameters.map((expr) => expr.type);
  const program: StaticProgram = {
    table: tableEssentials(node.table, node.index),
    indexId: node.index.id,
    decode: decodePositions,
    parameterTypes,
    filter,
    output,
  };
  const text = Buffer.from(JSON.stringify(program), 'utf8');
  const head = Buffer.allocUnsafe(4 + text.length);
  head.writeUInt32BE(text.length, 0);
  text.copy(head, 4);
  const decode =
    output.kind === 'aggregate'
      ? new RowBytes(partialTypes(output))
      : output.kind === 'columns'
        ? new RowBytes(positions.map((position) => must(node.table.columns[position]).typeOid))
        : undefined;
  return {
    layout,
    head,
    parameters: allSync(
      writer.parameters.map((expr: Expr) => compile(expr, { ...env, layout: new Map() })),
    ),
    parameterBytes: new RowBytes(parameterTypes),
    decode,
    isAggregate: partial !== undefined,
  };
}

class ProgramScan implements Operator {
  readonly #reader: TableReader;
  readonly #program: ScanProgram;
  readonly #serialized: Buffer;
  readonly #rt: Runtime;
  readonly #pending: KeySpan[];
  readonly #limit: number | undefined;
  #given = 0;

  constructor(
    reader: TableReader,
    program: ScanProgram,
    spans: readonly KeySpan[],
    limit: number | undefined,
    rt: Runtime,
  ) {
    this.#reader = reader;
    this.#program = program;
    this.#rt = rt;
    this.#limit = program.isAggregate ? undefined : limit;
    this.#pending = reader.node.reverse ? [...spans] : [...spans].reverse();
    const values = program.parameters.map((run) => run([], rt));
    this.#serialized = Buffer.concat([program.head, program.parameterBytes.encode(values)]);
  }

  async next(): Promise<readonly Row[] | undefined> {
    for (;;) {
      const span = this.#pending.pop();
      if (span === undefined) return undefined;
      if (this.#limit !== undefined && this.#given >= this.#limit) return undefined;
      const end = span.end ?? Buffer.concat([span.start, Buffer.from([0])]);
      const page = await this.#rt.txn.scan({
        ...pageOptions(this.#reader, span.start, end),
        maxRows: this.#program.isAggregate ? 0 : pageSize(this.#limit, this.#given, false),
        program: this.#serialized,
      });
      if (page.resume !== undefined) this.#pending.push(page.resume);
      const rows = page.values.map((value) => this.#row(value));
      await this.#rt.breathe();
      if (rows.length === 0) continue;
      this.#given += rows.length;
      return rows;
    }
  }

  #row(bytes: Buffer): Row {
    const { decode } = this.#program;
    if (decode !== undefined) return decode.decode(bytes);
    const { key, value } = unpackPair(bytes);
    // The filter has run already; running it again is harmless and keeps one reader.
    return must(
      this.#reader.read(key, value, this.#rt),
      'the leaseholder and the gateway agree on filters',
    );
  }

  close(): void {
    this.#pending.length = 0;
  }
}
