/**
 * Access paths: which index answers a scan with its conditions, over which spans, in which direction.
 * Conditions that the spans express exactly are dropped; NULLs are never inside a range span.
 */
import { must } from '../../../util/index.ts';
import { type IndexDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { tableCodec } from '../../row/index.ts';
import { ArrayDatum } from '../../types/index.ts';
import { type ColumnId, type Expr } from '../expr.ts';
import { type ScanRel, type SortKey } from '../logical.ts';
import { columnsOf } from '../walk.ts';
import { hasSubquery, isVolatile } from '../rules/predicates.ts';
import {
  defaultTableRows,
  passRate,
  selectivity,
  sortCost,
  type TableStatistics,
  unit,
} from './cost.ts';
import { maxSpans, type ScanNode, type SpanBound, type SpanPart } from './types.ts';

const intFamily = new Set([20, 21, 23]);
const textFamily = new Set([25, 1043]);

export interface AccessRequest {
  readonly rel: ScanRel;
  readonly conditions: readonly Expr[];
  /** The order that the parent would like. */
  readonly wanted: readonly SortKey[];
  /** Rows the parent takes at most, when it is known to stop early. */
  readonly limit: Expr | undefined;
  readonly statistics: TableStatistics;
  /** Columns that are known values for this scan (of the left side of a lookup join). */
  readonly given?: ReadonlySet<ColumnId>;
}

/** The cheapest path. */
export function chooseAccess(request: AccessRequest): ScanNode {
  const { table } = request.rel;
  let best: ScanNode | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const index of [table.primaryIndex, ...table.indexes]) {
    if (index.state !== 'public' || index.predicateSql !== undefined) continue;
    for (const reverse of [false, true]) {
      const path = pathOf(request, index, reverse);
      const sorted = satisfies(path.order, request.wanted);
      if (reverse && !sorted) continue;
      const limited = request.limit !== undefined && sorted && request.wanted.length > 0;
      const cost = sorted
        ? limited
          ? Math.min(path.estimate.cost, unit.start + 50 * (path.lookup ? unit.lookup : 1))
          : path.estimate.cost
        : path.estimate.cost + sortCost(path.estimate.rows);
      if (cost < bestCost) {
        best = path;
        bestCost = cost;
      }
      if (request.wanted.length === 0) break;
    }
  }
  return must(best, 'the primary index always gives a path');
}

/** True when rows in order `have` are also in order `want`. */
export function satisfies(have: readonly SortKey[], want: readonly SortKey[]): boolean {
  return want.every((key, i) => {
    const own = have[i];
    return (
      own !== undefined &&
      own.expr.kind === 'column' &&
      key.expr.kind === 'column' &&
      own.expr.id === key.expr.id &&
      own.descending === key.descending &&
      own.nullsFirst === key.nullsFirst
    );
  });
}

interface Match {
  readonly condition: Expr;
  readonly part?: SpanPart;
  readonly lower?: SpanBound;
  readonly upper?: SpanBound;
}

function pathOf(request: AccessRequest, index: IndexDescriptor, reverse: boolean): ScanNode {
  const { rel, conditions } = request;
  const { table } = rel;
  const positions = new Map(table.columns.map((column, i) => [column.id, i]));
  const idAt = new Map(rel.columns.map((column) => [column.position, column.id]));
  const own = new Set(rel.columns.map((column) => column.id));
  const primary = index === table.primaryIndex;
  const keyIds = [
    ...index.columns.map((column) => ({
      columnId: column.columnId,
      descending: column.descending,
    })),
    ...(primary || index.unique
      ? []
      : index.suffixColumnIds.map((columnId) => ({ columnId, descending: false }))),
  ];
  const prefix: SpanPart[] = [];
  const used = new Set<Expr>();
  /** Those of `used` that no row of the spans needs to be asked for again. */
  const exact = new Set<Expr>();
  // How many spans the lists make: infinite when a parameter decides. The prefix may turn out too long then.
  let count = 1;
  let isCertain = true;
  let lower: SpanBound | undefined;
  let upper: SpanBound | undefined;
  let fraction = 1;
  for (const { columnId } of keyIds) {
    const position = must(positions.get(columnId));
    const id = idAt.get(position);
    if (id === undefined) break;
    const column = must(table.columns[position]);
    const matches = conditions.flatMap(
      (condition) => matchOf(condition, id, column.typeOid, own) ?? [],
    );
    const equal =
      matches.find((match) => match.part?.kind === 'equal') ??
      matches.find((match) => match.part !== undefined);
    if (equal?.part !== undefined) {
      const length = lengthOf(equal.part);
      const product = count * length;
      const isLong = count > 1 && length > 1 && product > maxSpans;
      if (isLong && Number.isFinite(product)) break;
      if (isLong) isCertain = false;
      count = product;
      prefix.push(equal.part);
      used.add(equal.condition);
      if (isCertain) exact.add(equal.condition);
      fraction *=
        selectivity.equal *
        (equal.part.kind === 'list'
          ? equal.part.values.length
          : equal.part.kind === 'array'
            ? 5
            : 1);
      continue;
    }
    const low = matches.find((match) => match.lower !== undefined);
    const high = matches.find((match) => match.upper !== undefined);
    for (const match of [low, high]) {
      if (match === undefined) continue;
      used.add(match.condition);
      if (isCertain) exact.add(match.condition);
    }
    lower = low?.lower;
    upper = high?.upper;
    if (low !== undefined) fraction *= selectivity.range;
    if (high !== undefined) fraction *= selectivity.range;
    break;
  }
  const rest = conditions.filter((condition) => !used.has(condition));
  const filter = conditions.filter((condition) => !exact.has(condition));
  const whole = prefix.length >= index.columns.length;
  const singles = prefix.every((part) => part.kind === 'equal');
  const isUnique = primary || index.unique;
  const isPoint = isUnique && whole && singles;
  const total = request.statistics.rowCount(table) ?? defaultTableRows;
  const lists = prefix.reduce(
    (n, part) => n * (part.kind === 'list' ? part.values.length : part.kind === 'array' ? 5 : 1),
    1,
  );
  const scanned = isUnique && whole ? lists : Math.max(1, total * fraction);
  const covered = new Set(tableCodec(table).index(index.id).coveredPositions);
  const lookup = !primary && !rel.columns.every((column) => covered.has(column.position));
  const rows = isPoint ? 1 : Math.max(1, scanned * passRate(rest));
  // A scan of a narrow index reads less than one of whole rows.
  const width = primary || lookup ? unit.scan : unit.scan * 0.7;
  const cost =
    (isPoint ? 1 : unit.start) +
    scanned * (width + (lookup ? unit.lookup : 0)) +
    scanned * filter.length * unit.filter;
  return {
    kind: 'scan',
    table,
    alias: rel.alias,
    index,
    spans: { prefix, lower, upper },
    reverse,
    lookup,
    columns: rel.columns,
    filter,
    lock: rel.lock,
    limit: undefined,
    isPoint,
    partial: undefined,
    estimate: { rows, cost },
    order: orderOf(table, keyIds, idAt, prefix, reverse),
  };
}

/** Values in it; infinite when that is not known yet. */
function lengthOf(part: SpanPart): number {
  if (part.kind === 'list') return part.values.length;
  if (part.kind !== 'array') return 1;
  const { array } = part;
  const isKnown = array.kind === 'const' && array.value instanceof ArrayDatum;
  return isKnown ? array.value.elements.length : Number.POSITIVE_INFINITY;
}

/** The key columns behind those fixed to one value give the order. */
function orderOf(
  table: TableDescriptor,
  keys: readonly { readonly columnId: number; readonly descending: boolean }[],
  idAt: ReadonlyMap<number, ColumnId>,
  prefix: readonly SpanPart[],
  reverse: boolean,
): SortKey[] {
  const order: SortKey[] = [];
  for (const [i, key] of keys.entries()) {
    const part = prefix[i];
    if (part?.kind === 'equal' || part?.kind === 'null') continue;
    const position = table.columns.findIndex((column) => column.id === key.columnId);
    const id = idAt.get(position);
    const column = table.columns[position];
    if (id === undefined || column === undefined) break;
    const descending = key.descending !== reverse;
    order.push({
      expr: { kind: 'column', id, type: column.typeOid, typmod: column.typmod },
      descending,
      // Ascending keys have NULLs last; a column without NULLs satisfies both.
      nullsFirst: descending,
    });
  }
  return order;
}

/** Sees through casts that keep the order and the values. */
function bareColumn(expr: Expr): ColumnId | undefined {
  if (expr.kind === 'column') return expr.id;
  if (expr.kind !== 'cast' || expr.typmod >= 0) return undefined;
  const from = expr.arg.type;
  const harmless =
    (textFamily.has(from) && textFamily.has(expr.type)) ||
    (intFamily.has(from) && intFamily.has(expr.type) && widens(from, expr.type));
  return harmless ? bareColumn(expr.arg) : undefined;
}

function widens(from: number, to: number): boolean {
  const rank = (type: number): number => (type === 21 ? 0 : type === 23 ? 1 : 2);
  return rank(from) <= rank(to);
}

function comparable(columnType: number, valueType: number): boolean {
  return (
    columnType === valueType ||
    (intFamily.has(columnType) && intFamily.has(valueType)) ||
    (textFamily.has(columnType) && textFamily.has(valueType))
  );
}

/** A value that is fixed while the scan runs. */
function isFixed(expr: Expr, own: ReadonlySet<ColumnId>): boolean {
  if (hasSubquery(expr) || isVolatile(expr)) return false;
  for (const id of columnsOf(expr)) if (own.has(id)) return false;
  return isSync(expr);
}

function isSync(expr: Expr): boolean {
  switch (expr.kind) {
    case 'call':
      return !expr.fn.async && expr.args.every(isSync);
    case 'cast':
      return expr.cast?.async !== true && isSync(expr.arg);
    case 'const':
    case 'param':
    case 'column':
    case 'context':
      return true;
    case 'array':
      return expr.elements.every(isSync);
    case 'array-cast':
      return expr.cast?.async !== true && isSync(expr.arg);
    default:
      return false;
  }
}

const flipped: Readonly<Record<string, string>> = {
  '=': '=',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
};

function matchOf(
  condition: Expr,
  id: ColumnId,
  columnType: number,
  own: ReadonlySet<ColumnId>,
): Match | undefined {
  if (
    condition.kind === 'call' &&
    condition.args.length === 2 &&
    flipped[condition.fn.name] !== undefined
  ) {
    const [left, right] = condition.args;
    if (left === undefined || right === undefined) return undefined;
    if (bareColumn(left) === id)
      return compareMatch(condition, condition.fn.name, right, columnType, own);
    if (bareColumn(right) === id)
      return compareMatch(condition, flipped[condition.fn.name] ?? '', left, columnType, own);
    return undefined;
  }
  if (condition.kind === 'in-list' && !condition.negated && bareColumn(condition.arg) === id) {
    if (
      !condition.items.every((item) => isFixed(item, own)) ||
      !comparable(columnType, condition.arg.type)
    )
      return undefined;
    return { condition, part: { kind: 'list', values: condition.items, type: condition.arg.type } };
  }
  if (
    condition.kind === 'array-compare' &&
    !condition.all &&
    condition.fn.name === '=' &&
    bareColumn(condition.left) === id
  ) {
    const element = condition.callTypes[1] ?? 0;
    if (!isFixed(condition.right, own) || !comparable(columnType, element)) return undefined;
    return { condition, part: { kind: 'array', array: condition.right, type: element } };
  }
  if (
    condition.kind === 'is-null' &&
    !condition.negated &&
    condition.arg.kind === 'column' &&
    condition.arg.id === id
  ) {
    return { condition, part: { kind: 'null' } };
  }
  return undefined;
}

function compareMatch(
  condition: Expr,
  operator: string,
  value: Expr,
  columnType: number,
  own: ReadonlySet<ColumnId>,
): Match | undefined {
  if (!isFixed(value, own) || !comparable(columnType, value.type)) return undefined;
  const bound = { value, type: value.type, inclusive: operator.endsWith('=') };
  switch (operator) {
    case '=':
      return { condition, part: { kind: 'equal', value, type: value.type } };
    case '<':
    case '<=':
      return { condition, upper: bound };
    case '>':
    case '>=':
      return { condition, lower: bound };
    default:
      return undefined;
  }
}
