/** Fields of composite values. */
import { type Expr, recordOid } from '../expr.ts';
import { type Binder, type ExprContext, failAt, typeName } from './binder.ts';

export function fieldOf(c: ExprContext, expr: Expr, name: string, location?: number): Expr {
  if (expr.kind === 'row') {
    const index = expr.names.indexOf(name);
    const value = expr.args[index];
    if (value !== undefined) return value;
    throw failAt(
      'undefinedColumn',
      `could not identify column "${name}" in record data type`,
      location,
    );
  }
  if (expr.kind === 'subquery' && expr.type === recordOid) {
    const inner = expr.columns[0];
    const shape = inner === undefined ? undefined : rowShape(c.binder, expr, name);
    if (shape !== undefined) return shape;
  }
  throw failAt(
    'wrongObjectType',
    `column notation .${name} applied to type ${typeName(expr.type)}, which is not a composite type`,
    location,
  );
}

function rowShape(
  binder: Binder,
  expr: Extract<Expr, { kind: 'subquery' }>,
  name: string,
): Expr | undefined {
  const { rel } = expr;
  if (rel.kind !== 'project') return undefined;
  const item = rel.items.find((candidate) => candidate.id === expr.columns[0]);
  if (item?.expr.kind !== 'row') return undefined;
  const index = item.expr.names.indexOf(name);
  const value = item.expr.args[index];
  if (value === undefined) return undefined;
  const id = binder.newColumn({ name, type: value.type, typmod: value.typmod });
  return {
    ...expr,
    type: value.type,
    typmod: value.typmod,
    rel: { ...rel, items: [{ id, expr: value }] },
    columns: [id],
  };
}
