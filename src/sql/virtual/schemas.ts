/** All virtual tables by name and oid. */
import {
  type SequenceDescriptor,
  type VirtualSchemas,
  type VirtualTable,
} from '../catalog/index.ts';
import { lastValue } from '../ddl/index.ts';
import { virtualTable } from './build.ts';
import { informationSchemaTables } from './information-schema.ts';
import { pgCatalogTables } from './pg-catalog.ts';
import { pgSessionTables } from './pg-sessions.ts';
import { pgTypeTables } from './pg-types.ts';
import { type VirtualProviders } from './providers.ts';
import { skeinInternalTables } from './skein-internal.ts';

const aliases: Readonly<Record<string, string>> = {
  crdb_internal: 'skein_internal',
  kwdb_internal: 'skein_internal',
};

/** The one row of a sequence, as it is now. */
function sequenceTable(sequence: SequenceDescriptor, schema: string): VirtualTable {
  return virtualTable(
    schema,
    sequence.name,
    sequence.id,
    'last_value:int8 log_cnt:int8 is_called:bool',
    async ({ context }) => {
      const last = await lastValue(context.db, sequence);
      return [
        { last_value: last ?? BigInt(sequence.start), log_cnt: 0n, is_called: last !== undefined },
      ];
    },
  );
}

/** One per node. */
export function createVirtualSchemas(providers: VirtualProviders = {}): VirtualSchemas {
  const tables: VirtualTable[] = [];
  const all = (): readonly VirtualTable[] => tables;
  tables.push(
    ...pgCatalogTables(all),
    ...pgTypeTables(),
    ...pgSessionTables(providers),
    ...informationSchemaTables(all),
    ...skeinInternalTables(providers),
  );
  const byName = new Map(tables.map((table) => [`${table.schema}.${table.name}`, table]));
  const byOid = new Map(tables.map((table) => [table.oid, table]));
  const names = ['pg_catalog', 'information_schema', 'skein_internal'];
  const real = (schema: string): string => aliases[schema] ?? schema;
  return {
    names,
    tables,
    has: (schema) => names.includes(real(schema)),
    find: (schema, name) => byName.get(`${real(schema)}.${name}`),
    byOid: (oid) => byOid.get(oid),
    ofSequence: sequenceTable,
  };
}
