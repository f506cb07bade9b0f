/** Turns a span description and a row of values into key spans. */
import { must, prefixEnd as endOfPrefix } from '../../../util/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { ArrayDatum, type Datum, type Row } from '../../types/index.ts';
import {
  maxSpans,
  type SpanBound,
  type SpanPart,
  type SpanSpec,
} from '../../plan/physical/types.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Eval } from '../expr/compile-types.ts';
import { type Compiled, compile, type Env } from '../expr/compile.ts';
import { type Runtime } from '../runtime.ts';

/** [start, end), or one key. */
export interface KeySpan {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

export type SpanMaker = (row: Row, rt: Runtime) => KeySpan[];

/** Index keys never consist of 0xff alone. */
function prefixEnd(key: Buffer): Buffer {
  return must(endOfPrefix(key));
}

/** About what a span takes in memory while it is made. */
const spanBytes = 384;

interface Part {
  readonly kind: SpanPart['kind'];
  readonly runs: readonly Eval[];
  readonly fit: Fit;
}

/** A value for the key column, or on which side of all its values it lies. */
type Fit = (value: Datum) => Datum | Beyond;

class Beyond {
  readonly side: 'below' | 'above';

  constructor(side: Beyond['side']) {
    this.side = side;
  }
}

const below = new Beyond('below');
const above = new Beyond('above');
const intRanges: Readonly<Record<number, readonly [bigint, bigint]>> = {
  20: [-9223372036854775808n, 9223372036854775807n],
  21: [-32768n, 32767n],
  23: [-2147483648n, 2147483647n],
};

function fitter(columnType: number, valueType: number): Fit {
  if (columnType === valueType) return (value) => value;
  const range = intRanges[columnType];
  if (range === undefined || intRanges[valueType] === undefined) return (value) => value;
  return (value) => {
    if (typeof value !== 'number' && typeof value !== 'bigint') return value;
    const exact = BigInt(value);
    if (exact < range[0]) return below;
    if (exact > range[1]) return above;
    return columnType === 20 ? exact : Number(exact);
  };
}

function syncRun(compiled: Compiled): Eval {
  if (compiled.sync) return compiled.run;
  throw new Error('span values are synchronous');
}

export function compileSpans(
  spec: SpanSpec,
  codec: IndexCodec,
  table: TableDescriptor,
  isPrimary: boolean,
  env: Env,
): SpanMaker {
  const { index } = codec;
  const keys = [
    ...index.columns.map((column) => ({ id: column.columnId, descending: column.descending })),
    ...(isPrimary ? [] : index.suffixColumnIds.map((id) => ({ id, descending: false }))),
  ];
  const typeAt = (i: number): number => {
    const { id } = must(keys[i]);
    return must(table.columns.find((column) => column.id === id)).typeOid;
  };
  const parts: Part[] = spec.prefix.map((part, i) => {
    const exprs =
      part.kind === 'equal'
        ? [part.value]
        : part.kind === 'list'
          ? part.values
          : part.kind === 'array'
            ? [part.array]
            : [];
    return {
      kind: part.kind,
      runs: exprs.map((expr) => syncRun(compile(expr, env))),
      fit: part.kind === 'null' ? (value) => value : fitter(typeAt(i), part.type),
    };
  });
  const bound = (
    b: SpanBound | undefined,
  ): { run: Eval; fit: Fit; inclusive: boolean } | undefined =>
    b && {
      run: syncRun(compile(b.value, env)),
      fit: fitter(typeAt(spec.prefix.length), b.type),
      inclusive: b.inclusive,
    };
  const lower = bound(spec.lower);
  const upper = bound(spec.upper);
  const descending = keys[spec.prefix.length]?.descending ?? false;
  const isRange = lower !== undefined || upper !== undefined;
  /** A unique index is keyed by its columns alone, unless one of them is null. */
  const wholeKey =
    (isPrimary || index.unique) &&
    spec.prefix.length === index.columns.length &&
    parts.every((part) => part.kind !== 'null');

  return (row, rt) => {
    const prefixes = productOf(parts, row, rt);
    const spans: KeySpan[] = [];
    for (const values of prefixes) {
      const isWhole = values.length === parts.length;
      if (wholeKey && isWhole) {
        spans.push({ start: codec.encodeKeyPrefix(values), end: undefined });
        continue;
      }
      if (!isRange || !isWhole) {
        const start = codec.encodeKeyPrefix(values);
        spans.push({ start, end: prefixEnd(start) });
        continue;
      }
      const span = rangeSpan(codec, values, lower, upper, descending, row, rt);
      if (span !== undefined) spans.push(span);
    }
    return prefixes.length > 1 ? sortedDistinct(spans) : spans;
  };
}

/** Ends before the list that would make too many: the plan has kept the conditions from there on. */
function productOf(parts: readonly Part[], row: Row, rt: Runtime): Datum[][] {
  let rows: Datum[][] = [[]];
  for (const part of parts) {
    const values = valuesOf(part, row, rt);
    const count = rows.length * values.length;
    if (count > maxSpans) {
      if (rows.length > 1 && values.length > 1) break;
      checkMemory(count, rt);
    }
    if (values.length === 1) for (const prefix of rows) prefix.push(values[0] ?? null);
    else rows = rows.flatMap((prefix) => values.map((value) => [...prefix, value]));
  }
  return rows;
}

/** A long list has to fit into the statement's memory with its keys. */
function checkMemory(count: number, rt: Runtime): void {
  const bytes = count * spanBytes;
  rt.hold(bytes);
  rt.release(bytes);
}

/** The values that can match: none when it is NULL or out of the column's range. */
function valuesOf(part: Part, row: Row, rt: Runtime): Datum[] {
  if (part.kind === 'null') return [null];
  const out: Datum[] = [];
  for (const run of part.runs) {
    const value = run(row, rt);
    const items =
      part.kind === 'array' ? (value instanceof ArrayDatum ? value.elements : []) : [value];
    for (const item of items) {
      if (item === null) continue;
      const fitted = part.fit(item);
      if (!(fitted instanceof Beyond)) out.push(fitted);
    }
  }
  return out;
}

function rangeSpan(
  codec: IndexCodec,
  values: readonly Datum[],
  lower: { run: Eval; fit: Fit; inclusive: boolean } | undefined,
  upper: { run: Eval; fit: Fit; inclusive: boolean } | undefined,
  descending: boolean,
  row: Row,
  rt: Runtime,
): KeySpan | undefined {
  const low = lower === undefined ? undefined : lower.fit(lower.run(row, rt));
  const high = upper === undefined ? undefined : upper.fit(upper.run(row, rt));
  // A comparison with NULL is never true.
  if (low === null || high === null) return undefined;
  if (low instanceof Beyond && low.side === 'above') return undefined;
  if (high instanceof Beyond && high.side === 'below') return undefined;
  const nulls = codec.encodeKeyPrefix([...values, null]);
  const edge = (value: Datum | Beyond | undefined): Buffer | undefined =>
    value === undefined || value instanceof Beyond
      ? undefined
      : codec.encodeKeyPrefix([...values, value]);
  const lowKey = edge(low);
  const highKey = edge(high);
  const prefix = codec.encodeKeyPrefix(values);
  const lowIn = lower?.inclusive === true;
  const highIn = upper?.inclusive === true;
  const span = descending
    ? {
        start: highKey === undefined ? prefixEnd(nulls) : highIn ? highKey : prefixEnd(highKey),
        end: lowKey === undefined ? prefixEnd(prefix) : lowIn ? prefixEnd(lowKey) : lowKey,
      }
    : {
        start: lowKey === undefined ? prefix : lowIn ? lowKey : prefixEnd(lowKey),
        end: highKey === undefined ? nulls : highIn ? prefixEnd(highKey) : highKey,
      };
  return span.start.compare(span.end) < 0 ? span : undefined;
}

function sortedDistinct(spans: readonly KeySpan[]): KeySpan[] {
  const sorted = [...spans].sort((a, b) => a.start.compare(b.start));
  return sorted.filter((span, i) => i === 0 || !span.start.equals(must(sorted[i - 1]).start));
}
