/** Objects under their full names. */
import { type Descriptor } from './descriptors.ts';
import { quoteIdentifier } from './quote.ts';
import { type CatalogSnapshot } from './snapshot.ts';

/** `database`, `database.schema`, `database.schema.table`, quoted where needed. */
export function objectName(snapshot: CatalogSnapshot, object: Descriptor): string {
  const parts = [object.name];
  if (object.kind !== 'database') {
    if (object.kind !== 'schema') parts.unshift(snapshot.schemaName(object.schemaId));
    parts.unshift(snapshot.byId(object.databaseId)?.name ?? '');
  }
  return parts.map(quoteIdentifier).join('.');
}
