/** The tables of a changefeed: which may be watched, and by whom. */
import {
  holdsPrivilege,
  systemIds,
  type QualifiedName,
  type SessionCatalog,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type NameParts } from '../parse/index.ts';

/** Throws 42P01, 42809, 42501; 0A000 for tables of the system, 22023 for one that is named twice. */
export async function changefeedTables(
  catalog: SessionCatalog,
  names: readonly NameParts[],
): Promise<readonly TableDescriptor[]> {
  const tables: TableDescriptor[] = [];
  for (const parts of names) {
    const table = await tableNamed(catalog, parts);
    if (tables.some(({ id }) => id === table.id)) {
      throw sqlError('invalidParameterValue', `table "${table.name}" is specified more than once`);
    }
    tables.push(table);
  }
  return tables;
}

async function tableNamed(catalog: SessionCatalog, parts: NameParts): Promise<TableDescriptor> {
  const written = parts.join('.');
  const [name = '', schema, database] = parts.toReversed();
  const qualified: QualifiedName = { name, schema, catalog: database };
  const relation = await catalog.findRelation(qualified);
  if (relation === undefined) {
    throw sqlError('undefinedTable', `relation "${written}" does not exist`);
  }
  if (relation.kind !== 'table') {
    throw sqlError('wrongObjectType', `"${written}" is not a table that can be watched`);
  }
  const { table } = relation;
  if (table.databaseId === systemIds.systemDatabase) {
    throw sqlError('featureNotSupported', 'changefeeds are not supported on system tables');
  }
  if (!holdsPrivilege(catalog.snapshot, catalog.userName, table, 'select')) {
    throw sqlError('insufficientPrivilege', `permission denied for table ${table.name}`);
  }
  return table;
}
