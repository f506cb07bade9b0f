/**
 * Expressions as descriptors keep them. A literal of a date, a time or an interval means what it did to the session that wrote
 * it down: it is kept in a form that no setting changes. What else depends on settings or on the time is refused where
 * rows that are stored already could come to contradict it.
 */
import { type A_Const, type Node } from '@pgsql/types';
import { type ColumnDescriptor, type TableDescriptor } from '../catalog/index.ts';
import { SqlFailure, sqlError } from '../errors.ts';
import { findCast } from '../functions/index.ts';
import { coerceToColumn } from '../plan/bind/coerce.ts';
import { tableExpressions } from '../plan/bind/table-expression.ts';
import { type Expr } from '../plan/expr.ts';
import { isImmutable } from '../plan/rules/predicates.ts';
import { parseExpression } from '../plan/sql-text.ts';
import { visitExpr } from '../plan/walk.ts';
import { storedFormat } from '../row/index.ts';
import { oids, typeOps } from '../types/index.ts';
import { qualifiedText, type Ddl } from './context.ts';
import { deparseScalar } from './deparse-select.ts';
import { rangeName, visitNodes } from './nodes.ts';

/** As it was written. */
export function storedExpression(ddl: Ddl, expression: Node): string {
  return deparseScalar(expression, (range) => {
    const name = rangeName(range);
    const found = ddl.catalog.findNamed(name);
    if (found === undefined || found.kind === 'index') return name.name;
    return qualifiedText(ddl.catalog, found);
  });
}

/**
 * An expression over columns of the table, if any, for rows to come (`assigned`: what it is assigned to). One that cannot be
 * bound is kept as it was written: where that is wrong the checks of the statement say so.
 */
export function storedForTable(
  ddl: Ddl,
  table: TableDescriptor | undefined,
  expression: Node,
  assigned?: Pick<ColumnDescriptor, 'name' | 'typeOid' | 'typmod'>,
): string {
  let settled = expression;
  try {
    const { binder, bind } = tableExpressions(table, ddl.context.eval);
    const bound = bind(expression);
    const expr = assigned === undefined ? bound : coerceToColumn(binder, bound, assigned);
    settled = settleLiterals(expression, expr);
  } catch (error) {
    if (!(error instanceof SqlFailure)) throw error;
  }
  return storedExpression(ddl, settled);
}

/** The predicate of an index. Throws 42P17. */
export function storedPredicate(ddl: Ddl, table: TableDescriptor, predicate: Node): string {
  const expr = tableExpressions(table, ddl.context.eval).bind(predicate);
  if (!isImmutable(expr)) {
    throw sqlError(
      'invalidObjectDefinition',
      'functions in index predicate must be marked IMMUTABLE',
    );
  }
  return storedExpression(ddl, settleLiterals(predicate, expr));
}

/** Of a table that is complete. Throws 42P17. */
export async function checkGenerated(
  ddl: Ddl,
  table: TableDescriptor,
  column: ColumnDescriptor,
): Promise<void> {
  if (column.generatedSql === undefined) return;
  const node = await parseExpression(column.generatedSql);
  const { binder, bind } = tableExpressions(table, ddl.context.eval);
  const bound = bind(node);
  if (!isImmutable(bound)) {
    throw sqlError('invalidObjectDefinition', 'generation expression is not immutable');
  }
  // Columns that come behind it were not known when it was stored.
  if (settleLiterals(node, coerceToColumn(binder, bound, column)) === node) return;
  throw sqlError('invalidObjectDefinition', 'generation expression is not immutable', {
    detail: `What literals of the expression for column "${column.name}" mean depends on settings of the session.`,
    hint: 'Define the columns that it uses before it.',
  });
}

/** The expression with literals that depend on settings replaced by what they mean now; the same one when none does. */
function settleLiterals(expression: Node, bound: Expr): Node {
  const texts = new Map<number, string>();
  visitExpr(bound, (expr) => {
    if (expr.kind !== 'const' || expr.position === undefined || expr.value === null) return;
    const input = findCast(oids.unknown, expr.type, 'implicit');
    if (input?.volatility !== 'stable' || input.async) return;
    texts.set(expr.position, typeOps(expr.type).format(expr.value, storedFormat));
  });
  if (texts.size === 0) return expression;
  const settled = structuredClone(expression);
  let changes = 0;
  visitNodes(settled, 'A_Const', (node) => {
    const constant = node as A_Const;
    const text = texts.get(constant.location ?? -1);
    if (text === undefined || constant.sval === undefined || constant.sval.sval === text) return;
    constant.sval = { sval: text };
    changes++;
  });
  return changes === 0 ? expression : settled;
}
