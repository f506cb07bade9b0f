/** INSERT, UPDATE, DELETE. */
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { implicitKeyOf } from '../../catalog/snapshot.ts';
import { type ColumnId, type Expr, unknownOid } from '../expr.ts';
import { outputOf, type Rel, type Returning } from '../logical.ts';
import { bindAssignments } from './assign.ts';
import {
  childScope,
  failAt,
  plainContext,
  type Binder,
  type BoundQuery,
  type ExprContext,
  type Names,
  type OutputColumn,
  type Scope,
  type ScopeColumn,
} from './binder.ts';
import { coerceToBoolean, coerceToColumn, settle } from './coerce.ts';
import { bindConflict, upsertClause } from './conflict.ts';
import { bindExpr, bindQuery, locationOf, selectOf } from './context.ts';
import { bindFrom, oneRow, scanTable, type BoundFrom } from './from.ts';
import { bindTargets } from './select.ts';
import { defaultOf, findColumn, rowColumns, rowNames, targetTable } from './target.ts';
import { bindWith, closeWith } from './with.ts';
import {
  type DeleteStmt,
  type InsertStmt,
  type Node,
  type RangeVar,
  type UpdateStmt,
} from '@pgsql/types';

export function bindDml(
  binder: Binder,
  node: Node,
  parent: Scope | undefined,
  upsert: boolean,
): BoundQuery {
  const body =
    'InsertStmt' in node
      ? node.InsertStmt
      : 'UpdateStmt' in node
        ? node.UpdateStmt
        : 'DeleteStmt' in node
          ? node.DeleteStmt
          : undefined;
  if (body === undefined) {
    throw failAt('featureNotSupported', `${Object.keys(node)[0] ?? 'statement'} is not supported`);
  }
  const bind = (scope: Scope): BoundQuery => {
    if ('InsertStmt' in node) return bindInsert(binder, node.InsertStmt, scope, upsert);
    if ('UpdateStmt' in node) return bindUpdate(binder, node.UpdateStmt, scope);
    if ('DeleteStmt' in node) return bindDelete(binder, node.DeleteStmt, scope);
    throw failAt('featureNotSupported', 'statement is not supported');
  };
  if (body.withClause === undefined) return bind(childScope(parent));
  const opened = bindWith(binder, body.withClause, childScope(parent));
  const bound = bind(opened.scope);
  return { ...bound, rel: closeWith(opened, bound.rel) };
}

// INSERT.

function bindInsert(binder: Binder, stmt: InsertStmt, scope: Scope, upsert: boolean): BoundQuery {
  const name = must(stmt.relation);
  const { table, schemaName } = targetTable(binder, name, 'insert into');
  const listed = (stmt.cols ?? []).map((node) => {
    const target = 'ResTarget' in node ? node.ResTarget : {};
    if (target.indirection !== undefined) {
      throw failAt(
        'featureNotSupported',
        'subscripts are not supported in an INSERT column list',
        target.location,
      );
    }
    return {
      position: findColumn(table, target.name ?? '', target.location),
      location: target.location,
    };
  });
  for (const [i, item] of listed.entries()) {
    if (listed.some((other, j) => j < i && other.position === item.position)) {
      throw failAt(
        'duplicateColumn',
        `column "${must(table.columns[item.position]).name}" specified more than once`,
        item.location,
      );
    }
  }
  const visible = [...table.columns.entries()]
    .filter(([, column]) => column.state === 'public' && column.hidden !== true)
    .map(([position]) => position);
  const positions = stmt.cols === undefined ? visible : listed.map((item) => item.position);
  const given = insertSource(binder, stmt, table, scope, positions);
  checkGenerated(table, given, stmt.override);
  const overridden = stmt.override === 'OVERRIDING_USER_VALUE';
  const completed = completeRow(binder, table, given, overridden);
  const alias = name.alias?.aliasname ?? table.name;
  const conflict = upsert
    ? upsertClause(binder, table, alias, positions.slice(0, given.width))
    : stmt.onConflictClause === undefined || stmt.onConflictClause.action === 'ONCONFLICT_NONE'
      ? undefined
      : bindConflict(binder, stmt.onConflictClause, table, alias, scope);
  const back = bindReturning(
    binder,
    stmt.returningClause?.exprs,
    table,
    schemaName,
    alias,
    scope,
    undefined,
  );
  return {
    rel: {
      kind: 'insert',
      table,
      input: completed.rel,
      source: completed.source,
      hasFreshKey: hasFreshKey(table, given),
      conflict,
      returning: back?.returning,
    },
    columns: back?.columns ?? [],
  };
}

interface GivenRow {
  readonly rel: Rel;
  /** By table position: which input column was given; absent: default. */
  readonly columns: ReadonlyMap<number, ColumnId>;
  /** How many of the target columns the source fills. */
  readonly width: number;
  /** Positions that are not DEFAULT in some row. */
  readonly explicit: ReadonlySet<number>;
}

function hasFreshKey(table: TableDescriptor, { explicit }: GivenRow): boolean {
  const key = implicitKeyOf(table);
  return key !== undefined && !explicit.has(table.columns.indexOf(key));
}

function insertSource(
  binder: Binder,
  stmt: InsertStmt,
  table: TableDescriptor,
  scope: Scope,
  positions: readonly number[],
): GivenRow {
  if (stmt.selectStmt === undefined) {
    return { rel: oneRow, columns: new Map(), width: 0, explicit: new Set() };
  }
  const select = selectOf(stmt.selectStmt);
  const plainValues =
    select.valuesLists !== undefined &&
    select.sortClause === undefined &&
    select.limitCount === undefined &&
    select.limitOffset === undefined &&
    select.withClause === undefined &&
    select.lockingClause === undefined;
  if (plainValues)
    return insertValues(
      binder,
      select.valuesLists ?? [],
      table,
      scope,
      positions,
      (stmt.cols ?? []).map(locationOf),
    );
  const expected = positions.map((position) => must(table.columns[position]));
  const query = bindQuery(binder, select, scope, expected);
  checkWidth(
    query.columns.length,
    positions.length,
    stmt.cols !== undefined,
    locationOf(select.targetList?.[positions.length]),
  );
  const items: { id: ColumnId; expr: Expr }[] = [];
  const columns = new Map<number, ColumnId>();
  for (const [i, source] of query.columns.entries()) {
    const position = must(positions[i]);
    const column = must(table.columns[position]);
    const expr = coerceToColumn(
      binder,
      binder.reference(source.id),
      column,
      locationOf(select.targetList?.[i]),
    );
    const id =
      expr.kind === 'column' && !items.some((item) => item.id === expr.id)
        ? expr.id
        : binder.newColumn({ name: column.name, type: column.typeOid, typmod: column.typmod });
    items.push({ id, expr });
    columns.set(position, id);
  }
  return {
    rel: { kind: 'project', input: query.rel, items },
    columns,
    width: query.columns.length,
    explicit: new Set(columns.keys()),
  };
}

function checkWidth(got: number, room: number, listed: boolean, location?: number): void {
  if (got > room)
    throw failAt('syntaxError', 'INSERT has more expressions than target columns', location);
  if (got < room && listed)
    throw failAt('syntaxError', 'INSERT has more target columns than expressions', location);
}

function insertValues(
  binder: Binder,
  lists: readonly Node[],
  table: TableDescriptor,
  scope: Scope,
  positions: readonly number[],
  places: readonly (number | undefined)[],
): GivenRow {
  const c = plainContext(binder, childScope(scope), 'VALUES');
  const explicit = new Set<number>();
  let width = -1;
  const rows: Expr[][] = [];
  for (const list of lists) {
    const nodes = 'List' in list ? (list.List.items ?? []) : [];
    if (width >= 0 && nodes.length !== width) {
      throw failAt('syntaxError', 'VALUES lists must all be the same length', locationOf(nodes[0]));
    }
    width = nodes.length;
    rows.push(
      nodes.map((node, i) => {
        const position = positions[i];
        if (position === undefined) {
          throw failAt(
            'syntaxError',
            'INSERT has more expressions than target columns',
            locationOf(node),
          );
        }
        if ('SetToDefault' in node) return defaultOf(binder, table, position);
        explicit.add(position);
        return coerceToColumn(
          binder,
          bindExpr(c, node),
          must(table.columns[position]),
          locationOf(node),
        );
      }),
    );
  }
  const shortfall = positions.length > width && places.length > 0;
  if (shortfall)
    throw failAt('syntaxError', 'INSERT has more target columns than expressions', places[width]);
  const columns = new Map<number, ColumnId>();
  const ids = positions.slice(0, Math.max(width, 0)).map((position) => {
    const column = must(table.columns[position]);
    const id = binder.newColumn({ name: column.name, type: column.typeOid, typmod: column.typmod });
    columns.set(position, id);
    return id;
  });
  return {
    rel: { kind: 'values', columns: ids, rows },
    columns,
    width: Math.max(width, 0),
    explicit,
  };
}

function checkGenerated(
  table: TableDescriptor,
  given: GivenRow,
  override: string | undefined,
): void {
  for (const position of given.explicit) {
    const column = must(table.columns[position]);
    if (column.generatedSql !== undefined) {
      throw failAt(
        'generatedAlways',
        `cannot insert a non-DEFAULT value into column "${column.name}"`,
        undefined,
        {
          detail: `Column "${column.name}" is a generated column.`,
        },
      );
    }
    if (
      column.identity === 'always' &&
      (override === undefined || override === 'OVERRIDING_NOT_SET')
    ) {
      throw failAt(
        'generatedAlways',
        `cannot insert a non-DEFAULT value into column "${column.name}"`,
        undefined,
        {
          detail: `Column "${column.name}" is an identity column defined as GENERATED ALWAYS.`,
          hint: 'Use OVERRIDING SYSTEM VALUE to override.',
        },
      );
    }
  }
}

/** Adds the defaults of the columns that were not given. */
function completeRow(
  binder: Binder,
  table: TableDescriptor,
  given: GivenRow,
  overrideUser: boolean,
): { readonly rel: Rel; readonly source: readonly (ColumnId | undefined)[] } {
  const extra: { id: ColumnId; expr: Expr }[] = [];
  const source = table.columns.map((column, position) => {
    if (
      column.generatedSql !== undefined ||
      column.state === 'dropped' ||
      column.state === 'delete-only'
    )
      return undefined;
    const ignored = overrideUser && column.identity !== undefined;
    const id = ignored ? undefined : given.columns.get(position);
    if (id !== undefined) return id;
    const expr = defaultOf(binder, table, position);
    if (expr.kind === 'const' && expr.value === null) return undefined;
    const fresh = binder.newColumn({
      name: column.name,
      type: column.typeOid,
      typmod: column.typmod,
    });
    extra.push({ id: fresh, expr });
    return fresh;
  });
  if (extra.length === 0) return { rel: given.rel, source };
  if (given.rel.kind === 'values' && given.rel.rows.length === 1) {
    const [row = []] = given.rel.rows;
    return {
      rel: {
        kind: 'values',
        columns: [...given.rel.columns, ...extra.map((item) => item.id)],
        rows: [[...row, ...extra.map((item) => item.expr)]],
      },
      source,
    };
  }
  const through = outputOf(given.rel).map((id) => ({ id, expr: binder.reference(id) }));
  return { rel: { kind: 'project', input: given.rel, items: [...through, ...extra] }, source };
}

// UPDATE and DELETE.

interface TargetAndFrom {
  readonly rel: Rel;
  readonly table: TableDescriptor;
  readonly schemaName: string;
  readonly alias: string;
  readonly row: readonly ColumnId[];
  readonly from: BoundFrom;
  readonly context: ExprContext;
}

function bindTarget(
  binder: Binder,
  name: RangeVar,
  verb: string,
  fromNodes: readonly Node[] | undefined,
  where: Node | undefined,
  scope: Scope,
): TargetAndFrom {
  const { table, schemaName } = targetTable(binder, name, verb);
  const target = scanTable(binder, table, name.alias, schemaName, true);
  const from = bindFrom(binder, fromNodes ?? [], scope);
  const alias = name.alias?.aliasname ?? table.name;
  if (from.names.relations.some((relation) => relation.name === alias)) {
    throw failAt('duplicateAlias', `table name "${alias}" specified more than once`);
  }
  const names: Names = {
    relations: [...target.names.relations, ...from.names.relations],
    columns: [...target.names.columns, ...from.names.columns],
  };
  const context = plainContext(binder, { ...childScope(scope), ...names }, 'WHERE');
  let rel: Rel =
    fromNodes === undefined
      ? target.rel
      : { kind: 'join', type: 'inner', left: target.rel, right: from.rel, on: [] };
  if (where !== undefined) {
    if ('CurrentOfExpr' in where)
      throw failAt('featureNotSupported', 'WHERE CURRENT OF is not supported');
    const condition = coerceToBoolean(binder, bindExpr(context, where), 'WHERE', locationOf(where));
    rel = { kind: 'filter', input: rel, conditions: [condition] };
  }
  return { rel, table, schemaName, alias, row: target.ids, from, context };
}

function bindUpdate(binder: Binder, stmt: UpdateStmt, scope: Scope): BoundQuery {
  const name = must(stmt.relation);
  const target = bindTarget(binder, name, 'update', stmt.fromClause, stmt.whereClause, scope);
  const set = bindAssignments(
    { ...target.context, clause: 'UPDATE' },
    stmt.targetList ?? [],
    target.table,
  );
  const back = bindReturning(
    binder,
    stmt.returningClause?.exprs,
    target.table,
    target.schemaName,
    target.alias,
    scope,
    target.from.names,
  );
  return {
    rel: {
      kind: 'update',
      table: target.table,
      input: target.rel,
      row: target.row,
      set,
      returning: back?.returning,
    },
    columns: back?.columns ?? [],
  };
}

function bindDelete(binder: Binder, stmt: DeleteStmt, scope: Scope): BoundQuery {
  const name = must(stmt.relation);
  const target = bindTarget(binder, name, 'delete from', stmt.usingClause, stmt.whereClause, scope);
  const back = bindReturning(
    binder,
    stmt.returningClause?.exprs,
    target.table,
    target.schemaName,
    target.alias,
    scope,
    target.from.names,
  );
  return {
    rel: {
      kind: 'delete',
      table: target.table,
      input: target.rel,
      row: target.row,
      returning: back?.returning,
    },
    columns: back?.columns ?? [],
  };
}

function bindReturning(
  binder: Binder,
  nodes: readonly Node[] | undefined,
  table: TableDescriptor,
  schemaName: string,
  alias: string,
  scope: Scope,
  others: Names | undefined,
): { readonly returning: Returning; readonly columns: readonly OutputColumn[] } | undefined {
  if (nodes === undefined || nodes.length === 0) return undefined;
  const row = rowColumns(binder, table, alias);
  const own = rowNames(table, row, alias, alias === table.name ? schemaName : undefined);
  const inner: Scope = {
    ...childScope(scope),
    relations: [...own.relations, ...(others?.relations ?? [])],
    columns: [...own.columns, ...(others?.columns ?? [])] satisfies ScopeColumn[],
  };
  const c = plainContext(binder, inner, 'RETURNING');
  const items: { id: ColumnId; expr: Expr }[] = [];
  const columns: OutputColumn[] = [];
  for (const target of bindTargets(c, nodes)) {
    const expr = target.expr.type === unknownOid ? settle(binder, target.expr) : target.expr;
    const id = binder.newColumn({ name: target.name, type: expr.type, typmod: expr.typmod });
    items.push({ id, expr });
    columns.push({
      id,
      name: target.name,
      tableOid: target.tableOid,
      columnNumber: target.columnNumber,
    });
  }
  return { returning: { row, items }, columns };
}
