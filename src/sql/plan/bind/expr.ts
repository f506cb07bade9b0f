/** Binding of scalar expressions: one function per node of PostgreSQL's tree. */
import { type A_Const, type Node, type TypeCast } from '@pgsql/types';
import { defaultFormat, oids, typeOps } from '../../types/index.ts';
import {
  boolOid,
  type CaseExpr,
  constExpr,
  type ContextValue,
  type Expr,
  int4Oid,
  int8Oid,
  recordOid,
  unknownOid,
} from '../expr.ts';
import { type ExprContext, failAt, nothingAllowed, typeName } from './binder.ts';
import { bindCall } from './call.ts';
import {
  coerceCommon,
  coerceExplicit,
  coerceImplicit,
  coerceToBoolean,
  parameter,
  tryCoerce,
  unify,
  unifyTypes,
} from './coerce.ts';
import { bindExpr, bindList, locationOf } from './context.ts';
import { fieldOf } from './field.ts';
import { resolveColumn } from './names.ts';
import { bindOperator, operatorName } from './operators.ts';
import { jsonKeyOrField, typeFromName } from './resolve.ts';
import { bindSubLink } from './sublink.ts';
import { nameByte } from './element.ts';
import { isVolatile } from '../rules/predicates.ts';

/** Binds one node; `bindExpr` guards the depth around it. */
export function bindNode(c: ExprContext, node: Node): Expr {
  const { binder } = c;
  if ('ColumnRef' in node) return resolveColumn(binder, c.scope, node.ColumnRef);
  if ('A_Const' in node) return bindConst(node.A_Const);
  if ('ParamRef' in node) {
    const index = (node.ParamRef.number ?? 0) - 1;
    if (index < 0 || index > 65_534) {
      throw failAt(
        'undefinedParameter',
        `there is no parameter $${index + 1}`,
        node.ParamRef.location,
      );
    }
    const type = binder.parameterType(index);
    const { location } = node.ParamRef;
    return parameter({ kind: 'param', index, type, typmod: -1, position: location }, type);
  }
  if ('A_Expr' in node) return bindOperator(c, node.A_Expr);
  if ('BoolExpr' in node) {
    const { boolop, args = [], location } = node.BoolExpr;
    const name = boolop === 'AND_EXPR' ? 'AND' : boolop === 'OR_EXPR' ? 'OR' : 'NOT';
    const bound = args.map((arg) =>
      coerceToBoolean(binder, bindExpr(c, arg), name, locationOf(arg) ?? location),
    );
    const [first] = bound;
    if (name === 'NOT' && first !== undefined) {
      return { kind: 'not', type: boolOid, typmod: -1, arg: first };
    }
    return { kind: name === 'AND' ? 'and' : 'or', type: boolOid, typmod: -1, args: bound };
  }
  if ('FuncCall' in node) return bindCall(c, node.FuncCall);
  if ('TypeCast' in node) return bindCast(c, node.TypeCast);
  if ('SubLink' in node) return bindSubLink(c, node.SubLink);
  if ('CaseExpr' in node) return bindCase(c, node);
  if ('NullTest' in node) {
    const { arg, nulltesttype } = node.NullTest;
    const bound = bindExpr(c, arg);
    return {
      kind: 'is-null',
      type: boolOid,
      typmod: -1,
      arg: bound,
      negated: nulltesttype === 'IS_NOT_NULL',
    };
  }
  if ('BooleanTest' in node) {
    const { arg, booltesttype = 'IS_TRUE', location } = node.BooleanTest;
    const words = booltesttype.split('_');
    const test = words.at(-1)?.toLowerCase();
    return {
      kind: 'bool-test',
      type: boolOid,
      typmod: -1,
      arg: coerceToBoolean(binder, bindExpr(c, arg), `IS ${words.slice(1).join(' ')}`, location),
      test: test === 'true' || test === 'false' ? test : 'unknown',
      negated: words.includes('NOT'),
    };
  }
  if ('CoalesceExpr' in node) {
    const { exprs, type, typmod } = unify(
      binder,
      bindList(c, node.CoalesceExpr.args),
      'COALESCE',
      node.CoalesceExpr.location,
    );
    return { kind: 'coalesce', type, typmod, args: exprs };
  }
  if ('MinMaxExpr' in node) {
    const greatest = node.MinMaxExpr.op !== 'IS_LEAST';
    const { exprs, type, typmod } = unify(
      binder,
      bindList(c, node.MinMaxExpr.args),
      greatest ? 'GREATEST' : 'LEAST',
      node.MinMaxExpr.location,
    );
    return { kind: 'minmax', type, typmod, greatest, args: exprs };
  }
  if ('A_ArrayExpr' in node)
    return bindArray(c, node.A_ArrayExpr.elements ?? [], undefined, node.A_ArrayExpr.location);
  if ('RowExpr' in node) {
    const args = expandRow(c, node.RowExpr.args ?? []);
    return {
      kind: 'row',
      type: recordOid,
      typmod: -1,
      names: args.map((_arg, i) => `f${i + 1}`),
      args,
      nullable: false,
    };
  }
  if ('A_Indirection' in node) return bindIndirection(c, node);
  if ('SQLValueFunction' in node) return bindSqlValue(c, node);
  if ('CollateClause' in node) {
    const { arg, collname = [], location } = node.CollateClause;
    const last = collname.at(-1);
    const name = last !== undefined && 'String' in last ? (last.String.sval ?? '') : '';
    if (!['C', 'POSIX', 'default', 'ucs_basic', 'C.UTF-8', 'en_US', 'en_US.utf8'].includes(name)) {
      throw failAt(
        'undefinedObject',
        `collation "${name}" for encoding "UTF8" does not exist`,
        location,
      );
    }
    const bound = bindExpr(c, arg);
    const { category } = typeOps(bound.type).type;
    if (bound.type === unknownOid) return coerceImplicit(binder, bound, 25, location) ?? bound;
    if (category !== 'S' && category !== 'A') {
      throw failAt(
        'datatypeMismatch',
        `collations are not supported by type ${typeName(bound.type)}`,
        location,
      );
    }
    return bound;
  }
  if ('GroupingFunc' in node)
    return bindGrouping(c, node.GroupingFunc.args ?? [], node.GroupingFunc.location);
  if ('NamedArgExpr' in node) return bindExpr(c, node.NamedArgExpr.arg);
  if ('SetToDefault' in node) {
    throw failAt(
      'syntaxError',
      'DEFAULT is not allowed in this context',
      node.SetToDefault.location,
    );
  }
  if ('List' in node) {
    const args = bindList(c, node.List.items);
    return {
      kind: 'row',
      type: recordOid,
      typmod: -1,
      names: args.map((_a, i) => `f${i + 1}`),
      args,
      nullable: false,
    };
  }
  throw failAt(
    'featureNotSupported',
    `${Object.keys(node)[0] ?? 'this'} expressions are not supported`,
  );
}

/** ROW(t.*, 1): stars are expanded. */
function expandRow(c: ExprContext, nodes: readonly Node[]): Expr[] {
  return nodes.flatMap((node) => {
    if ('ColumnRef' in node && node.ColumnRef.fields?.some((field) => 'A_Star' in field)) {
      const fields = node.ColumnRef.fields.slice(0, -1);
      const row = resolveColumn(c.binder, c.scope, { ...node.ColumnRef, fields });
      return row.kind === 'row' ? [...row.args] : [row];
    }
    return [bindExpr(c, node)];
  });
}

function bindConst(node: A_Const): Expr {
  if (node.isnull === true) return constExpr(null, unknownOid);
  if (node.boolval !== undefined) return constExpr(node.boolval.boolval ?? false, boolOid);
  if (node.sval !== undefined)
    return { ...constExpr(node.sval.sval ?? '', unknownOid), position: node.location };
  if (node.ival !== undefined) return constExpr(node.ival.ival ?? 0, int4Oid);
  if (node.fval !== undefined) return numberConst(node.fval.fval ?? '0');
  if (node.bsval !== undefined) {
    throw failAt('featureNotSupported', 'bit strings are not supported', node.location);
  }
  return constExpr(null, unknownOid);
}

/**
 * A number beyond int4, or with a fraction: int8 when it fits, else numeric. The grammar has taken a minus before the digits
 * into the number, so the smallest int4 and int8 are reached.
 */
function numberConst(text: string): Expr {
  const digits = text.replaceAll('_', '');
  const value = wholeNumber(digits);
  if (value === undefined) return constExpr(typeOps(1700).parse(digits, -1, defaultFormat), 1700);
  if (BigInt.asIntN(32, value) === value) return constExpr(Number(value), int4Oid);
  if (BigInt.asIntN(64, value) === value) return constExpr(value, int8Oid);
  return constExpr(typeOps(1700).parse(value.toString(), -1, defaultFormat), 1700);
}

/** Undefined when the number has a fraction or an exponent. */
function wholeNumber(digits: string): bigint | undefined {
  const isNegative = digits.startsWith('-');
  const magnitude = isNegative ? digits.slice(1) : digits;
  if (!/^0[xob]/i.test(magnitude) && !/^\d+$/.test(magnitude)) return undefined;
  return isNegative ? -BigInt(magnitude) : BigInt(magnitude);
}

function bindCast(c: ExprContext, node: TypeCast): Expr {
  const { binder } = c;
  const name = node.typeName ?? {};
  const target = typeFromName(name);
  const location =
    node.location !== undefined && node.location >= 0 ? node.location : locationOf(node.arg);
  const inner = node.arg;
  if (inner !== undefined && 'A_ArrayExpr' in inner) {
    const elementOid = typeOps(target.oid).type.elementOid;
    if (elementOid !== 0) {
      const array = bindArray(c, inner.A_ArrayExpr.elements ?? [], elementOid, location);
      return coerceExplicit(binder, array, target.oid, target.typmod, location);
    }
  }
  const arg = bindExpr(c, inner);
  const literalAt =
    inner !== undefined && 'A_Const' in inner ? (inner.A_Const.location ?? location) : location;
  return coerceExplicit(
    binder,
    arg,
    target.oid,
    target.typmod,
    arg.kind === 'const' ? literalAt : location,
  );
}

function bindCase(c: ExprContext, node: Extract<Node, { CaseExpr: unknown }>): Expr {
  const { binder } = c;
  const { arg, args = [], defresult, location } = node.CaseExpr;
  const bound = arg === undefined ? undefined : bindExpr(c, arg);
  const once = bound === undefined || !isVolatile(bound) ? undefined : caseOperand(c, bound);
  const operand = once === undefined ? bound : binder.reference(once.id);
  const whens: { when: Expr; result: Expr }[] = [];
  for (const item of args) {
    if (!('CaseWhen' in item)) continue;
    const condition = bindExpr(c, item.CaseWhen.expr);
    const when =
      operand === undefined
        ? coerceToBoolean(binder, condition, 'CASE/WHEN', locationOf(item.CaseWhen.expr))
        : operatorName(c, '=', operand, condition, item.CaseWhen.location);
    whens.push({ when, result: bindExpr(c, item.CaseWhen.result) });
  }
  const otherwise = defresult === undefined ? constExpr(null, unknownOid) : bindExpr(c, defresult);
  // The default comes first when PostgreSQL looks for the common type.
  const unified = unify(binder, [otherwise, ...whens.map((item) => item.result)], 'CASE', location);
  const [last = otherwise, ...results] = unified.exprs;
  return {
    kind: 'case',
    type: unified.type,
    typmod: unified.typmod,
    operand: once,
    whens: whens.map((item, i) => ({ when: item.when, result: results[i] ?? item.result })),
    otherwise: last,
  };
}

/** Undefined: rows are compared field by field. */
function caseOperand(c: ExprContext, expr: Expr): CaseExpr['operand'] {
  if (expr.kind === 'row') return undefined;
  const { type, typmod } = expr;
  return { id: c.binder.newColumn({ name: 'case', type, typmod }), expr };
}

export function bindArray(
  c: ExprContext,
  nodes: readonly Node[],
  wanted: number | undefined,
  location?: number,
): Expr {
  const { binder } = c;
  const elements = nodes.map((node) =>
    'A_ArrayExpr' in node
      ? bindArray(c, node.A_ArrayExpr.elements ?? [], wanted, node.A_ArrayExpr.location)
      : bindExpr(c, node),
  );
  const nested =
    (elements.some((element) => typeOps(element.type).type.elementOid !== 0) &&
      nodes.some((node) => 'A_ArrayExpr' in node)) ||
    (elements.length > 0 && elements.every((e) => e.type !== unknownOid && isTrueArray(e.type)));
  if (elements.length === 0) {
    if (wanted === undefined) {
      throw failAt('indeterminateDatatype', 'cannot determine type of empty array', location, {
        hint: 'Explicitly cast to the desired type, for example ARRAY[]::integer[].',
      });
    }
    return {
      kind: 'array',
      type: typeOps(wanted).type.arrayOid,
      typmod: -1,
      elementType: wanted,
      elements,
      nested: false,
    };
  }
  if (nested) {
    const type = unifyTypes(
      elements.map((element) => element.type),
      'ARRAY',
      location,
    );
    const exprs = elements.map((element) => coerceCommon(binder, element, type, 'ARRAY', location));
    return {
      kind: 'array',
      type,
      typmod: -1,
      elementType: typeOps(type).type.elementOid,
      elements: exprs,
      nested: true,
    };
  }
  const element =
    wanted ??
    unifyTypes(
      elements.map((item) => item.type),
      'ARRAY',
      location,
    );
  const exprs = elements.map((item) =>
    wanted === undefined
      ? coerceCommon(binder, item, element, 'ARRAY', location)
      : coerceExplicit(binder, item, element, -1, location),
  );
  const { arrayOid } = typeOps(element).type;
  if (arrayOid === 0) {
    throw failAt(
      'undefinedObject',
      `could not find array type for data type ${typeName(element)}`,
      location,
    );
  }
  return {
    kind: 'array',
    type: arrayOid,
    typmod: -1,
    elementType: element,
    elements: exprs,
    nested: false,
  };
}

/** int2vector and oidvector are arrays only for subscripting. */
function isTrueArray(type: number): boolean {
  return typeOps(type).type.category === 'A';
}

function bindIndirection(c: ExprContext, node: Extract<Node, { A_Indirection: unknown }>): Expr {
  const { arg, indirection = [] } = node.A_Indirection;
  let expr = bindExpr(c, arg);
  let at = 0;
  while (at < indirection.length) {
    const item = indirection[at];
    if (item === undefined) break;
    if ('A_Indices' in item) {
      const group = [];
      for (; at < indirection.length; at++) {
        const next = indirection[at];
        if (next === undefined || !('A_Indices' in next)) break;
        group.push(next.A_Indices);
      }
      expr = bindSubscript(c, expr, group, locationOf(arg));
      continue;
    }
    if ('String' in item) expr = fieldOf(c, expr, item.String.sval ?? '', locationOf(arg));
    else
      throw failAt(
        'featureNotSupported',
        'row expansion via "*" is not supported here',
        locationOf(arg),
      );
    at++;
  }
  return expr;
}

function bindSubscript(
  c: ExprContext,
  arg: Expr,
  group: readonly { is_slice?: boolean; lidx?: Node; uidx?: Node }[],
  location?: number,
): Expr {
  const { binder } = c;
  if (arg.type === 3802) {
    return group.reduce<Expr>(
      (value, item) => jsonKeyOrField(binder, value, bindExpr(c, item.uidx)),
      arg,
    );
  }
  const only = group.length === 1 && group[0]?.is_slice !== true ? group[0]?.uidx : undefined;
  if (arg.type === oids.name && only !== undefined) return nameByte(arg, bindExpr(c, only));
  const elementOid = typeOps(arg.type).type.elementOid;
  if (elementOid === 0) {
    throw failAt(
      'datatypeMismatch',
      `cannot subscript type ${typeName(arg.type)} because it does not support subscripting`,
      location,
    );
  }
  const slice = group.some((item) => item.is_slice === true);
  const index = (node: Node | undefined): Expr | undefined => {
    if (node === undefined) return undefined;
    const bound = tryCoerce(binder, bindExpr(c, node), int4Oid, { context: 'assignment' });
    if (bound === undefined) {
      throw failAt('datatypeMismatch', 'array subscript must have type integer', locationOf(node));
    }
    return bound;
  };
  return {
    kind: 'subscript',
    type: slice ? arg.type : elementOid,
    typmod: arg.typmod,
    arg,
    slice,
    indices: group.map((item) => ({
      slice: item.is_slice === true,
      lower: index(item.lidx),
      upper: index(item.uidx),
    })),
  };
}

const contextValues: Readonly<Record<string, readonly [ContextValue, number]>> = {
  SVFOP_CURRENT_DATE: ['current_date', 1082],
  SVFOP_CURRENT_TIME: ['current_time', 1266],
  SVFOP_CURRENT_TIME_N: ['current_time', 1266],
  SVFOP_CURRENT_TIMESTAMP: ['current_timestamp', 1184],
  SVFOP_CURRENT_TIMESTAMP_N: ['current_timestamp', 1184],
  SVFOP_LOCALTIME: ['localtime', 1083],
  SVFOP_LOCALTIME_N: ['localtime', 1083],
  SVFOP_LOCALTIMESTAMP: ['localtimestamp', 1114],
  SVFOP_LOCALTIMESTAMP_N: ['localtimestamp', 1114],
  SVFOP_CURRENT_ROLE: ['current_user', 19],
  SVFOP_CURRENT_USER: ['current_user', 19],
  SVFOP_USER: ['current_user', 19],
  SVFOP_SESSION_USER: ['session_user', 19],
  SVFOP_CURRENT_CATALOG: ['current_catalog', 19],
  SVFOP_CURRENT_SCHEMA: ['current_schema', 19],
};

function bindSqlValue(c: ExprContext, node: Extract<Node, { SQLValueFunction: unknown }>): Expr {
  const { op = 'SVFOP_CURRENT_DATE', typmod = -1, location } = node.SQLValueFunction;
  const found = contextValues[op];
  if (found === undefined) throw failAt('featureNotSupported', `${op} is not supported`, location);
  const [what, type] = found;
  const value: Expr = { kind: 'context', what, type, typmod: -1 };
  const wanted = op.endsWith('_N') ? typmod : -1;
  return wanted < 0
    ? value
    : (tryCoerce(c.binder, value, type, { context: 'explicit', typmod: wanted }) ?? value);
}

function bindGrouping(c: ExprContext, args: readonly Node[], location?: number): Expr {
  if (c.level === undefined || !c.allow.aggregates) {
    throw failAt('groupingError', `grouping operations are not allowed in ${c.clause}`, location);
  }
  const bound = args.map((arg) => bindExpr({ ...c, allow: nothingAllowed }, arg));
  const id = c.binder.newColumn({ name: 'grouping', type: int4Oid });
  c.level.grouping.push({ id, args: bound });
  return c.binder.reference(id);
}
