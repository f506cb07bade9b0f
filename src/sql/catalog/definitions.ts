/** Definitions of objects as SQL text: pg_get_indexdef(), pg_get_constraintdef(), SHOW CREATE TABLE. */
import {
  type CheckDescriptor,
  type ColumnDescriptor,
  type ForeignKeyDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
} from './descriptors.ts';
import { formatType } from '../types/index.ts';
import { partitionValues } from './partitions.ts';
import { quoteIdentifier, quoteList } from './quote.ts';
import { isImplicitKey, type CatalogSnapshot } from './snapshot.ts';

/** How to write the name of another relation: always qualified, or as search_path allows. */
export type NameText = (relation: { readonly schemaId: number; readonly name: string }) => string;

export function qualifiedNames(snapshot: CatalogSnapshot): NameText {
  return ({ schemaId, name }) =>
    `${quoteIdentifier(snapshot.schemaName(schemaId))}.${quoteIdentifier(name)}`;
}

/** Qualified unless the first relation of that name on the path is the one meant. */
export function visibleNames(
  snapshot: CatalogSnapshot,
  databaseId: number,
  path: readonly string[],
): NameText {
  const qualified = qualifiedNames(snapshot);
  return (relation) => {
    for (const schemaName of path) {
      const schema = snapshot.schema(databaseId, schemaName);
      if (schema === undefined) continue;
      if (schema.id === relation.schemaId) return quoteIdentifier(relation.name);
      if (snapshot.named(schema.id, relation.name) !== undefined) break;
    }
    return qualified(relation);
  };
}

function names(table: TableDescriptor, ids: readonly number[]): string[] {
  return ids.map((id) => table.columns.find((column) => column.id === id)?.name ?? '?');
}

/** `a, b DESC`. */
export function indexColumnsText(table: TableDescriptor, index: IndexDescriptor): string {
  return index.columns
    .map(({ columnId, descending }) => {
      const [name = '?'] = names(table, [columnId]);
      return `${quoteIdentifier(name)}${descending ? ' DESC' : ''}`;
    })
    .join(', ');
}

export function indexDefinition(
  table: TableDescriptor,
  index: IndexDescriptor,
  name: NameText,
): string {
  const parts = [
    `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdentifier(index.name)} ON ${name(table)} USING btree (${indexColumnsText(table, index)})`,
  ];
  if (index.storedColumnIds.length > 0)
    parts.push(`INCLUDE (${quoteList(names(table, index.storedColumnIds))})`);
  if (index.nullsNotDistinct === true) parts.push('NULLS NOT DISTINCT');
  if (index.predicateSql !== undefined) parts.push(`WHERE ${index.predicateSql}`);
  return parts.join(' ');
}

export function keyConstraintDefinition(table: TableDescriptor, index: IndexDescriptor): string {
  const word =
    index.id === table.primaryIndex.id
      ? 'PRIMARY KEY'
      : index.nullsNotDistinct === true
        ? 'UNIQUE NULLS NOT DISTINCT'
        : 'UNIQUE';
  const columns = quoteList(
    names(
      table,
      index.columns.map(({ columnId }) => columnId),
    ),
  );
  const include =
    index.storedColumnIds.length === 0
      ? ''
      : ` INCLUDE (${quoteList(names(table, index.storedColumnIds))})`;
  return `${word} (${columns})${include}`;
}

export function checkDefinition(check: CheckDescriptor): string {
  const sql = check.sql.startsWith('(') ? check.sql : `(${check.sql})`;
  return `CHECK (${sql})${check.validated ? '' : ' NOT VALID'}`;
}

export function foreignKeyDefinition(
  snapshot: CatalogSnapshot,
  table: TableDescriptor,
  key: ForeignKeyDescriptor,
  name: NameText,
): string {
  const referenced = snapshot.tableById(key.referencedTableId);
  const target =
    referenced === undefined
      ? '?'
      : `${name(referenced)}(${quoteList(names(referenced, key.referencedColumnIds))})`;
  let text = `FOREIGN KEY (${quoteList(names(table, key.columnIds))}) REFERENCES ${target}`;
  if (key.match === 'full') text += ' MATCH FULL';
  if (key.onUpdate !== 'no action') text += ` ON UPDATE ${key.onUpdate.toUpperCase()}`;
  if (key.onDelete !== 'no action') text += ` ON DELETE ${key.onDelete.toUpperCase()}`;
  return key.validated ? text : `${text} NOT VALID`;
}

/** A stored expression with sequence names as short as search_path allows. */
export function displayExpression(sql: string, path: readonly string[]): string {
  return sql.replaceAll(
    /nextval\('((?:"[^"]*"|[^.'"])+)\.((?:[^']|'')*)'::regclass\)/g,
    (all, schema: string, name: string) =>
      path.includes(schema.replaceAll('"', '')) ? `nextval('${name}'::regclass)` : all,
  );
}

/** `name type [NOT NULL] [DEFAULT ...]`. */
function columnDefinition(column: ColumnDescriptor): string {
  const parts = [quoteIdentifier(column.name), formatType(column.typeOid, column.typmod)];
  if (!column.nullable) parts.push('NOT NULL');
  if (column.identity !== undefined) {
    parts.push(`GENERATED ${column.identity === 'always' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY`);
  } else if (column.generatedSql !== undefined) {
    parts.push(`GENERATED ALWAYS AS (${column.generatedSql}) STORED`);
  } else if (column.defaultSql !== undefined) parts.push(`DEFAULT ${column.defaultSql}`);
  return parts.join(' ');
}

/** One statement that makes the table, followed by those for its other indexes. */
export function createTableText(snapshot: CatalogSnapshot, table: TableDescriptor): string {
  const name = qualifiedNames(snapshot);
  const lines: string[] = [];
  for (const column of table.columns) {
    if (column.state === 'public' && column.hidden !== true) lines.push(columnDefinition(column));
  }
  const constraint = (constraintName: string, text: string): void => {
    lines.push(`CONSTRAINT ${quoteIdentifier(constraintName)} ${text}`);
  };
  if (!isImplicitKey(table))
    constraint(table.primaryIndex.name, keyConstraintDefinition(table, table.primaryIndex));
  for (const index of table.indexes) {
    if (index.isConstraint) constraint(index.name, keyConstraintDefinition(table, index));
  }
  for (const check of table.checks) constraint(check.name, checkDefinition(check));
  for (const key of table.foreignKeys)
    constraint(key.name, foreignKeyDefinition(snapshot, table, key, name));
  const partitions = partitionClause(table, table.primaryIndex);
  const statements = [`CREATE TABLE ${name(table)} (\n\t${lines.join(',\n\t')}\n)${partitions}`];
  for (const index of table.indexes) {
    if (!index.isConstraint && index.state === 'public')
      statements.push(indexDefinition(table, index, name));
    if (index.partitioning !== undefined) {
      const target = `${name(table)}@${quoteIdentifier(index.name)}`;
      statements.push(`ALTER INDEX ${target}${partitionClause(table, index)}`);
    }
  }
  return statements.join(';\n');
}

/** ` PARTITION BY ...`, as CREATE TABLE and ALTER take it; empty when there is nothing to say. */
function partitionClause(table: TableDescriptor, index: IndexDescriptor): string {
  const { partitioning } = index;
  if (partitioning === undefined) return '';
  const { kind, columns, partitions } = partitioning;
  const names = index.columns
    .slice(0, columns)
    .map(({ columnId }) => table.columns.find(({ id }) => id === columnId)?.name ?? '');
  const lines = partitions.map((partition) => {
    const values = partitionValues(kind, partition);
    const bounds = kind === 'list' ? `IN (${values})` : `FROM ${values}`;
    return `PARTITION ${quoteIdentifier(partition.name)} VALUES ${bounds}`;
  });
  return ` PARTITION BY ${kind.toUpperCase()} (${quoteList(names)}) (\n\t${lines.join(',\n\t')}\n)`;
}
