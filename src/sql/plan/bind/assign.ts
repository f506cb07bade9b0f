/** SET lists of UPDATE and ON CONFLICT DO UPDATE. */
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Expr } from '../expr.ts';
import { type Assignment } from '../logical.ts';
import { failAt, type ExprContext } from './binder.ts';
import { coerceToColumn } from './coerce.ts';
import { bindExpr, bindSubquery, locationOf } from './context.ts';
import { assignElement } from './element.ts';
import { resolveColumn } from './names.ts';
import { defaultOf, findColumn } from './target.ts';
import { type Node, type ResTarget } from '@pgsql/types';

export function bindAssignments(
  c: ExprContext,
  nodes: readonly Node[],
  table: TableDescriptor,
): Assignment[] {
  const done: Assignment[] = [];
  for (const node of nodes) {
    if (!('ResTarget' in node)) continue;
    const assignment = bindAssignment(c, node.ResTarget, table);
    if (done.some((other) => other.position === assignment.position)) {
      throw failAt(
        'syntaxError',
        `multiple assignments to same column "${must(table.columns[assignment.position]).name}"`,
      );
    }
    done.push(assignment);
  }
  return done;
}

function bindAssignment(c: ExprContext, target: ResTarget, table: TableDescriptor): Assignment {
  const { binder } = c;
  const position = findColumn(table, target.name ?? '', target.location);
  const column = must(table.columns[position]);
  const { val } = target;
  const isDefault = val !== undefined && 'SetToDefault' in val;
  if (column.generatedSql !== undefined && !isDefault) {
    throw failAt(
      'generatedAlways',
      `column "${column.name}" can only be updated to DEFAULT`,
      undefined,
      {
        detail: `Column "${column.name}" is a generated column.`,
      },
    );
  }
  if (column.identity === 'always' && !isDefault) {
    throw failAt(
      'generatedAlways',
      `column "${column.name}" can only be updated to DEFAULT`,
      undefined,
      {
        detail: `Column "${column.name}" is an identity column defined as GENERATED ALWAYS.`,
      },
    );
  }
  if (isDefault) return { position, expr: defaultOf(binder, table, position) };
  const bound =
    val !== undefined && 'MultiAssignRef' in val
      ? multiAssign(c, val.MultiAssignRef, table, position)
      : bindExpr(c, val);
  if (target.indirection !== undefined) {
    const whole = resolveColumn(binder, c.scope, { fields: [{ String: { sval: column.name } }] });
    return { position, expr: assignElement(c, target, column, whole, bound) };
  }
  return {
    position,
    expr: coerceToColumn(
      binder,
      bound,
      column,
      val === undefined ? undefined : (locationOf(val) ?? target.location),
    ),
  };
}

/** (a, b) = (1, 2) and (a, b) = (SELECT ...): the part for one column. */
function multiAssign(
  c: ExprContext,
  ref: { source?: Node; colno?: number; ncolumns?: number },
  table: TableDescriptor,
  position: number,
): Expr {
  const { source, colno = 1, ncolumns = 1 } = ref;
  if (source !== undefined && 'RowExpr' in source) {
    const args = source.RowExpr.args ?? [];
    const node = args[colno - 1];
    if (args.length !== ncolumns || node === undefined) {
      throw failAt(
        'syntaxError',
        'number of columns does not match number of values',
        locationOf(source),
      );
    }
    return 'SetToDefault' in node ? defaultOf(c.binder, table, position) : bindExpr(c, node);
  }
  if (source !== undefined && 'SubLink' in source) {
    const query = bindSubquery(c.binder, source.SubLink.subselect, c.scope);
    const column = query.columns[colno - 1];
    if (query.columns.length !== ncolumns || column === undefined) {
      throw failAt(
        'syntaxError',
        'number of columns does not match number of values',
        source.SubLink.location,
      );
    }
    const { type, typmod } = c.binder.info(column.id);
    return {
      kind: 'subquery',
      mode: 'scalar',
      type,
      typmod,
      rel: query.rel,
      columns: [column.id],
      test: undefined,
    };
  }
  throw failAt(
    'featureNotSupported',
    'source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression',
    locationOf(source),
  );
}
