/** SET lists of UPDATE and ON CONFLICT DO UPDATE. */
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type ColumnId, type Expr, recordOid } from '../expr.ts';
import { type Assignment, type Rel } from '../logical.ts';
import { type BoundQuery, failAt, type ExprContext } from './binder.ts';
import { coerceToColumn } from './coerce.ts';
import { bindExpr, bindSubquery, locationOf } from './context.ts';
import { assignElement } from './element.ts';
import { resolveColumn } from './names.ts';
import { defaultOf, findColumn } from './target.ts';
import { type MultiAssignRef, type Node, type ResTarget } from '@pgsql/types';

export function bindAssignments(
  c: ExprContext,
  nodes: readonly Node[],
  table: TableDescriptor,
): Assignment[] {
  const targets = nodes.flatMap((node) => ('ResTarget' in node ? [node.ResTarget] : []));
  const seen = new Set<number>();
  const done: Assignment[] = [];
  for (const [i, target] of targets.entries()) {
    const position = targetPosition(target, table);
    if (seen.has(position)) {
      throw failAt(
        'syntaxError',
        `multiple assignments to same column "${must(table.columns[position]).name}"`,
      );
    }
    seen.add(position);
    const { colno = 1, ncolumns = 1 } = multiRef(target) ?? {};
    const together = targets.slice(i + 1 - colno, i + 1 - colno + ncolumns);
    if (!isOneRow(together)) done.push(bindAssignment(c, target, table, position));
    else if (colno === 1) done.push(bindRow(c, together, table));
  }
  return done;
}

function targetPosition(target: ResTarget, table: TableDescriptor): number {
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
  return position;
}

function multiRef({ val }: ResTarget): MultiAssignRef | undefined {
  return val !== undefined && 'MultiAssignRef' in val ? val.MultiAssignRef : undefined;
}

/** (a, b) = (SELECT ...), of whole columns: a row that is made once. */
function isOneRow(targets: readonly ResTarget[]): boolean {
  return (
    targets.length > 1 &&
    targets.every((target) => {
      const source = multiRef(target)?.source;
      return target.indirection === undefined && source !== undefined && 'SubLink' in source;
    })
  );
}

function bindRow(
  c: ExprContext,
  targets: readonly ResTarget[],
  table: TableDescriptor,
): Assignment {
  const { binder } = c;
  const query = bindSource(c, must(multiRef(must(targets[0]))));
  const positions = targets.map((target) => targetPosition(target, table));
  const args = targets.map(({ location }, i) =>
    coerceToColumn(
      binder,
      binder.reference(must(query.columns[i]).id),
      must(table.columns[must(positions[i])]),
      location,
    ),
  );
  const row: Expr = {
    kind: 'row',
    type: recordOid,
    typmod: -1,
    names: targets.map(({ name = '' }) => name),
    args,
    nullable: false,
  };
  const id = binder.newColumn({ name: 'row', type: recordOid });
  const rel: Rel = { kind: 'project', input: query.rel, items: [{ id, expr: row }] };
  return { positions, expr: scalar(rel, id, recordOid, -1) };
}

function scalar(rel: Rel, column: ColumnId, type: number, typmod: number): Expr {
  return {
    kind: 'subquery',
    mode: 'scalar',
    type,
    typmod,
    rel,
    columns: [column],
    test: undefined,
  };
}

function bindAssignment(
  c: ExprContext,
  target: ResTarget,
  table: TableDescriptor,
  position: number,
): Assignment {
  const { binder } = c;
  const column = must(table.columns[position]);
  const { val } = target;
  const positions = [position];
  if (val !== undefined && 'SetToDefault' in val)
    return { positions, expr: defaultOf(binder, table, position) };
  const bound =
    val !== undefined && 'MultiAssignRef' in val
      ? multiAssign(c, val.MultiAssignRef, table, position)
      : bindExpr(c, val);
  if (target.indirection !== undefined) {
    const whole = resolveColumn(binder, c.scope, { fields: [{ String: { sval: column.name } }] });
    return { positions, expr: assignElement(c, target, column, whole, bound) };
  }
  return {
    positions,
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
  ref: MultiAssignRef,
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
  const { rel, columns } = bindSource(c, ref);
  const { id } = must(columns[colno - 1]);
  const { type, typmod } = c.binder.info(id);
  return scalar(rel, id, type, typmod);
}

/** The query that a multiple assignment takes its row from. */
function bindSource(c: ExprContext, { source, ncolumns = 1 }: MultiAssignRef): BoundQuery {
  if (source === undefined || !('SubLink' in source)) {
    throw failAt(
      'featureNotSupported',
      'source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression',
      locationOf(source),
    );
  }
  const query = bindSubquery(c.binder, source.SubLink.subselect, c.scope);
  if (query.columns.length === ncolumns) return query;
  throw failAt(
    'syntaxError',
    'number of columns does not match number of values',
    source.SubLink.location,
  );
}
