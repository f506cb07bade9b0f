/**
 * Parse trees of expressions back to SQL text, in the manner of PostgreSQL's ruleutils without pretty
 * printing: every operator call in parentheses, so that precedence never matters. The text parses to the same tree.
 */
import {
  type A_Expr,
  type CaseExpr,
  type FuncCall,
  type Node,
  type SortBy,
  type SubLink,
  type TypeName,
  type WindowDef,
} from '@pgsql/types';
import { quoteIdentifier, quoteLiteral } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { formatType, typeByName } from '../types/index.ts';
import { columnType, nameParts, stringOf, strings } from './nodes.ts';
import { frameOptions as frame } from '../parse/frame-options.ts';

export interface Deparse {
  /** A subquery without parentheses. */
  select(node: Node): string;
  /** Table names in whole-row references and the like are left alone; this renames columns. */
  column?(parts: readonly string[]): string | undefined;
}

export function deparseExpression(node: Node | undefined, d: Deparse): string {
  if (node === undefined) return '';
  const sub = (child: Node | undefined): string => deparseExpression(child, d);
  const list = (nodes: readonly Node[] | undefined): string => (nodes ?? []).map(sub).join(', ');
  if ('A_Const' in node) return constant(node);
  if ('ColumnRef' in node) return columnReference(node.ColumnRef.fields ?? [], d);
  if ('A_Expr' in node) return operator(node.A_Expr, d);
  if ('BoolExpr' in node) {
    const { boolop, args } = node.BoolExpr;
    if (boolop === 'NOT_EXPR') return `(NOT ${sub(args?.[0])})`;
    return `(${(args ?? []).map(sub).join(boolop === 'AND_EXPR' ? ' AND ' : ' OR ')})`;
  }
  if ('FuncCall' in node) return functionCall(node.FuncCall, d);
  if ('TypeCast' in node) return cast(node.TypeCast.arg, node.TypeCast.typeName, d);
  if ('NullTest' in node) {
    const { arg, nulltesttype } = node.NullTest;
    return `(${sub(arg)} IS ${nulltesttype === 'IS_NULL' ? 'NULL' : 'NOT NULL'})`;
  }
  if ('BooleanTest' in node) {
    const { arg, booltesttype } = node.BooleanTest;
    return `(${sub(arg)} ${(booltesttype ?? '').replaceAll('_', ' ')})`;
  }
  if ('CaseExpr' in node) return caseExpression(node.CaseExpr, d);
  if ('CoalesceExpr' in node) return `COALESCE(${list(node.CoalesceExpr.args)})`;
  if ('MinMaxExpr' in node) {
    const { op, args } = node.MinMaxExpr;
    return `${op === 'IS_LEAST' ? 'LEAST' : 'GREATEST'}(${list(args)})`;
  }
  if ('A_ArrayExpr' in node) return `ARRAY[${list(node.A_ArrayExpr.elements)}]`;
  if ('RowExpr' in node) return `ROW(${list(node.RowExpr.args)})`;
  if ('A_Indirection' in node)
    return indirection(node.A_Indirection.arg, node.A_Indirection.indirection, d);
  if ('SubLink' in node) return subLink(node.SubLink, d);
  if ('SQLValueFunction' in node) return valueFunction(node.SQLValueFunction);
  if ('CollateClause' in node) {
    const { arg, collname } = node.CollateClause;
    return `(${sub(arg)} COLLATE ${strings(collname)
      .map((part) => `"${part}"`)
      .join('.')})`;
  }
  if ('List' in node) return `(${list(node.List.items)})`;
  if ('NamedArgExpr' in node) {
    return `${quoteIdentifier(node.NamedArgExpr.name ?? '')} => ${sub(node.NamedArgExpr.arg)}`;
  }
  if ('SetToDefault' in node) return 'DEFAULT';
  if ('GroupingFunc' in node) return `GROUPING(${list(node.GroupingFunc.args)})`;
  if ('ParamRef' in node) {
    throw sqlError('undefinedParameter', `there is no parameter $${node.ParamRef.number ?? 0}`);
  }
  throw sqlError(
    'featureNotSupported',
    `expressions of kind ${Object.keys(node)[0] ?? '?'} cannot be stored`,
  );
}

function constant(node: Extract<Node, { A_Const: unknown }>): string {
  const value = node.A_Const;
  if (value.isnull === true) return 'NULL';
  if (value.sval !== undefined) return quoteLiteral(value.sval.sval ?? '');
  if (value.fval !== undefined) return signed(value.fval.fval ?? '0');
  if (value.boolval !== undefined) return value.boolval.boolval === true ? 'true' : 'false';
  if (value.bsval !== undefined) {
    const text = value.bsval.bsval ?? '';
    return `${text[0] ?? 'b'}'${text.slice(1)}'`;
  }
  return signed(String(value.ival?.ival ?? 0));
}

/** `-5` before `::` or `^` would be read as -(5::...). */
function signed(number: string): string {
  return number.startsWith('-') ? `(${number})` : number;
}

function columnReference(fields: readonly Node[], d: Deparse): string {
  const last = fields.at(-1);
  const names = strings(fields.filter((field) => 'String' in field));
  if (last !== undefined && 'A_Star' in last) return [...names.map(quoteIdentifier), '*'].join('.');
  return d.column?.(names) ?? names.map(quoteIdentifier).join('.');
}

/** Operators, also as OPERATOR(schema.op) when a schema other than pg_catalog is given. */
function operatorName(name: readonly Node[] | undefined): string {
  const parts = strings(name);
  const operatorText = parts.at(-1) ?? '';
  if (parts.length < 2 || parts[0] === 'pg_catalog') return operatorText;
  return `OPERATOR(${quoteIdentifier(parts[0] ?? '')}.${operatorText})`;
}

function operator(expr: A_Expr, d: Deparse): string {
  const left = deparseExpression(expr.lexpr, d);
  const right = (): string => deparseExpression(expr.rexpr, d);
  const name = operatorName(expr.name);
  const between = (word: string): string => {
    const bounds =
      expr.rexpr !== undefined && 'List' in expr.rexpr ? (expr.rexpr.List.items ?? []) : [];
    const [low, high] = bounds.map((bound) => deparseExpression(bound, d));
    return `(${left} ${word} ${low} AND ${high})`;
  };
  switch (expr.kind) {
    case 'AEXPR_OP_ANY':
      return `(${left} ${name} ANY (${right()}))`;
    case 'AEXPR_OP_ALL':
      return `(${left} ${name} ALL (${right()}))`;
    case 'AEXPR_DISTINCT':
      return `(${left} IS DISTINCT FROM ${right()})`;
    case 'AEXPR_NOT_DISTINCT':
      return `(${left} IS NOT DISTINCT FROM ${right()})`;
    case 'AEXPR_NULLIF':
      return `NULLIF(${left}, ${right()})`;
    case 'AEXPR_IN':
      return `(${left} ${name === '<>' ? 'NOT IN' : 'IN'} ${right()})`;
    case 'AEXPR_LIKE':
      return like(left, name === '!~~' ? 'NOT LIKE' : 'LIKE', expr.rexpr, d);
    case 'AEXPR_ILIKE':
      return like(left, name === '!~~*' ? 'NOT ILIKE' : 'ILIKE', expr.rexpr, d);
    case 'AEXPR_SIMILAR':
      return like(left, name === '!~' ? 'NOT SIMILAR TO' : 'SIMILAR TO', expr.rexpr, d);
    case 'AEXPR_BETWEEN':
      return between('BETWEEN');
    case 'AEXPR_NOT_BETWEEN':
      return between('NOT BETWEEN');
    case 'AEXPR_BETWEEN_SYM':
      return between('BETWEEN SYMMETRIC');
    case 'AEXPR_NOT_BETWEEN_SYM':
      return between('NOT BETWEEN SYMMETRIC');
    default:
      return expr.lexpr === undefined ? `(${name} ${right()})` : `(${left} ${name} ${right()})`;
  }
}

/** The grammar wraps patterns with ESCAPE (and all of SIMILAR TO) in like_escape() and similar_to_escape(). */
function like(left: string, word: string, pattern: Node | undefined, d: Deparse): string {
  if (pattern !== undefined && 'FuncCall' in pattern) {
    const name = strings(pattern.FuncCall.funcname).at(-1);
    const [text, escape] = (pattern.FuncCall.args ?? []).map((arg) => deparseExpression(arg, d));
    if (name === 'like_escape' || name === 'similar_to_escape') {
      return `(${left} ${word} ${text}${escape === undefined ? '' : ` ESCAPE ${escape}`})`;
    }
  }
  return `(${left} ${word} ${deparseExpression(pattern, d)})`;
}

function functionCall(call: FuncCall, d: Deparse): string {
  const parts = strings(call.funcname);
  const list = (nodes: readonly Node[] | undefined): string[] =>
    (nodes ?? []).map((node) => deparseExpression(node, d));
  const args = list(call.args);
  if (call.funcformat === 'COERCE_SQL_SYNTAX' && parts.at(-1) === 'extract') {
    return `EXTRACT(${(args[0] ?? '').replaceAll("'", '')} FROM ${args[1] ?? ''})`;
  }
  if (call.func_variadic === true) args.push(`VARIADIC ${args.pop() ?? ''}`);
  const order = (call.agg_order ?? []).map((node) => sortItem(node, d)).join(', ');
  let inside = call.agg_star === true ? '*' : args.join(', ');
  if (call.agg_distinct === true) inside = `DISTINCT ${inside}`;
  if (order !== '' && call.agg_within_group !== true) inside += ` ORDER BY ${order}`;
  let text = `${parts.map(quoteIdentifier).join('.')}(${inside})`;
  if (call.agg_within_group === true) text += ` WITHIN GROUP (ORDER BY ${order})`;
  if (call.agg_filter !== undefined)
    text += ` FILTER (WHERE ${deparseExpression(call.agg_filter, d)})`;
  if (call.over !== undefined) {
    const isBare = call.over.name !== undefined;
    text += ` OVER ${isBare ? quoteIdentifier(call.over.name ?? '') : `(${windowBody(call.over, d)})`}`;
  }
  return text;
}

export function sortItem(node: Node, d: Deparse): string {
  if (!('SortBy' in node)) return deparseExpression(node, d);
  const sort: SortBy = node.SortBy;
  let text = deparseExpression(sort.node, d);
  if (sort.sortby_dir === 'SORTBY_DESC') text += ' DESC';
  if (sort.sortby_dir === 'SORTBY_USING') text += ` USING ${operatorName(sort.useOp)}`;
  if (sort.sortby_nulls === 'SORTBY_NULLS_FIRST') text += ' NULLS FIRST';
  if (sort.sortby_nulls === 'SORTBY_NULLS_LAST') text += ' NULLS LAST';
  return text;
}

export function windowBody(window: WindowDef, d: Deparse): string {
  const parts: string[] = [];
  if (window.refname !== undefined) parts.push(quoteIdentifier(window.refname));
  if ((window.partitionClause ?? []).length > 0) {
    const keys = (window.partitionClause ?? []).map((node) => deparseExpression(node, d));
    parts.push(`PARTITION BY ${keys.join(', ')}`);
  }
  if ((window.orderClause ?? []).length > 0) {
    parts.push(
      `ORDER BY ${(window.orderClause ?? []).map((node) => sortItem(node, d)).join(', ')}`,
    );
  }
  const bits = window.frameOptions ?? 0;
  if ((bits & frame.nonDefault) !== 0) parts.push(frameClause(bits, window, d));
  return parts.join(' ');
}

function frameClause(bits: number, window: WindowDef, d: Deparse): string {
  const unit =
    (bits & frame.rows) !== 0 ? 'ROWS' : (bits & frame.groups) !== 0 ? 'GROUPS' : 'RANGE';
  const offset = (node: Node | undefined, word: string): string =>
    `${deparseExpression(node, d)} ${word}`;
  let start = 'CURRENT ROW';
  if ((bits & frame.startUnboundedPreceding) !== 0) start = 'UNBOUNDED PRECEDING';
  if ((bits & frame.startOffsetPreceding) !== 0) start = offset(window.startOffset, 'PRECEDING');
  if ((bits & frame.startOffsetFollowing) !== 0) start = offset(window.startOffset, 'FOLLOWING');
  let end = 'CURRENT ROW';
  if ((bits & frame.endUnboundedFollowing) !== 0) end = 'UNBOUNDED FOLLOWING';
  if ((bits & frame.endOffsetPreceding) !== 0) end = offset(window.endOffset, 'PRECEDING');
  if ((bits & frame.endOffsetFollowing) !== 0) end = offset(window.endOffset, 'FOLLOWING');
  let text =
    (bits & frame.between) !== 0 ? `${unit} BETWEEN ${start} AND ${end}` : `${unit} ${start}`;
  if ((bits & frame.excludeCurrentRow) !== 0) text += ' EXCLUDE CURRENT ROW';
  if ((bits & frame.excludeGroup) !== 0) text += ' EXCLUDE GROUP';
  if ((bits & frame.excludeTies) !== 0) text += ' EXCLUDE TIES';
  return text;
}

export function deparseType(typeName: TypeName | undefined): string {
  const names = strings(typeName?.names);
  // Types with their own syntax for modifiers are printed from what they mean, others as written.
  if (typeByName(names.at(-1) ?? '') !== undefined) {
    const { oid, typmod } = columnType(typeName);
    return formatType(oid, typmod);
  }
  return names.map(quoteIdentifier).join('.');
}

function cast(arg: Node | undefined, typeName: TypeName | undefined, d: Deparse): string {
  const isSimple =
    arg !== undefined && ('A_Const' in arg || 'FuncCall' in arg || 'TypeCast' in arg);
  const text = deparseExpression(arg, d);
  const inner = isSimple || text.startsWith('(') ? text : `(${text})`;
  return `${inner}::${deparseType(typeName)}`;
}

function caseExpression(expr: CaseExpr, d: Deparse): string {
  const parts = ['CASE'];
  if (expr.arg !== undefined) parts.push(deparseExpression(expr.arg, d));
  for (const node of expr.args ?? []) {
    if (!('CaseWhen' in node)) continue;
    const { expr: condition, result } = node.CaseWhen;
    parts.push(`WHEN ${deparseExpression(condition, d)} THEN ${deparseExpression(result, d)}`);
  }
  if (expr.defresult !== undefined) parts.push(`ELSE ${deparseExpression(expr.defresult, d)}`);
  return `${parts.join(' ')} END`;
}

function indirection(
  arg: Node | undefined,
  steps: readonly Node[] | undefined,
  d: Deparse,
): string {
  const isPlain = arg !== undefined && ('ColumnRef' in arg || 'ParamRef' in arg);
  let text = deparseExpression(arg, d);
  if (!isPlain) text = `(${text})`;
  for (const step of steps ?? []) {
    if ('A_Star' in step) text += '.*';
    else if ('A_Indices' in step) {
      const { is_slice: isSlice, lidx, uidx } = step.A_Indices;
      const upper = deparseExpression(uidx, d);
      text += isSlice === true ? `[${deparseExpression(lidx, d)}:${upper}]` : `[${upper}]`;
    } else text += `.${quoteIdentifier(stringOf(step))}`;
  }
  return text;
}

function subLink(link: SubLink, d: Deparse): string {
  const query = link.subselect === undefined ? '' : d.select(link.subselect);
  const test = deparseExpression(link.testexpr, d);
  switch (link.subLinkType) {
    case 'EXISTS_SUBLINK':
      return `(EXISTS (${query}))`;
    case 'ANY_SUBLINK':
      return link.operName === undefined
        ? `(${test} IN (${query}))`
        : `(${test} ${operatorName(link.operName)} ANY (${query}))`;
    case 'ALL_SUBLINK':
      return `(${test} ${operatorName(link.operName)} ALL (${query}))`;
    case 'ARRAY_SUBLINK':
      return `ARRAY(${query})`;
    default:
      return `(${query})`;
  }
}

function valueFunction(
  fn: Extract<Node, { SQLValueFunction: unknown }>['SQLValueFunction'],
): string {
  const name = (fn.op ?? '').replace('SVFOP_', '');
  if (!name.endsWith('_N')) return name;
  return `${name.slice(0, -2)}(${fn.typmod ?? 0})`;
}

/** Dotted name of a function, for error texts. */
export function functionName(node: Node | undefined): string {
  return nameParts(node).join('.');
}
