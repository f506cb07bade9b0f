/** Operators: A_Expr in all its kinds, row comparisons included. */
import { type A_Expr, type Node } from '@pgsql/types';
import { typeOps } from '../../types/index.ts';
import { boolOid, type CallExpr, type Expr, type RowExpr, unknownOid } from '../expr.ts';
import { type ExprContext, failAt } from './binder.ts';
import { coerceCommon, tryCoerce, unifyTypes, withPosition } from './coerce.ts';
import { bindExpr } from './context.ts';
import { isComparisonOf, resolveOp } from './resolve.ts';

export function bindOperator(c: ExprContext, node: A_Expr): Expr {
  const { kind = 'AEXPR_OP', lexpr, rexpr, location } = node;
  const name = nameOf(node.name);
  switch (kind) {
    case 'AEXPR_OP': {
      if (lexpr === undefined) return prefixOperator(c, name, rexpr, location);
      if (
        'RowExpr' in lexpr &&
        rexpr !== undefined &&
        'SubLink' in rexpr &&
        rexpr.SubLink.subLinkType === 'EXPR_SUBLINK'
      ) {
        const operName = node.name ?? [];
        return bindExpr(c, {
          SubLink: {
            ...rexpr.SubLink,
            subLinkType: 'ROWCOMPARE_SUBLINK',
            testexpr: lexpr,
            operName,
          },
        });
      }
      const left = bindExpr(c, lexpr);
      const right = bindExpr(c, rexpr);
      return operatorName(c, name, left, right, location);
    }
    case 'AEXPR_OP_ANY':
    case 'AEXPR_OP_ALL':
      return arrayCompare(
        c,
        name,
        bindExpr(c, lexpr),
        bindExpr(c, rexpr),
        kind === 'AEXPR_OP_ALL',
        location,
      );
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT':
      return distinctFrom(
        c,
        bindExpr(c, lexpr),
        bindExpr(c, rexpr),
        kind === 'AEXPR_NOT_DISTINCT',
        location,
      );
    case 'AEXPR_NULLIF': {
      const left = bindExpr(c, lexpr);
      const equal = operatorName(c, '=', left, bindExpr(c, rexpr), location);
      const arg = equal.kind === 'call' ? (equal.args[0] ?? left) : left;
      return { kind: 'nullif', type: arg.type, typmod: -1, arg, equal };
    }
    case 'AEXPR_IN':
      return bindIn(c, name, lexpr, rexpr, location);
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
    case 'AEXPR_SIMILAR':
      return operatorName(c, name, bindExpr(c, lexpr), bindExpr(c, rexpr), location);
    case 'AEXPR_BETWEEN':
    case 'AEXPR_NOT_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
    case 'AEXPR_NOT_BETWEEN_SYM':
      return between(c, kind, lexpr, rexpr, location);
    default:
      throw failAt('featureNotSupported', `${String(kind)} is not supported`, location);
  }
}

function nameOf(name: readonly Node[] | undefined): string {
  const last = name?.at(-1);
  return last !== undefined && 'String' in last ? (last.String.sval ?? '') : '';
}

function prefixOperator(
  c: ExprContext,
  name: string,
  node: Node | undefined,
  location?: number,
): Expr {
  return call(c, name, undefined, bindExpr(c, node), location);
}

/** left NAME right, for scalars and rows. */
export function operatorName(
  c: ExprContext,
  name: string,
  left: Expr,
  right: Expr,
  location?: number,
): Expr {
  if (left.kind === 'row' && right.kind === 'row')
    return rowCompare(c, name, left, right, location);
  if (left.kind === 'row' && right.kind === 'subquery' && right.mode === 'scalar') {
    throw failAt(
      'featureNotSupported',
      'row comparison with a subquery is not supported here',
      location,
    );
  }
  return call(c, name, left, right, location);
}

function call(
  c: ExprContext,
  name: string,
  left: Expr | undefined,
  right: Expr,
  location?: number,
): Expr {
  const resolved = tryLocated(location, () => resolveOp(name, left?.type, right.type));
  const operands = left === undefined ? [right] : [left, right];
  const args = operands.map((operand, i) =>
    coerceCommon(
      c.binder,
      operand,
      resolved.argTypes[i] ?? operand.type,
      `operator ${name}`,
      location,
    ),
  );
  // An operator that is declared over text may still have been given an unknown literal by name only.
  return {
    kind: 'call',
    type: resolved.resultType,
    typmod: -1,
    fn: resolved.fn,
    args,
    callTypes: [...args.map((arg) => arg.type), resolved.resultType],
  };
}

export function tryLocated<T>(location: number | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw withPosition(error, location);
  }
}

/** An equality call over two expressions of possibly different types. */
export function equalityCall(c: ExprContext, left: Expr, right: Expr, location?: number): Expr {
  return operatorName(c, '=', left, right, location);
}

function distinctFrom(
  c: ExprContext,
  left: Expr,
  right: Expr,
  negated: boolean,
  location?: number,
): Expr {
  if (left.kind === 'row' && right.kind === 'row') {
    checkRowLengths(left, right, location);
    const parts = left.args.map((arg, i) =>
      distinctFrom(c, arg, right.args[i] ?? arg, false, location),
    );
    const any: Expr = { kind: 'or', type: boolOid, typmod: -1, args: parts };
    return negated ? { kind: 'not', type: boolOid, typmod: -1, arg: any } : any;
  }
  const equal = operatorName(c, '=', left, right, location) as CallExpr;
  const [a = left, b = right] = equal.args;
  return { kind: 'distinct-from', type: boolOid, typmod: -1, left: a, right: b, equal, negated };
}

function bindIn(
  c: ExprContext,
  name: string,
  lexpr: Node | undefined,
  rexpr: Node | undefined,
  location?: number,
): Expr {
  const negated = name === '<>';
  const left = bindExpr(c, lexpr);
  const nodes = rexpr !== undefined && 'List' in rexpr ? (rexpr.List.items ?? []) : [];
  const items = nodes.map((node) => bindExpr(c, node));
  const simple =
    left.kind !== 'row' && items.length > 1 && items.every((item) => item.kind !== 'row');
  if (simple) {
    const list = inList(c, left, items, negated, location);
    if (list !== undefined) return list;
  }
  const parts = items.map((item) => operatorName(c, name, left, item, location));
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return { kind: negated ? 'and' : 'or', type: boolOid, typmod: -1, args: parts };
}

/** One list of one type, when the types agree on one with an ordinary equality. */
function inList(
  c: ExprContext,
  left: Expr,
  items: readonly Expr[],
  negated: boolean,
  location?: number,
): Expr | undefined {
  const types = [left.type, ...items.map((item) => item.type)];
  const known = types.filter((type) => type !== unknownOid);
  let type: number;
  try {
    type = unifyTypes(types, 'IN', location);
  } catch {
    return undefined;
  }
  if (known.length === 0 && left.type === unknownOid && left.kind === 'param') type = 25;
  if (!isComparisonOf(type)) return undefined;
  const arg = tryCoerce(c.binder, left, type, { context: 'implicit', location });
  if (arg === undefined) return undefined;
  const coerced = items.map((item) => coerceCommon(c.binder, item, type, 'IN', location));
  return { kind: 'in-list', type: boolOid, typmod: -1, arg, items: coerced, negated };
}

function between(
  c: ExprContext,
  kind: string,
  lexpr: Node | undefined,
  rexpr: Node | undefined,
  location?: number,
): Expr {
  const arg = bindExpr(c, lexpr);
  const bounds = rexpr !== undefined && 'List' in rexpr ? (rexpr.List.items ?? []) : [];
  const low = bindExpr(c, bounds[0]);
  const high = bindExpr(c, bounds[1]);
  const range = (from: Expr, to: Expr): Expr => ({
    kind: 'and',
    type: boolOid,
    typmod: -1,
    args: [operatorName(c, '>=', arg, from, location), operatorName(c, '<=', arg, to, location)],
  });
  const inside: Expr = kind.endsWith('SYM')
    ? { kind: 'or', type: boolOid, typmod: -1, args: [range(low, high), range(high, low)] }
    : range(low, high);
  return kind.includes('NOT') ? { kind: 'not', type: boolOid, typmod: -1, arg: inside } : inside;
}

export function arrayCompare(
  c: ExprContext,
  name: string,
  left: Expr,
  right: Expr,
  all: boolean,
  location?: number,
): Expr {
  let array = right;
  if (array.type === unknownOid) {
    const element = left.type === unknownOid ? 25 : left.type;
    const { arrayOid } = typeOps(element).type;
    array = tryCoerce(c.binder, right, arrayOid, { context: 'implicit', location }) ?? right;
  }
  const elementOid = typeOps(array.type).type.elementOid;
  if (elementOid === 0) {
    throw failAt('wrongObjectType', `op ANY/ALL (array) requires array on right side`, location);
  }
  const resolved = tryLocated(location, () => resolveOp(name, left.type, elementOid));
  if (resolved.resultType !== boolOid) {
    throw failAt(
      'wrongObjectType',
      'op ANY/ALL (array) requires operator to yield boolean',
      location,
    );
  }
  const [leftType = left.type, rightType = elementOid] = resolved.argTypes;
  const rightArray = isSame(rightType, elementOid) ? array.type : typeOps(rightType).type.arrayOid;
  return {
    kind: 'array-compare',
    type: boolOid,
    typmod: -1,
    fn: resolved.fn,
    callTypes: [leftType, rightType, boolOid],
    left: coerceCommon(c.binder, left, leftType, 'ANY', location),
    right: coerceCommon(c.binder, array, rightArray, 'ANY', location),
    all,
  };
}

function isSame(a: number, b: number): boolean {
  return a === b || a === 2283 || a === 2277;
}

function checkRowLengths(left: RowExpr, right: RowExpr, location?: number): void {
  if (left.args.length !== right.args.length) {
    throw failAt('syntaxError', 'unequal number of entries in row expressions', location);
  }
  if (left.args.length === 0) {
    throw failAt('featureNotSupported', 'cannot compare rows of zero length', location);
  }
}

export function rowCompare(
  c: ExprContext,
  name: string,
  left: RowExpr,
  right: RowExpr,
  location?: number,
): Expr {
  checkRowLengths(left, right, location);
  const pairs = left.args.map((arg, i) => [arg, right.args[i] ?? arg] as const);
  if (name === '=' || name === '<>') {
    return {
      kind: name === '=' ? 'and' : 'or',
      type: boolOid,
      typmod: -1,
      args: pairs.map(([a, b]) => operatorName(c, name, a, b, location)),
    };
  }
  if (name !== '<' && name !== '<=' && name !== '>' && name !== '>=') {
    throw failAt(
      'featureNotSupported',
      `could not determine interpretation of row comparison operator ${name}`,
      location,
    );
  }
  const strictName = name.startsWith('<') ? '<' : '>';
  return {
    kind: 'row-compare',
    type: boolOid,
    typmod: -1,
    operator: name,
    equals: pairs.map(([a, b]) => operatorName(c, '=', a, b, location)),
    strict: pairs.map(([a, b]) => operatorName(c, strictName, a, b, location)),
  };
}
