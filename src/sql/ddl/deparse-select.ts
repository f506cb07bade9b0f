/** Queries back to SQL text: what a view keeps. Relation names go through `relation`, which qualifies them. */
import {
  type Alias,
  type CommonTableExpr,
  type Node,
  type RangeVar,
  type SelectStmt,
  type WithClause,
} from '@pgsql/types';
import { quoteIdentifier, quoteList } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import {
  deparseExpression,
  deparseType,
  sortItem,
  windowBody,
  type Deparse,
} from './deparse-expression.ts';
import { stringOf, strings } from './nodes.ts';

/** Text for a table name that is no common table expression in scope. */
export type RelationText = (range: RangeVar) => string;

export function deparseQuery(node: Node, relation: RelationText): string {
  return query(node, relation, new Set());
}

/** An expression whose subqueries may name relations. */
export function deparseScalar(node: Node, relation: RelationText): string {
  return deparseExpression(node, scope(relation, new Set()));
}

function scope(relation: RelationText, ctes: ReadonlySet<string>): Deparse {
  return { select: (node) => query(node, relation, ctes) };
}

function query(node: Node, relation: RelationText, outer: ReadonlySet<string>): string {
  if (!('SelectStmt' in node)) {
    throw sqlError('featureNotSupported', 'a view may contain only queries');
  }
  return select(node.SelectStmt, relation, outer);
}

function select(stmt: SelectStmt, relation: RelationText, outer: ReadonlySet<string>): string {
  const ctes = new Set(outer);
  const parts: string[] = [];
  if (stmt.withClause !== undefined) parts.push(withClause(stmt.withClause, relation, ctes));
  const d = scope(relation, ctes);
  const list = (nodes: readonly Node[] | undefined): string =>
    (nodes ?? []).map((node) => deparseExpression(node, d)).join(', ');
  if (stmt.intoClause !== undefined) {
    throw sqlError('featureNotSupported', 'views must not contain SELECT INTO');
  }
  if (stmt.op !== undefined && stmt.op !== 'SETOP_NONE') {
    const word = stmt.op.replace('SETOP_', '') + (stmt.all === true ? ' ALL' : '');
    const side = (child: SelectStmt | undefined): string =>
      child === undefined ? '' : `(${select(child, relation, ctes)})`;
    parts.push(`${side(stmt.larg)} ${word} ${side(stmt.rarg)}`);
  } else if ((stmt.valuesLists ?? []).length > 0) {
    const rows = (stmt.valuesLists ?? []).map((row) => deparseExpression(row, d));
    parts.push(`VALUES ${rows.join(', ')}`);
  } else parts.push(selectBody(stmt, relation, ctes, d));
  if ((stmt.sortClause ?? []).length > 0) {
    parts.push(`ORDER BY ${(stmt.sortClause ?? []).map((node) => sortItem(node, d)).join(', ')}`);
  }
  if (stmt.limitCount !== undefined) {
    const count = deparseExpression(stmt.limitCount, d);
    parts.push(
      stmt.limitOption === 'LIMIT_OPTION_WITH_TIES'
        ? `FETCH FIRST (${count}) ROWS WITH TIES`
        : `LIMIT ${count}`,
    );
  }
  if (stmt.limitOffset !== undefined) parts.push(`OFFSET ${list([stmt.limitOffset])}`);
  for (const node of stmt.lockingClause ?? []) {
    if (!('LockingClause' in node)) continue;
    const words: Record<string, string> = {
      LCS_FORUPDATE: 'FOR UPDATE',
      LCS_FORNOKEYUPDATE: 'FOR NO KEY UPDATE',
      LCS_FORSHARE: 'FOR SHARE',
      LCS_FORKEYSHARE: 'FOR KEY SHARE',
    };
    parts.push(words[node.LockingClause.strength ?? ''] ?? '');
  }
  return parts.join(' ');
}

function selectBody(
  stmt: SelectStmt,
  relation: RelationText,
  ctes: ReadonlySet<string>,
  d: Deparse,
): string {
  const parts = ['SELECT'];
  const distinct = stmt.distinctClause;
  if (distinct !== undefined) {
    const keys = distinct
      .filter((node) => Object.keys(node).length > 0)
      .map((node) => deparseExpression(node, d));
    parts.push(keys.length === 0 ? 'DISTINCT' : `DISTINCT ON (${keys.join(', ')})`);
  }
  parts.push((stmt.targetList ?? []).map((node) => target(node, d)).join(', '));
  if ((stmt.fromClause ?? []).length > 0) {
    parts.push(
      `FROM ${(stmt.fromClause ?? []).map((node) => from(node, relation, ctes, d)).join(', ')}`,
    );
  }
  if (stmt.whereClause !== undefined) parts.push(`WHERE ${deparseExpression(stmt.whereClause, d)}`);
  if ((stmt.groupClause ?? []).length > 0) {
    const keys = (stmt.groupClause ?? []).map((node) => groupItem(node, d)).join(', ');
    parts.push(`GROUP BY ${stmt.groupDistinct === true ? 'DISTINCT ' : ''}${keys}`);
  }
  if (stmt.havingClause !== undefined)
    parts.push(`HAVING ${deparseExpression(stmt.havingClause, d)}`);
  const windows = (stmt.windowClause ?? []).flatMap((node) =>
    'WindowDef' in node
      ? [`${quoteIdentifier(node.WindowDef.name ?? '')} AS (${windowBody(node.WindowDef, d)})`]
      : [],
  );
  if (windows.length > 0) parts.push(`WINDOW ${windows.join(', ')}`);
  return parts.join(' ');
}

function target(node: Node, d: Deparse): string {
  if (!('ResTarget' in node)) return deparseExpression(node, d);
  const text = deparseExpression(node.ResTarget.val, d);
  return node.ResTarget.name === undefined
    ? text
    : `${text} AS ${quoteIdentifier(node.ResTarget.name)}`;
}

function groupItem(node: Node, d: Deparse): string {
  if (!('GroupingSet' in node)) return deparseExpression(node, d);
  const inside = (node.GroupingSet.content ?? []).map((item) => groupItem(item, d)).join(', ');
  switch (node.GroupingSet.kind) {
    case 'GROUPING_SET_ROLLUP':
      return `ROLLUP(${inside})`;
    case 'GROUPING_SET_CUBE':
      return `CUBE(${inside})`;
    case 'GROUPING_SET_SETS':
      return `GROUPING SETS (${inside})`;
    default:
      return `(${inside})`;
  }
}

function withClause(clause: WithClause, relation: RelationText, ctes: Set<string>): string {
  const items: string[] = [];
  const tables = (clause.ctes ?? []).flatMap((node) =>
    'CommonTableExpr' in node ? [node.CommonTableExpr] : [],
  );
  if (clause.recursive === true) for (const table of tables) ctes.add(table.ctename ?? '');
  for (const table of tables) {
    items.push(commonTable(table, relation, ctes));
    ctes.add(table.ctename ?? '');
  }
  return `WITH ${clause.recursive === true ? 'RECURSIVE ' : ''}${items.join(', ')}`;
}

function commonTable(
  table: CommonTableExpr,
  relation: RelationText,
  ctes: ReadonlySet<string>,
): string {
  const columns = strings(table.aliascolnames);
  const names = columns.length === 0 ? '' : `(${quoteList(columns)})`;
  const hint =
    table.ctematerialized === 'CTEMaterializeAlways'
      ? 'MATERIALIZED '
      : table.ctematerialized === 'CTEMaterializeNever'
        ? 'NOT MATERIALIZED '
        : '';
  const body = table.ctequery === undefined ? '' : query(table.ctequery, relation, ctes);
  return `${quoteIdentifier(table.ctename ?? '')}${names} AS ${hint}(${body})${traversal(table, scope(relation, ctes))}`;
}

function traversal(
  { search_clause: search, cycle_clause: cycle }: CommonTableExpr,
  d: Deparse,
): string {
  const parts: string[] = [];
  if (search !== undefined) {
    const order = search.search_breadth_first === true ? 'BREADTH' : 'DEPTH';
    const columns = quoteList(strings(search.search_col_list));
    const name = quoteIdentifier(search.search_seq_column ?? '');
    parts.push(` SEARCH ${order} FIRST BY ${columns} SET ${name}`);
  }
  if (cycle !== undefined) {
    const columns = quoteList(strings(cycle.cycle_col_list));
    const mark = quoteIdentifier(cycle.cycle_mark_column ?? '');
    const path = quoteIdentifier(cycle.cycle_path_column ?? '');
    const value = deparseExpression(cycle.cycle_mark_value, d);
    const otherwise = deparseExpression(cycle.cycle_mark_default, d);
    parts.push(` CYCLE ${columns} SET ${mark} TO ${value} DEFAULT ${otherwise} USING ${path}`);
  }
  return parts.join('');
}

function aliasText(alias: Alias | undefined): string {
  if (alias?.aliasname === undefined) return '';
  const columns = strings(alias.colnames);
  return ` ${quoteIdentifier(alias.aliasname)}${columns.length === 0 ? '' : `(${quoteList(columns)})`}`;
}

function from(node: Node, relation: RelationText, ctes: ReadonlySet<string>, d: Deparse): string {
  const sub = (child: Node | undefined): string =>
    child === undefined ? '' : from(child, relation, ctes, d);
  if ('RangeVar' in node) {
    const range = node.RangeVar;
    const isCte = range.schemaname === undefined && ctes.has(range.relname ?? '');
    const text = isCte ? quoteIdentifier(range.relname ?? '') : relation(range);
    return text + aliasText(range.alias);
  }
  if ('RangeSubselect' in node) {
    const { lateral, subquery, alias } = node.RangeSubselect;
    const body = subquery === undefined ? '' : query(subquery, relation, ctes);
    return `${lateral === true ? 'LATERAL ' : ''}(${body})${aliasText(alias)}`;
  }
  if ('JoinExpr' in node) {
    const join = node.JoinExpr;
    const kinds: Record<string, string> = {
      JOIN_LEFT: 'LEFT JOIN',
      JOIN_RIGHT: 'RIGHT JOIN',
      JOIN_FULL: 'FULL JOIN',
    };
    let word = kinds[join.jointype ?? ''] ?? 'JOIN';
    if (join.isNatural === true) word = `NATURAL ${word}`;
    let condition = '';
    if ((join.usingClause ?? []).length > 0) {
      condition = ` USING (${quoteList(strings(join.usingClause))})`;
      if (join.join_using_alias?.aliasname !== undefined) {
        condition += ` AS ${quoteIdentifier(join.join_using_alias.aliasname)}`;
      }
    } else if (join.quals !== undefined) condition = ` ON ${deparseExpression(join.quals, d)}`;
    else if (join.isNatural !== true) word = 'CROSS JOIN';
    return `(${sub(join.larg)} ${word} ${sub(join.rarg)}${condition})${aliasText(join.alias)}`;
  }
  if ('RangeFunction' in node) {
    const fn = node.RangeFunction;
    const calls = (fn.functions ?? []).map((item) => {
      const call = 'List' in item ? item.List.items?.[0] : item;
      return deparseExpression(call, d);
    });
    let text = fn.is_rowsfrom === true ? `ROWS FROM (${calls.join(', ')})` : (calls[0] ?? '');
    if (fn.ordinality === true) text += ' WITH ORDINALITY';
    const columns = (fn.coldeflist ?? []).flatMap((item) =>
      'ColumnDef' in item
        ? [
            `${quoteIdentifier(item.ColumnDef.colname ?? '')} ${deparseType(item.ColumnDef.typeName)}`,
          ]
        : [],
    );
    text += aliasText(fn.alias);
    if (columns.length > 0)
      text += `${fn.alias === undefined ? ' AS' : ''} (${columns.join(', ')})`;
    return `${fn.lateral === true ? 'LATERAL ' : ''}${text}`;
  }
  throw sqlError(
    'featureNotSupported',
    `${Object.keys(node)[0] ?? stringOf(node)} in FROM cannot be stored in a view`,
  );
}
