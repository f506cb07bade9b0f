/** ON CONFLICT and UPSERT. */
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { implies } from '../implication.ts';
import { type Assignment, type ConflictClause, type ConflictUpdate } from '../logical.ts';
import { foldExpr } from '../rules/fold-constants.ts';
import { hasSubquery } from '../rules/predicates.ts';
import { bindAssignments } from './assign.ts';
import { childScope, failAt, plainContext, type Binder, type Names, type Scope } from './binder.ts';
import { coerceToBoolean } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';
import { findColumn, rowColumns, rowNames } from './target.ts';
import { type Node, type OnConflictClause } from '@pgsql/types';

export function bindConflict(
  binder: Binder,
  clause: OnConflictClause,
  table: TableDescriptor,
  alias: string,
  scope: Scope,
): ConflictClause {
  const existing = rowColumns(binder, table, alias);
  const own = rowNames(table, existing, alias, undefined);
  const arbiters = clause.infer === undefined ? [] : inferArbiters(binder, clause, table, own);
  if (clause.action !== 'ONCONFLICT_UPDATE') return { arbiters, update: undefined };
  if (arbiters.length === 0) {
    throw failAt(
      'syntaxError',
      'ON CONFLICT DO UPDATE requires inference specification or constraint name',
      clause.location,
      {
        hint: 'For example, ON CONFLICT (column_name).',
      },
    );
  }
  const excluded = rowColumns(binder, table, 'excluded');
  const proposed = rowNames(table, excluded, 'excluded', undefined);
  const inner: Scope = {
    ...childScope(scope),
    relations: [...own.relations, ...proposed.relations],
    columns: [...own.columns, ...proposed.columns],
  };
  const c = plainContext(binder, inner, 'ON CONFLICT');
  const set = bindAssignments(c, clause.targetList ?? [], table);
  const where =
    clause.whereClause === undefined
      ? undefined
      : coerceToBoolean(
          binder,
          bindExpr({ ...c, clause: 'WHERE' }, clause.whereClause),
          'WHERE',
          locationOf(clause.whereClause),
        );
  return { arbiters, update: { existing, excluded, set, where } };
}

function inferArbiters(
  binder: Binder,
  clause: OnConflictClause,
  table: TableDescriptor,
  own: Names,
): number[] {
  const { infer } = clause;
  const unique = [
    table.primaryIndex,
    ...table.indexes.filter((index) => index.unique && index.state === 'public'),
  ];
  if (infer?.conname !== undefined) {
    const found = unique.find((index) => index.name === infer.conname);
    if (found === undefined) {
      throw failAt(
        'undefinedObject',
        `constraint "${infer.conname}" for table "${table.name}" does not exist`,
      );
    }
    return [found.id];
  }
  const wanted = new Set(
    (infer?.indexElems ?? []).map((node) => {
      const name = 'IndexElem' in node ? node.IndexElem.name : undefined;
      if (name === undefined)
        throw failAt(
          'featureNotSupported',
          'expressions are not supported in ON CONFLICT',
          clause.location,
        );
      return must(table.columns[findColumn(table, name, clause.location)]).id;
    }),
  );
  const covers = predicateTest(binder, infer?.whereClause, own);
  const found = unique.filter(
    (index) =>
      index.columns.length === wanted.size &&
      index.columns.every(({ columnId }) => wanted.has(columnId)) &&
      (index.predicateSql === undefined ||
        covers(binder.prefetched.predicates.get(table.id)?.get(index.id))),
  );
  if (found.length === 0) {
    throw failAt(
      'invalidColumnReference',
      'there is no unique or exclusion constraint matching the ON CONFLICT specification',
    );
  }
  return found.map((index) => index.id);
}

/** Whether all rows that pass the WHERE of the inference are in an index with this predicate. */
function predicateTest(
  binder: Binder,
  where: Node | undefined,
  own: Names,
): (predicate: Node | undefined) => boolean {
  if (where === undefined) return () => false;
  const c = plainContext(binder, { ...childScope(undefined), ...own }, 'index predicates');
  const given = foldExpr(bindExpr(c, where), binder.eval);
  if (hasSubquery(given)) {
    throw failAt('featureNotSupported', 'cannot use subquery in index predicate');
  }
  return (predicate) =>
    predicate !== undefined && implies(given, foldExpr(bindExpr(c, predicate), binder.eval));
}

/** UPSERT: the given columns replace those of the row with the same primary key. */
export function upsertClause(
  binder: Binder,
  table: TableDescriptor,
  alias: string,
  positions: readonly number[],
): ConflictClause {
  const existing = rowColumns(binder, table, alias);
  const excluded = rowColumns(binder, table, 'excluded');
  const keys = new Set(table.primaryIndex.columns.map((column) => column.columnId));
  const set: Assignment[] = positions
    .filter((position) => {
      const column = must(table.columns[position]);
      return !keys.has(column.id) && column.generatedSql === undefined;
    })
    .map((position) => ({
      positions: [position],
      expr: binder.reference(must(excluded[position])),
    }));
  const update: ConflictUpdate = { existing, excluded, set, where: undefined };
  return { arbiters: [table.primaryIndex.id], update };
}
