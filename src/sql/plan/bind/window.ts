/** OVER (...): partition, order and frame, with named windows. */
import { type Node, type WindowDef } from '@pgsql/types';
import { rangeEndsOf } from '../../functions/index.ts';
import { type ScalarFunction } from '../../functions/registry-types.ts';
import { type Expr, falseExpr, int8Oid, trueExpr } from '../expr.ts';
import { type FrameBound, type SortKey, type WindowFrame } from '../logical.ts';
import { type ExprContext, failAt, nothingAllowed, type QueryLevel, typeName } from './binder.ts';
import { coerceImplicit, settle, tryCoerce } from './coerce.ts';
import { bindExpr } from './context.ts';
import { bindSortKey } from './sort.ts';
import { frameOptions as frame } from '../../parse/frame-options.ts';

export interface WindowSpec {
  readonly partitionBy: readonly Expr[];
  readonly orderBy: readonly SortKey[];
  readonly frame: WindowFrame;
}

export function bindWindow(c: ExprContext, over: WindowDef): WindowSpec {
  const { level } = c;
  if (level === undefined)
    throw failAt('windowingError', `window functions are not allowed in ${c.clause}`);
  const merged = mergeNamed(level, over);
  const inner: ExprContext = {
    ...c,
    clause: 'window definitions',
    allow: { ...c.allow, windows: false, sets: false },
  };
  const partitionBy = (merged.partitionClause ?? []).map((node) =>
    settle(c.binder, bindExpr(inner, node)),
  );
  const orderBy = (merged.orderClause ?? []).map((node) => bindSortKey(inner, node));
  return { partitionBy, orderBy, frame: bindFrame(inner, merged, orderBy) };
}

function named(level: QueryLevel, name: string, location?: number): WindowDef {
  const found = level.namedWindows.get(name);
  if (found === undefined)
    throw failAt('undefinedObject', `window "${name}" does not exist`, location);
  return found.refname === undefined ? found : mergeNamed(level, found);
}

/** OVER w copies the window; OVER (w ...) adds order and frame to it. */
function mergeNamed(level: QueryLevel, over: WindowDef): WindowDef {
  if (
    over.name !== undefined &&
    over.name !== '' &&
    over.partitionClause === undefined &&
    over.orderClause === undefined &&
    over.refname === undefined &&
    level.namedWindows.get(over.name) !== over
  ) {
    return named(level, over.name, over.location);
  }
  if (over.refname === undefined || over.refname === '') return over;
  const base = named(level, over.refname, over.location);
  if (over.partitionClause !== undefined) {
    throw failAt(
      'windowingError',
      `cannot override PARTITION BY clause of window "${over.refname}"`,
      over.location,
    );
  }
  if (over.orderClause !== undefined && base.orderClause !== undefined) {
    throw failAt(
      'windowingError',
      `cannot override ORDER BY clause of window "${over.refname}"`,
      over.location,
    );
  }
  if (((base.frameOptions ?? 0) & frame.nonDefault) !== 0) {
    throw failAt(
      'windowingError',
      `cannot copy window "${over.refname}" because it has a frame clause`,
      over.location,
    );
  }
  const partitionClause = base.partitionClause;
  const orderClause = over.orderClause ?? base.orderClause;
  return {
    ...over,
    ...(partitionClause === undefined ? {} : { partitionClause }),
    ...(orderClause === undefined ? {} : { orderClause }),
  };
}

function bindFrame(c: ExprContext, def: WindowDef, orderBy: readonly SortKey[]): WindowFrame {
  const bits = def.frameOptions ?? 0;
  const has = (bit: number): boolean => (bits & bit) !== 0;
  const mode = has(frame.rows) ? 'rows' : has(frame.groups) ? 'groups' : 'range';
  if (mode === 'groups' && orderBy.length === 0) {
    throw failAt('windowingError', 'GROUPS mode requires an ORDER BY clause', def.location);
  }
  const offset = (node: Node | undefined): Expr => {
    const bound = bindExpr({ ...c, allow: nothingAllowed }, node);
    if (mode === 'range') return rangeOffset(c, orderBy, bound, def.location);
    const count = tryCoerce(c.binder, bound, int8Oid, { context: 'assignment' });
    if (count === undefined) {
      throw failAt(
        'datatypeMismatch',
        `argument of ${mode.toUpperCase()} must be type bigint`,
        def.location,
      );
    }
    return count;
  };
  let start: FrameBound = { kind: 'unbounded-preceding' };
  if (has(frame.startCurrentRow)) start = { kind: 'current-row' };
  else if (has(frame.startOffsetPreceding))
    start = { kind: 'preceding', offset: offset(def.startOffset) };
  else if (has(frame.startOffsetFollowing))
    start = { kind: 'following', offset: offset(def.startOffset) };
  else if (!has(frame.startUnboundedPreceding) && has(frame.nonDefault))
    start = { kind: 'unbounded-following' };
  let end: FrameBound = { kind: 'current-row' };
  if (has(frame.endUnboundedFollowing)) end = { kind: 'unbounded-following' };
  else if (has(frame.endOffsetPreceding))
    end = { kind: 'preceding', offset: offset(def.endOffset) };
  else if (has(frame.endOffsetFollowing))
    end = { kind: 'following', offset: offset(def.endOffset) };
  const exclude = has(frame.excludeCurrentRow)
    ? 'current-row'
    : has(frame.excludeGroup)
      ? 'group'
      : has(frame.excludeTies)
        ? 'ties'
        : 'none';
  const plain: WindowFrame = { mode, start, end, exclude };
  const [key] = orderBy;
  const ends = key && rangeEndsOf(key.expr.type);
  if (mode !== 'range' || key === undefined || ends === undefined) return plain;
  return {
    ...plain,
    startValue: endOf(key, ends.end, start, false),
    endValue: endOf(key, ends.end, end, true),
  };
}

/** An offset of the one type that goes with the sort key. */
function rangeOffset(
  c: ExprContext,
  orderBy: readonly SortKey[],
  offset: Expr,
  location?: number,
): Expr {
  const [key] = orderBy;
  if (key === undefined || orderBy.length !== 1) {
    throw failAt(
      'windowingError',
      'RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column',
      location,
    );
  }
  const unsupported = `RANGE with offset PRECEDING/FOLLOWING is not supported for column type ${typeName(key.expr.type)}`;
  const ends = rangeEndsOf(key.expr.type);
  if (ends === undefined) throw failAt('featureNotSupported', unsupported, location);
  const coerced = coerceImplicit(c.binder, offset, ends.offset, location);
  if (coerced !== undefined) return coerced;
  throw failAt(
    'featureNotSupported',
    `${unsupported} and offset type ${typeName(offset.type)}`,
    location,
    { hint: 'Cast the offset value to an appropriate type.' },
  );
}

/** Sort value -/+ offset of the current row: the outermost value inside the frame. */
function endOf(
  { expr: own, descending }: SortKey,
  end: ScalarFunction,
  bound: FrameBound,
  isEnd: boolean,
): Expr | undefined {
  if (!('offset' in bound)) return undefined;
  const isMinus = (bound.kind === 'preceding') !== descending;
  const isUpper = isEnd !== descending;
  const args = [own, bound.offset, ...[isMinus, isUpper].map((is) => (is ? trueExpr : falseExpr))];
  const callTypes = [...args.map((arg) => arg.type), end.result];
  return { kind: 'call', type: end.result, typmod: -1, fn: end, args, callTypes };
}
