/** Constraints on a table draft: PRIMARY KEY, UNIQUE, CHECK, FOREIGN KEY. Nothing is checked against rows here. */
import { type Constraint, type Node } from '@pgsql/types';
import {
  quoteIdentifier,
  referencedIndexes,
  type CheckDescriptor,
  type ColumnDescriptor,
  type ForeignKeyDescriptor,
  type IndexDescriptor,
  type ReferentialAction,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { functionsByName, referenceTypes } from '../functions/index.ts';
import { formatType, oids } from '../types/index.ts';
import { refuseDeferrable } from './columns.ts';
import { bindQuery, chooseName, findTable, qualifiedText, runQuery, type Ddl } from './context.ts';
import {
  columnById,
  columnNames,
  constraintNames,
  containsNulls,
  findColumn,
  replaceColumn,
  requireKeyColumn,
  suffixFor,
  type TableDraft,
} from './draft.ts';
import { stringOf, strings, visitNodes } from './nodes.ts';
import { storedForTable } from './stored-expressions.ts';

export interface IndexSpec {
  readonly name: string;
  readonly unique: boolean;
  readonly columns: IndexDescriptor['columns'];
  readonly storedColumnIds?: readonly number[];
  readonly isConstraint: boolean;
  readonly predicateSql?: string | undefined;
  readonly nullsNotDistinct?: boolean | undefined;
}

const maxIndexColumns = 32;

/** Takes the draft's next index id. */
export function makeIndex(draft: TableDraft, spec: IndexSpec): IndexDescriptor {
  if (spec.columns.length > maxIndexColumns) {
    throw sqlError('tooManyColumns', `cannot use more than ${maxIndexColumns} columns in an index`);
  }
  for (const { columnId } of spec.columns) checkIndexable(columnById(draft, columnId));
  return {
    id: draft.nextIndexId++,
    name: spec.name,
    unique: spec.unique,
    columns: spec.columns,
    suffixColumnIds: suffixFor(draft.primaryIndex, spec.columns),
    storedColumnIds: spec.storedColumnIds ?? [],
    isConstraint: spec.isConstraint,
    ...(spec.predicateSql === undefined ? {} : { predicateSql: spec.predicateSql }),
    ...(spec.nullsNotDistinct === true ? { nullsNotDistinct: true } : {}),
    state: 'public',
  };
}

function checkIndexable(column: ColumnDescriptor | undefined): void {
  if (column?.typeOid !== oids.json) return;
  throw sqlError(
    'undefinedObject',
    `data type ${formatType(column.typeOid)} has no default operator class for access method "btree"`,
    {
      hint: 'You must specify an operator class for the index or define a default operator class for the data type.',
    },
  );
}

/** Columns named in a key, each once. */
function keyColumns(
  draft: TableDescriptor,
  keys: readonly Node[] | undefined,
  what: string,
): ColumnDescriptor[] {
  const columns: ColumnDescriptor[] = [];
  for (const name of strings(keys)) {
    const column = requireKeyColumn(draft, name);
    if (columns.includes(column)) {
      throw sqlError('duplicateColumn', `column "${name}" appears twice in ${what} constraint`);
    }
    columns.push(column);
  }
  return columns;
}

const ascending = (columns: readonly ColumnDescriptor[]): IndexDescriptor['columns'] =>
  columns.map((column) => ({ columnId: column.id, descending: false }));

/** True when an index or relation of that name exists in the draft's schema, or in the draft itself. */
export function isNameTaken(ddl: Ddl, draft: TableDraft, name: string): boolean {
  if (draft.name === name) return true;
  const own = [...draft.indexes, ...(draft.primaryIndex.id === 0 ? [] : [draft.primaryIndex])];
  return (
    own.some((index) => index.name === name) ||
    ddl.catalog.snapshot.named(draft.schemaId, name) !== undefined
  );
}

export function indexName(
  ddl: Ddl,
  draft: TableDraft,
  given: string | undefined,
  parts: { readonly columns?: readonly string[]; readonly suffix: string },
): string {
  if (given === undefined) {
    return chooseName({ table: draft.name, ...parts }, (name) => isNameTaken(ddl, draft, name));
  }
  if (isNameTaken(ddl, draft, given)) {
    throw sqlError('duplicateTable', `relation "${given}" already exists`);
  }
  return given;
}

/** The primary index a constraint asks for; marks its columns NOT NULL in the draft. */
export function primaryKey(ddl: Ddl, draft: TableDraft, constraint: Constraint): IndexDescriptor {
  if (constraint.deferrable === true) refuseDeferrable();
  if (constraint.indexname !== undefined) {
    throw sqlError('featureNotSupported', 'PRIMARY KEY USING INDEX is not supported');
  }
  const columns = keyColumns(draft, constraint.keys, 'primary key');
  const name = indexName(ddl, draft, constraint.conname, { suffix: 'pkey' });
  for (const column of columns) replaceColumn(draft, { ...column, nullable: false });
  const index = makeIndex(draft, {
    name,
    unique: true,
    columns: ascending(columns),
    isConstraint: true,
  });
  return { ...index, suffixColumnIds: [] };
}

const rowIdColumn = 'rowid';

/**
 * What fills a hidden key: unique_rowid() where the function registry has it (COPY calls it without a detour), else
 * the built-in sequence of the same name, which hands out the same ids.
 */
export function rowIdDefault(): string {
  return functionsByName('unique_rowid').length > 0
    ? 'unique_rowid()'
    : "nextval('pg_catalog.unique_rowid'::regclass)";
}

/** The hidden key of a table declared without one. */
export function implicitKey(draft: TableDraft): IndexDescriptor {
  let name = rowIdColumn;
  for (let i = 1; draft.columns.some((column) => column.name === name); i++)
    name = `${rowIdColumn}_${i}`;
  const column: ColumnDescriptor = {
    id: draft.nextColumnId++,
    name,
    typeOid: oids.int8,
    typmod: -1,
    nullable: false,
    defaultSql: rowIdDefault(),
    hidden: true,
    state: 'public',
  };
  draft.columns = [...draft.columns, column];
  return {
    id: draft.nextIndexId++,
    name: `${draft.name}_${name}_pkey`,
    unique: true,
    columns: [{ columnId: column.id, descending: false }],
    suffixColumnIds: [],
    storedColumnIds: [],
    isConstraint: false,
    state: 'public',
  };
}

/** An index for a UNIQUE constraint. */
export function uniqueConstraint(
  ddl: Ddl,
  draft: TableDraft,
  constraint: Constraint,
): IndexDescriptor {
  if (constraint.deferrable === true) refuseDeferrable();
  const columns = keyColumns(draft, constraint.keys, 'unique');
  const names = columns.map((column) => column.name);
  return makeIndex(draft, {
    name: indexName(ddl, draft, constraint.conname, { columns: names, suffix: 'key' }),
    unique: true,
    columns: ascending(columns),
    storedColumnIds: strings(constraint.including).map((name) => requireKeyColumn(draft, name).id),
    isConstraint: true,
    nullsNotDistinct: constraint.nulls_not_distinct,
  });
}

function newConstraintName(
  draft: TableDraft,
  given: string | undefined,
  columns: readonly string[],
  suffix: string,
): string {
  const names = constraintNames(draft);
  if (given === undefined) {
    return chooseName({ table: draft.name, columns, suffix }, (name) => names.has(name));
  }
  if (names.has(given)) {
    throw sqlError(
      'duplicateObject',
      `constraint "${given}" for relation "${draft.name}" already exists`,
    );
  }
  return given;
}

/** Adds a CHECK to the draft. `column` names it when the constraint stands beside a column. */
export function addCheck(
  ddl: Ddl,
  draft: TableDraft,
  constraint: Constraint,
  column?: string,
): CheckDescriptor {
  const expression = constraint.raw_expr;
  if (expression === undefined) throw sqlError('syntaxError', 'a check expression is expected');
  visitNodes(expression, 'SubLink', () => {
    throw sqlError('featureNotSupported', 'cannot use subquery in check constraint');
  });
  const used: string[] = [];
  visitNodes(expression, 'ColumnRef', (node) => {
    const fields = (node as { readonly fields?: readonly Node[] }).fields ?? [];
    const name = stringOf(fields.at(-1));
    if (findColumn(draft, name) !== undefined && !used.includes(name)) used.push(name);
  });
  const forName = column !== undefined ? [column] : used.length === 1 ? used : [];
  const check: CheckDescriptor = {
    name: newConstraintName(draft, constraint.conname, forName, 'check'),
    sql: storedForTable(ddl, draft, expression),
    columnIds: used.flatMap((name) => findColumn(draft, name)?.id ?? []),
    validated: constraint.skip_validation !== true,
  };
  draft.checks = [...draft.checks, check];
  return check;
}

/** Holds new rows to NOT NULL while those that are there still have to be looked at. Returns its `becomesNotNull`. */
export async function addNotNullCheck(
  ddl: Ddl,
  draft: TableDraft,
  column: ColumnDescriptor,
): Promise<number> {
  const becomesNotNull = await ddl.writer.newId();
  const check: CheckDescriptor = {
    name: newConstraintName(draft, undefined, [column.name], 'not_null'),
    sql: `${quoteIdentifier(column.name)} IS NOT NULL`,
    columnIds: [column.id],
    validated: false,
    becomesNotNull,
  };
  draft.checks = [...draft.checks, check];
  return becomesNotNull;
}

/** Binds a check of a table that the transaction sees. */
export async function checkBoolean(
  ddl: Ddl,
  table: TableDescriptor,
  sql: string,
  what: string,
): Promise<void> {
  const from = qualifiedText(ddl.catalog, table);
  await bindQuery(ddl.context, `SELECT 1 FROM ${from} WHERE ${sql}`).catch((error: unknown) => {
    if (error instanceof Error && /must be type boolean|type boolean/.test(error.message)) {
      throw sqlError('datatypeMismatch', `argument of ${what} must be type boolean`);
    }
    throw error;
  });
}

const actions: Readonly<Record<string, ReferentialAction>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

/** Adds a foreign key to the draft and notes it at the referenced table (also when that is the draft). */
export function addForeignKey(
  ddl: Ddl,
  draft: TableDraft,
  constraint: Constraint,
): ForeignKeyDescriptor {
  if (constraint.deferrable === true) refuseDeferrable();
  if ((constraint.fk_del_set_cols ?? []).length > 0) {
    throw sqlError('featureNotSupported', 'column lists of ON DELETE SET are not supported');
  }
  if (constraint.fk_matchtype === 'p') {
    throw sqlError('featureNotSupported', 'MATCH PARTIAL not yet implemented');
  }
  const columns = keyColumns(draft, constraint.fk_attrs, 'foreign key');
  const isSelf =
    constraint.pktable?.relname === draft.name &&
    (constraint.pktable.schemaname === undefined ||
      constraint.pktable.schemaname === ddl.catalog.snapshot.schemaName(draft.schemaId));
  const referenced: TableDescriptor = isSelf ? draft : findTable(ddl, constraint.pktable);
  const referencedIds = referencedColumns(referenced, constraint.pk_attrs);
  const name = newConstraintName(
    draft,
    constraint.conname,
    columns.map((column) => column.name),
    'fkey',
  );
  if (referencedIds.length !== columns.length) {
    throw sqlError(
      'invalidForeignKey',
      'number of referencing and referenced columns for foreign key disagree',
    );
  }
  const key: ForeignKeyDescriptor = {
    name,
    columnIds: columns.map((column) => column.id),
    referencedTableId: referenced.id,
    referencedColumnIds: referencedIds,
    onDelete: actions[constraint.fk_del_action ?? 'a'] ?? 'no action',
    onUpdate: actions[constraint.fk_upd_action ?? 'a'] ?? 'no action',
    match: constraint.fk_matchtype === 'f' ? 'full' : 'simple',
    validated: constraint.skip_validation !== true,
  };
  checkComparable(draft, key, referenced);
  draft.foreignKeys = [...draft.foreignKeys, key];
  const back = { tableId: draft.id, name };
  if (isSelf) draft.referencedBy = [...draft.referencedBy, back];
  else ddl.writer.replace({ ...referenced, referencedBy: [...referenced.referencedBy, back] });
  return key;
}

/** Ids of the referenced columns: a unique key of the table. Throws 42830. */
function referencedColumns(
  table: TableDescriptor,
  attributes: readonly Node[] | undefined,
): readonly number[] {
  if ((attributes ?? []).length === 0) {
    if (!table.primaryIndex.isConstraint) {
      throw sqlError(
        'undefinedObject',
        `there is no primary key for referenced table "${table.name}"`,
      );
    }
    return table.primaryIndex.columns.map(({ columnId }) => columnId);
  }
  const ids = strings(attributes).map((name) => {
    const column = findColumn(table, name);
    if (column === undefined) {
      throw sqlError(
        'undefinedColumn',
        `column "${name}" referenced in foreign key constraint does not exist`,
      );
    }
    return column.id;
  });
  if (referencedIndexes(table, ids).length === 0) {
    throw sqlError(
      'invalidForeignKey',
      `there is no unique constraint matching given keys for referenced table "${table.name}"`,
    );
  }
  return ids;
}

/** Throws 42804 when the columns of the key cannot be compared with those they refer to. */
export function checkComparable(
  table: TableDescriptor,
  key: ForeignKeyDescriptor,
  referenced: TableDescriptor,
): void {
  for (const [at, columnId] of key.columnIds.entries()) {
    const own = columnById(table, columnId);
    const other = columnById(referenced, key.referencedColumnIds[at] ?? 0);
    if (own === undefined || other === undefined) continue;
    if (referenceTypes(own.typeOid, other.typeOid) !== undefined) continue;
    throw sqlError(
      'datatypeMismatch',
      `foreign key constraint "${key.name}" cannot be implemented`,
      {
        detail: `Key columns "${own.name}" and "${other.name}" are of incompatible types: ${formatType(own.typeOid)} and ${formatType(other.typeOid)}.`,
      },
    );
  }
}

/** Looks for a row that breaks a check. Throws 23514. */
export async function validateCheck(
  ddl: Ddl,
  table: TableDescriptor,
  check: CheckDescriptor,
): Promise<void> {
  const from = qualifiedText(ddl.catalog, table);
  const rows = await runQuery(
    ddl.context,
    `SELECT 1 FROM ${from} WHERE NOT (${check.sql}) LIMIT 1`,
  );
  if (rows.length === 0) return;
  throw sqlError(
    'checkViolation',
    `check constraint "${check.name}" of relation "${table.name}" is violated by some row`,
    { table: table.name, constraint: check.name },
  );
}

/** Looks for a row without its referenced row. Throws 23503. */
export async function validateForeignKey(
  ddl: Ddl,
  table: TableDescriptor,
  key: ForeignKeyDescriptor,
): Promise<void> {
  const referenced = ddl.catalog.snapshot.tableById(key.referencedTableId);
  if (referenced === undefined) return;
  const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
  const own = columnNames(table, key.columnIds).map((name) => `a.${quote(name)}`);
  const other = columnNames(referenced, key.referencedColumnIds).map((name) => `b.${quote(name)}`);
  const notNull = own.map((name) => `${name} IS NOT NULL`).join(' AND ');
  const equal = key.columnIds
    .map((id, at) => {
      const type = columnById(table, id)?.typeOid ?? 0;
      const otherType = columnById(referenced, key.referencedColumnIds[at] ?? 0)?.typeOid ?? 0;
      const isCast = type !== otherType && referenceTypes(type, otherType)?.asParent === true;
      return `${own[at]}${isCast ? `::${formatType(otherType, -1)}` : ''} = ${other[at]}`;
    })
    .join(' AND ');
  const mixed =
    key.match === 'full' && own.length > 1
      ? ` OR ((${own.map((name) => `${name} IS NOT NULL`).join(' OR ')}) AND NOT (${notNull}))`
      : '';
  const rows = await runQuery(
    ddl.context,
    `SELECT ${own.map((name) => `${name}::text`).join(', ')} FROM ${qualifiedText(ddl.catalog, table)} AS a ` +
      `WHERE (${notNull} AND NOT EXISTS (SELECT 1 FROM ${qualifiedText(ddl.catalog, referenced)} AS b WHERE ${equal}))${mixed} LIMIT 1`,
  );
  const row = rows[0];
  if (row === undefined) return;
  const names = columnNames(table, key.columnIds).join(', ');
  throw sqlError(
    'foreignKeyViolation',
    `insert or update on table "${table.name}" violates foreign key constraint "${key.name}"`,
    {
      detail: `Key (${names})=(${row.map(String).join(', ')}) is not present in table "${referenced.name}".`,
      table: table.name,
      constraint: key.name,
    },
  );
}

/** Looks for a NULL. Throws 23502. */
export async function validateNotNull(
  ddl: Ddl,
  table: TableDescriptor,
  column: ColumnDescriptor,
): Promise<void> {
  const name = `"${column.name.replaceAll('"', '""')}"`;
  const from = qualifiedText(ddl.catalog, table);
  const rows = await runQuery(ddl.context, `SELECT 1 FROM ${from} WHERE ${name} IS NULL LIMIT 1`);
  if (rows.length > 0) throw containsNulls(table, column);
}
