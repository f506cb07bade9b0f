/** Name resolution: column references against the scopes, innermost first. */
import { type ColumnRef } from '@pgsql/types';
import { type ColumnId, type Expr, recordOid } from '../expr.ts';
import { type Binder, failAt, type Scope, type ScopeColumn, type ScopeRelation } from './binder.ts';

/** The dotted parts; `*` as undefined. */
export function fieldParts(ref: ColumnRef): (string | undefined)[] {
  return (ref.fields ?? []).map((field) =>
    'String' in field ? (field.String.sval ?? '') : undefined,
  );
}

export function resolveColumn(binder: Binder, scope: Scope, ref: ColumnRef): Expr {
  const parts = fieldParts(ref).map((part) => part ?? '*');
  const [first = '', second, third, fourth] = parts;
  if (parts.at(-1) === '*' && parts.length > 1) {
    const [schema, name = ''] = parts.length > 2 ? parts.slice(-3, -1) : [undefined, first];
    return wholeRow(binder, findRelation(scope, schema, name, ref.location));
  }
  if (second === undefined) return unqualified(binder, scope, first, ref.location);
  if (third === undefined) return qualified(binder, scope, undefined, first, second, ref.location);
  if (fourth === undefined) return qualified(binder, scope, first, second, third, ref.location);
  return qualified(binder, scope, second, third, fourth, ref.location);
}

function unqualified(binder: Binder, scope: Scope, name: string, location?: number): Expr {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const found = findIn(at.columns, name, `column reference "${name}" is ambiguous`, location);
    if (found !== undefined) return located(binder, found.id, location);
  }
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const hidden = at.relations
      .flatMap((relation) => relation.columns)
      .find((column) => column.name === name && !column.inStar);
    if (hidden !== undefined && !at.columns.includes(hidden))
      return located(binder, hidden.id, location);
  }
  // A relation's name stands for its whole row.
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const relation = at.relations.find((candidate) => candidate.name === name);
    if (relation !== undefined) return wholeRow(binder, relation);
  }
  throw failAt('undefinedColumn', `column "${name}" does not exist`, location);
}

function findIn(
  columns: readonly ScopeColumn[],
  name: string,
  message: string,
  location?: number,
): ScopeColumn | undefined {
  let found: ScopeColumn | undefined;
  for (const column of columns) {
    if (column.name !== name) continue;
    if (found !== undefined && found.id !== column.id) {
      throw failAt('ambiguousColumn', message, location);
    }
    found = column;
  }
  return found;
}

function qualified(
  binder: Binder,
  scope: Scope,
  schema: string | undefined,
  relationName: string,
  name: string,
  location?: number,
): Expr {
  const relation = findRelation(scope, schema, relationName, location);
  const column = findIn(
    relation.columns,
    name,
    `column reference "${name}" is ambiguous`,
    location,
  );
  if (column === undefined) {
    throw failAt('undefinedColumn', `column ${relationName}.${name} does not exist`, location);
  }
  return located(binder, column.id, location);
}

function located(binder: Binder, id: ColumnId, position: number | undefined): Expr {
  const { type, typmod } = binder.info(id);
  return { kind: 'column', id, type, typmod, position };
}

export function findRelation(
  scope: Scope,
  schema: string | undefined,
  name: string,
  location?: number,
): ScopeRelation {
  const found = tryRelation(scope, schema, name, location);
  if (found === undefined) {
    const renamed = scope.relations.find((relation) => relation.table?.name === name);
    if (renamed !== undefined) {
      throw failAt(
        'undefinedTable',
        `invalid reference to FROM-clause entry for table "${name}"`,
        location,
        { hint: `Perhaps you meant to reference the table alias "${renamed.name}".` },
      );
    }
    throw failAt('undefinedTable', `missing FROM-clause entry for table "${name}"`, location);
  }
  return found;
}

export function tryRelation(
  scope: Scope,
  schema: string | undefined,
  name: string,
  location?: number,
): ScopeRelation | undefined {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const found = at.relations.filter(
      (relation) => relation.name === name && (schema === undefined || relation.schema === schema),
    );
    if (found.length > 1) {
      throw failAt('ambiguousColumn', `table reference "${name}" is ambiguous`, location);
    }
    if (found[0] !== undefined) return found[0];
  }
  return undefined;
}

export function wholeRow(binder: Binder, relation: ScopeRelation): Expr {
  const columns = relation.columns.filter((column) => column.inStar);
  const [only] = columns;
  if (relation.scalarFunction && only !== undefined) return binder.reference(only.id);
  return {
    kind: 'row',
    type: recordOid,
    typmod: -1,
    names: columns.map((column) => column.name),
    args: columns.map((column) => binder.reference(column.id)),
    // The row of a named join is put together from its columns above the padding.
    nullable: relation.padded === true && relation.parts === undefined,
  };
}
