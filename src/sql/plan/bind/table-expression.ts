/** Expressions over the columns of one table, as they stand in its descriptor: checks, generated columns, defaults, predicates. */
import { type Node } from '@pgsql/types';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import { type ColumnId, type Expr } from '../expr.ts';
import { type Binder, childScope, plainContext } from './binder.ts';
import { bindExpr } from './context.ts';
import { namedItem } from './from.ts';
import { newBinder } from './index.ts';

export interface TableExpressions {
  readonly binder: Binder;
  /** Where the columns of the table stand in its rows. */
  readonly layout: ReadonlyMap<ColumnId, number>;
  readonly bind: (node: Node) => Expr;
}

const noRelations = {
  relations: new Map(),
  views: new Map(),
  defaults: new Map(),
  predicates: new Map(),
};

/** Without a table there are no columns. */
export function tableExpressions(
  table: TableDescriptor | undefined,
  context: EvalContext,
): TableExpressions {
  const binder = newBinder(context, noRelations, []);
  const layout = new Map<ColumnId, number>();
  const columns = (table?.columns ?? []).map((column, position) => {
    const id = binder.newColumn({ name: column.name, type: column.typeOid, typmod: column.typmod });
    layout.set(id, position);
    return {
      id,
      name: column.name,
      tableOid: table?.id ?? 0,
      columnNumber: column.id,
      hidden: column.state === 'dropped',
    };
  });
  const names = table === undefined ? {} : namedItem(columns, undefined, table.name, { table });
  const c = plainContext(binder, { ...childScope(undefined), ...names }, 'table expressions');
  return { binder, layout, bind: (node) => bindExpr(c, node) };
}
