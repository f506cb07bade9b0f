/** ALTER ... RENAME TO and SET SCHEMA. Names are looked up at planning, so no statement is disturbed. */
import { type AlterObjectSchemaStmt, type Node, type RenameStmt } from '@pgsql/types';
import {
  changePreparedOwner,
  quoteIdentifier,
  quoteLiteral,
  type RelationDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import {
  done,
  findNamed,
  findTable,
  refuseSystemTable,
  relationExists,
  type Ddl,
} from './context.ts';
import { refusePreparedIn } from './databases.ts';
import { deparseExpression } from './deparse-expression.ts';
import { allIndexes, findColumn, replaceColumn, requireColumn, type TableDraft } from './draft.ts';
import { viewsUsing } from './drop.ts';
import { rangeName } from './nodes.ts';
import { recordIndex, recordObject, recordRename, recordSetSchema } from './object-events.ts';
import { parseOwn } from '../parse/index.ts';

const keep = { drain: false } as const;

export async function rename(ddl: Ddl, stmt: RenameStmt): Promise<StatementResult> {
  const to = stmt.newname ?? '';
  switch (stmt.renameType) {
    case 'OBJECT_DATABASE':
      return renameDatabase(ddl, stmt.subname ?? '', to);
    case 'OBJECT_SCHEMA':
      return renameSchema(ddl, stmt.subname ?? '', to);
    case 'OBJECT_ROLE':
      return renameRole(ddl, stmt.subname ?? '', to);
    case 'OBJECT_COLUMN':
    case 'OBJECT_TABCONSTRAINT':
    case 'OBJECT_TABLE':
    case 'OBJECT_INDEX':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE':
      break;
    default:
      throw sqlError(
        'featureNotSupported',
        `renaming ${(stmt.renameType ?? '').replace('OBJECT_', '')} is not supported`,
      );
  }
  const word = (
    stmt.renameType === 'OBJECT_COLUMN' || stmt.renameType === 'OBJECT_TABCONSTRAINT'
      ? (stmt.relationType ?? stmt.renameType)
      : stmt.renameType
  )
    .replace('OBJECT_', '')
    .replace('TABCONSTRAINT', 'TABLE')
    .replace('ACCESS_METHOD', 'TABLE');
  const tag = `ALTER ${word}`;
  const name = rangeName(stmt.relation);
  if (stmt.missing_ok === true && ddl.catalog.findNamed(name) === undefined) {
    ddl.context.notice('NOTICE', '00000', `relation "${name.name}" does not exist, skipping`);
    return done(tag);
  }
  if (stmt.renameType === 'OBJECT_COLUMN') await renameColumn(ddl, stmt, to);
  else if (stmt.renameType === 'OBJECT_TABCONSTRAINT') {
    renameConstraint(ddl, stmt, to);
    recordObject(ddl, 'alter', findTable(ddl, stmt.relation));
  } else renameRelation(ddl, stmt, to);
  return done(tag);
}

async function renameDatabase(ddl: Ddl, from: string, to: string): Promise<StatementResult> {
  const { snapshot, databaseName } = ddl.catalog;
  const database = snapshot.database(from);
  if (database === undefined)
    throw sqlError('invalidCatalogName', `database "${from}" does not exist`);
  if (from === databaseName)
    throw sqlError('featureNotSupported', 'current database cannot be renamed');
  if (from === 'system')
    throw sqlError('insufficientPrivilege', 'database "system" cannot be renamed');
  if (snapshot.database(to) !== undefined) {
    throw sqlError('duplicateDatabase', `database "${to}" already exists`);
  }
  await refusePreparedIn(ddl, from);
  recordRename(ddl, database, ddl.writer.replace({ ...database, name: to }));
  return done('ALTER DATABASE');
}

function renameSchema(ddl: Ddl, from: string, to: string): StatementResult {
  const database = ddl.catalog.database;
  const schema =
    database === undefined ? undefined : ddl.catalog.snapshot.schema(database.id, from);
  if (database === undefined || schema === undefined) {
    throw sqlError('invalidSchemaName', `schema "${from}" does not exist`);
  }
  if (ddl.catalog.snapshot.schema(database.id, to) !== undefined) {
    throw sqlError('duplicateSchema', `schema "${to}" already exists`);
  }
  if (to.startsWith('pg_')) {
    throw sqlError('reservedName', `unacceptable schema name "${to}"`, {
      detail: 'The prefix "pg_" is reserved for system schemas.',
    });
  }
  recordRename(ddl, schema, ddl.writer.replace({ ...schema, name: to }));
  for (const relation of relationsOf(ddl, (other) => other.schemaId === schema.id)) {
    if (relation.kind === 'sequence') respellDefaults(ddl, relation.id);
  }
  return done('ALTER SCHEMA');
}

async function renameRole(ddl: Ddl, from: string, to: string): Promise<StatementResult> {
  const { roles, memberships } = ddl.catalog.snapshot.data;
  const role = roles.get(from);
  if (role === undefined) throw sqlError('undefinedObject', `role "${from}" does not exist`);
  if (roles.has(to)) throw sqlError('duplicateObject', `role "${to}" already exists`);
  if (from === ddl.context.eval.currentUser) {
    throw sqlError('featureNotSupported', 'current user cannot be renamed');
  }
  await changePreparedOwner(ddl.context.txn, from, to);
  ddl.writer.removeRole(from);
  ddl.writer.putRole({ ...role, name: to });
  for (const entry of memberships) {
    if (entry.role !== from && entry.member !== from) continue;
    ddl.writer.removeMembership(entry);
    ddl.writer.putMembership({
      ...entry,
      role: entry.role === from ? to : entry.role,
      member: entry.member === from ? to : entry.member,
    });
  }
  for (const descriptor of ddl.catalog.snapshot.data.descriptors.values()) {
    if (descriptor.owner === from) ddl.writer.replace({ ...descriptor, owner: to }, keep);
  }
  ddl.context.events.record('alter_role', 0, { RoleName: from, NewRoleName: to });
  return done('ALTER ROLE');
}

function renameRelation(ddl: Ddl, stmt: RenameStmt, to: string): void {
  const found = findNamed(ddl, stmt.relation);
  const owner = found.kind === 'index' ? found.table : found;
  refuseSystemTable(owner);
  if (ddl.catalog.snapshot.named(owner.schemaId, to) !== undefined) throw relationExists(to);
  if (found.kind === 'index') {
    const named = (index: TableDescriptor['primaryIndex']): TableDescriptor['primaryIndex'] =>
      index.id === found.index.id ? { ...index, name: to } : index;
    const { table } = found;
    ddl.writer.replace(
      { ...table, primaryIndex: named(table.primaryIndex), indexes: table.indexes.map(named) },
      keep,
    );
    recordIndex(ddl, 'alter', table, found.index, { NewIndexName: to });
    return;
  }
  refuseUsedByView(ddl, found, `rename ${found.kind} ${found.name}`);
  recordRename(ddl, found, ddl.writer.replace({ ...found, name: to }, keep));
  if (found.kind === 'sequence') respellDefaults(ddl, found.id);
}

/** Views keep the names of what they read. */
function refuseUsedByView(ddl: Ddl, relation: RelationDescriptor, what: string): void {
  const [view] = relationsOf(
    ddl,
    (other) => other.kind === 'view' && other.dependsOn.includes(relation.id),
  );
  if (view === undefined) return;
  throw sqlError('featureNotSupported', `cannot ${what} because view ${view.name} uses it`, {
    hint: 'Drop the view, rename, and create the view again.',
  });
}

async function renameColumn(ddl: Ddl, stmt: RenameStmt, to: string): Promise<void> {
  const from = stmt.subname ?? '';
  const found = findNamed(ddl, stmt.relation);
  if (found.kind === 'view') {
    if (!found.columns.some((column) => column.name === from)) {
      throw sqlError('undefinedColumn', `column "${from}" does not exist`);
    }
    if (found.columns.some((column) => column.name === to)) throw duplicateColumn(found.name, to);
    const columns = found.columns.map((column) =>
      column.name === from ? { ...column, name: to } : column,
    );
    ddl.writer.replace({ ...found, columns });
    recordObject(ddl, 'alter', found);
    return;
  }
  const table = findTable(ddl, stmt.relation);
  const column = requireColumn(table, from);
  if (findColumn(table, to) !== undefined) throw duplicateColumn(table.name, to);
  const [view] = viewsUsing(ddl, table, from);
  if (view !== undefined) {
    throw sqlError(
      'featureNotSupported',
      `cannot rename column ${from} because view ${view.name} uses it`,
    );
  }
  const draft: TableDraft = { ...table };
  replaceColumn(draft, { ...column, name: to });
  const respell = (sql: string): Promise<string> => renameInExpression(sql, from, to);
  draft.checks = await Promise.all(
    draft.checks.map(async (check) =>
      check.columnIds.includes(column.id) ? { ...check, sql: await respell(check.sql) } : check,
    ),
  );
  draft.columns = await Promise.all(
    draft.columns.map(async (other) =>
      other.generatedSql === undefined
        ? other
        : { ...other, generatedSql: await respell(other.generatedSql) },
    ),
  );
  draft.indexes = await Promise.all(
    draft.indexes.map(async (index) =>
      index.predicateSql === undefined
        ? index
        : { ...index, predicateSql: await respell(index.predicateSql) },
    ),
  );
  ddl.writer.replace({ ...draft });
  recordObject(ddl, 'alter', table);
}

function duplicateColumn(table: string, column: string): Error {
  return sqlError('duplicateColumn', `column "${column}" of relation "${table}" already exists`);
}

/** A stored expression with one column under a new name. */
async function renameInExpression(sql: string, from: string, to: string): Promise<string> {
  const statement: Node = await parseOwn(`SELECT ${sql}`);
  const target = 'SelectStmt' in statement ? statement.SelectStmt.targetList?.[0] : undefined;
  const expression =
    target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined;
  return deparseExpression(expression, {
    select: () => {
      throw sqlError('internalError', 'a stored expression holds no query');
    },
    column: (parts) =>
      parts.at(-1) === from
        ? [...parts.slice(0, -1), to].map(quoteIdentifier).join('.')
        : undefined,
  });
}

function renameConstraint(ddl: Ddl, stmt: RenameStmt, to: string): void {
  const table = findTable(ddl, stmt.relation);
  const from = stmt.subname ?? '';
  const index = allIndexes(table).find((other) => other.isConstraint && other.name === from);
  if (index !== undefined) {
    if (ddl.catalog.snapshot.named(table.schemaId, to) !== undefined) throw relationExists(to);
    const named = (other: typeof index): typeof index =>
      other.id === index.id ? { ...other, name: to } : other;
    ddl.writer.replace(
      { ...table, primaryIndex: named(table.primaryIndex), indexes: table.indexes.map(named) },
      keep,
    );
    return;
  }
  const isCheck = table.checks.some((check) => check.name === from);
  const key = table.foreignKeys.find((other) => other.name === from);
  if (!isCheck && key === undefined) {
    throw sqlError(
      'undefinedObject',
      `constraint "${from}" for table "${table.name}" does not exist`,
    );
  }
  const named = <T extends { readonly name: string }>(item: T): T =>
    item.name === from ? { ...item, name: to } : item;
  const changed = {
    ...table,
    checks: table.checks.map(named),
    foreignKeys: table.foreignKeys.map(named),
  };
  const back = (entry: { readonly tableId: number; readonly name: string }): typeof entry =>
    entry.tableId === table.id && entry.name === from ? { ...entry, name: to } : entry;
  if (key?.referencedTableId === table.id) {
    ddl.writer.replace({ ...changed, referencedBy: table.referencedBy.map(back) }, keep);
    return;
  }
  ddl.writer.replace(changed, keep);
  const other = ddl.catalog.snapshot.tableById(key?.referencedTableId ?? 0);
  if (other !== undefined) {
    ddl.writer.replace({ ...other, referencedBy: other.referencedBy.map(back) }, keep);
  }
}

export async function setSchema(ddl: Ddl, stmt: AlterObjectSchemaStmt): Promise<StatementResult> {
  const tag = `ALTER ${(stmt.objectType ?? '').replace('OBJECT_', '')}`;
  const name = rangeName(stmt.relation);
  if (stmt.missing_ok === true && ddl.catalog.findNamed(name) === undefined) {
    ddl.context.notice('NOTICE', '00000', `relation "${name.name}" does not exist, skipping`);
    return done(tag);
  }
  const found = findNamed(ddl, stmt.relation);
  if (found.kind === 'index') throw sqlError('wrongObjectType', `"${name.name}" is an index`);
  refuseSystemTable(found);
  const schema = ddl.catalog.snapshot.schema(found.databaseId, stmt.newschema ?? '');
  if (schema === undefined) {
    throw sqlError('invalidSchemaName', `schema "${stmt.newschema ?? ''}" does not exist`);
  }
  if (schema.id === found.schemaId) return done(tag);
  if (ddl.catalog.snapshot.named(schema.id, found.name) !== undefined) {
    throw sqlError(
      'duplicateTable',
      `relation "${found.name}" already exists in schema "${schema.name}"`,
    );
  }
  refuseUsedByView(ddl, found, `move ${found.kind} ${found.name}`);
  if (found.kind === 'table') {
    for (const column of found.columns) {
      for (const id of column.ownedSequenceIds ?? []) {
        const sequence = ddl.catalog.snapshot.byId(id);
        if (sequence?.kind === 'sequence') ddl.writer.replace({ ...sequence, schemaId: schema.id });
      }
    }
  }
  recordSetSchema(ddl, found, ddl.writer.replace({ ...found, schemaId: schema.id }, keep));
  const moved =
    found.kind === 'table'
      ? found.columns.flatMap((column) => column.ownedSequenceIds ?? [])
      : [found.id];
  for (const id of moved) respellDefaults(ddl, id);
  return done(tag);
}

/** Defaults name their sequence; after it moved they must name it anew. */
function respellDefaults(ddl: Ddl, sequenceId: number): void {
  const { snapshot } = ddl.catalog;
  const sequence = snapshot.byId(sequenceId);
  if (sequence?.kind !== 'sequence' || sequence.ownedBy === undefined) return;
  const table = snapshot.tableById(sequence.ownedBy.tableId);
  if (table === undefined) return;
  const schema = snapshot.schemaName(sequence.schemaId);
  const text = `nextval(${quoteLiteral(`${quoteIdentifier(schema)}.${quoteIdentifier(sequence.name)}`)}::regclass)`;
  const columns = table.columns.map((column) =>
    column.ownedSequenceIds?.includes(sequenceId) === true &&
    column.defaultSql?.startsWith('nextval(') === true
      ? { ...column, defaultSql: text }
      : column,
  );
  ddl.writer.replace({ ...table, columns });
}

function relationsOf(
  ddl: Ddl,
  wanted: (relation: RelationDescriptor) => boolean,
): RelationDescriptor[] {
  const found: RelationDescriptor[] = [];
  for (const descriptor of ddl.catalog.snapshot.data.descriptors.values()) {
    if (descriptor.kind === 'database' || descriptor.kind === 'schema') continue;
    if (wanted(descriptor)) found.push(descriptor);
  }
  return found;
}
