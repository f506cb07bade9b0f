/** The first contents of a cluster: the system tables' own rows, three databases and the role root. */
import { type Db } from '../../kv/index.ts';
import { rootRole } from './roles.ts';
import { decodeVersion, encodeVersion, putRole, replaceDescriptor, versionKey } from './store.ts';
import { bootDatabases, bootSchemas, systemTables } from './system-tables.ts';

/** Idempotent: does nothing once a catalog version exists. Any number of nodes may call it at once. */
export async function bootstrapCatalog(db: Db): Promise<void> {
  await db.run({ name: 'bootstrap catalog' }, async (txn) => {
    const record = decodeVersion(await txn.get(versionKey, { lock: 'update' }));
    if (record.version > 0) return;
    for (const descriptor of [...bootDatabases, ...bootSchemas, ...systemTables]) {
      replaceDescriptor(txn, undefined, descriptor);
    }
    putRole(txn, rootRole);
    txn.put(versionKey, encodeVersion({ version: 1, changes: [] }));
  });
}
