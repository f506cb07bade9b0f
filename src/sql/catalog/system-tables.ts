/**
 * The tables of the `system` database. They are ordinary tables, known before anything can be read: their
 * descriptors are constants here and are also written to system.descriptor by the bootstrap, so that
 * SQL sees them like any other table.
 */
import {
  type ColumnDescriptor,
  type DatabaseDescriptor,
  type SchemaDescriptor,
  type TableDescriptor,
} from './descriptors.ts';

export const rootUser = 'root';

/** pg_type oids used by system tables. */
const oids = { bool: 16, int8: 20, text: 25, json: 114, float8: 701, timestamptz: 1184 } as const;

export const systemIds = {
  systemDatabase: 1,
  namespace: 2,
  descriptor: 3,
  users: 4,
  zones: 5,
  settings: 6,
  roleMembers: 7,
  jobs: 8,
  preparedTransactions: 9,
  eventlog: 12,
  rangelog: 13,
  replicationConstraintStats: 25,
  replicationCriticalLocalities: 26,
  replicationStats: 27,
  reportsMeta: 28,
  systemPublic: 29,
  defaultDatabase: 100,
  defaultPublic: 101,
  postgresDatabase: 102,
  postgresPublic: 103,
} as const;

/** pg_authid.oid of root, PostgreSQL's bootstrap superuser. */
export const rootOid = 10;

type ColumnSpec = readonly [name: string, type: keyof typeof oids, nullable?: 'null'];

function systemTable(
  id: number,
  name: string,
  specs: readonly ColumnSpec[],
  key: readonly string[],
): TableDescriptor {
  const columns = specs.map(([columnName, type, nullable], at): ColumnDescriptor => ({
    id: at + 1,
    name: columnName,
    typeOid: oids[type],
    typmod: -1,
    nullable: nullable === 'null',
    state: 'public',
  }));
  const columnId = (columnName: string): number =>
    specs.findIndex(([candidate]) => candidate === columnName) + 1;
  return {
    kind: 'table',
    id,
    version: 1,
    databaseId: systemIds.systemDatabase,
    schemaId: systemIds.systemPublic,
    name,
    owner: rootUser,
    columns,
    primaryIndex: {
      id: 1,
      name: `${name}_pkey`,
      unique: true,
      columns: key.map((columnName) => ({ columnId: columnId(columnName), descending: false })),
      suffixColumnIds: [],
      storedColumnIds: [],
      isConstraint: true,
      state: 'public',
    },
    indexes: [],
    checks: [],
    foreignKeys: [],
    referencedBy: [],
    nextColumnId: columns.length + 1,
    nextIndexId: 2,
    state: 'public',
  };
}

/** Parent 0: a database; parent schema 0: a schema; else a relation. */
export const namespaceTable = systemTable(
  systemIds.namespace,
  'namespace',
  [
    ['parent_id', 'int8'],
    ['parent_schema_id', 'int8'],
    ['name', 'text'],
    ['id', 'int8'],
  ],
  ['parent_id', 'parent_schema_id', 'name'],
);

export const descriptorTable = systemTable(
  systemIds.descriptor,
  'descriptor',
  [
    ['id', 'int8'],
    ['descriptor', 'json'],
  ],
  ['id'],
);

export const usersTable = systemTable(
  systemIds.users,
  'users',
  [
    ['name', 'text'],
    ['oid', 'int8'],
    ['options', 'json'],
    ['password', 'text', 'null'],
  ],
  ['name'],
);

export const roleMembersTable = systemTable(
  systemIds.roleMembers,
  'role_members',
  [
    ['role', 'text'],
    ['member', 'text'],
    ['admin_option', 'bool'],
  ],
  ['role', 'member'],
);

/** `sub_id`: 0 for the whole object, else an index id. */
export const zonesTable = systemTable(
  systemIds.zones,
  'zones',
  [
    ['id', 'int8'],
    ['sub_id', 'int8'],
    ['config', 'json'],
  ],
  ['id', 'sub_id'],
);

export const settingsTable = systemTable(
  systemIds.settings,
  'settings',
  [
    ['name', 'text'],
    ['value', 'text'],
    ['value_type', 'text'],
    ['last_updated', 'timestamptz'],
  ],
  ['name'],
);

export const jobsTable = systemTable(
  systemIds.jobs,
  'jobs',
  [
    ['id', 'int8'],
    ['job_type', 'text'],
    ['description', 'text'],
    ['user_name', 'text'],
    ['status', 'text'],
    ['running_status', 'text', 'null'],
    ['created', 'timestamptz'],
    ['started', 'timestamptz', 'null'],
    ['finished', 'timestamptz', 'null'],
    ['modified', 'timestamptz'],
    ['fraction_completed', 'float8'],
    ['error', 'text', 'null'],
    ['payload', 'json', 'null'],
    ['claim', 'text', 'null'],
    ['execution_errors', 'json', 'null'],
  ],
  ['id'],
);

/** One row per name in use: of a transaction that is prepared, is about to be, or was. Its record tells which. */
export const preparedTransactionsTable = systemTable(
  systemIds.preparedTransactions,
  'prepared_transactions',
  [
    ['global_id', 'text'],
    ['transaction_id', 'text'],
    /** The anchor, in hexadecimal. */
    ['transaction_key', 'text'],
    ['began', 'json'],
    ['prepared', 'timestamptz'],
    ['owner', 'text'],
    ['database', 'text'],
    /** Ids of the tables it may have used. */
    ['tables', 'json'],
  ],
  ['global_id'],
);

/** As CockroachDB's. */
export const eventlogTable = systemTable(
  systemIds.eventlog,
  'eventlog',
  [
    ['timestamp', 'timestamptz'],
    ['eventType', 'text'],
    ['targetID', 'int8'],
    ['reportingID', 'int8'],
    ['info', 'json'],
    ['uniqueID', 'int8'],
  ],
  ['timestamp', 'uniqueID'],
);

/** As CockroachDB's. */
export const rangelogTable = systemTable(
  systemIds.rangelog,
  'rangelog',
  [
    ['timestamp', 'timestamptz'],
    ['rangeID', 'int8'],
    ['storeID', 'int8'],
    ['eventType', 'text'],
    ['otherRangeID', 'int8', 'null'],
    ['info', 'json', 'null'],
    ['uniqueID', 'int8'],
  ],
  ['timestamp', 'uniqueID'],
);

// Replication reports, as CockroachDB's.

export const constraintStatsTable = systemTable(
  systemIds.replicationConstraintStats,
  'replication_constraint_stats',
  [
    ['zone_id', 'int8'],
    ['subzone_id', 'int8'],
    ['type', 'text'],
    ['config', 'text'],
    ['report_id', 'int8'],
    ['violation_start', 'timestamptz', 'null'],
    ['violating_ranges', 'int8'],
  ],
  ['zone_id', 'subzone_id', 'type', 'config'],
);

export const criticalLocalitiesTable = systemTable(
  systemIds.replicationCriticalLocalities,
  'replication_critical_localities',
  [
    ['zone_id', 'int8'],
    ['subzone_id', 'int8'],
    ['locality', 'text'],
    ['report_id', 'int8'],
    ['at_risk_ranges', 'int8'],
  ],
  ['zone_id', 'subzone_id', 'locality'],
);

export const replicationStatsTable = systemTable(
  systemIds.replicationStats,
  'replication_stats',
  [
    ['zone_id', 'int8'],
    ['subzone_id', 'int8'],
    ['report_id', 'int8'],
    ['total_ranges', 'int8'],
    ['unavailable_ranges', 'int8'],
    ['under_replicated_ranges', 'int8'],
    ['over_replicated_ranges', 'int8'],
  ],
  ['zone_id', 'subzone_id'],
);

export const reportsMetaTable = systemTable(
  systemIds.reportsMeta,
  'reports_meta',
  [
    ['id', 'int8'],
    ['generated', 'timestamptz'],
  ],
  ['id'],
);

export const systemTables: readonly TableDescriptor[] = [
  namespaceTable,
  descriptorTable,
  usersTable,
  zonesTable,
  settingsTable,
  roleMembersTable,
  jobsTable,
  preparedTransactionsTable,
  eventlogTable,
  rangelogTable,
  constraintStatsTable,
  criticalLocalitiesTable,
  replicationStatsTable,
  reportsMetaTable,
];

export const systemDatabase: DatabaseDescriptor = {
  kind: 'database',
  id: systemIds.systemDatabase,
  version: 1,
  name: 'system',
  owner: rootUser,
};

function publicSchema(id: number, databaseId: number): SchemaDescriptor {
  return { kind: 'schema', id, version: 1, databaseId, name: 'public', owner: rootUser };
}

export const bootDatabases: readonly DatabaseDescriptor[] = [
  systemDatabase,
  { ...systemDatabase, id: systemIds.defaultDatabase, name: 'defaultdb' },
  { ...systemDatabase, id: systemIds.postgresDatabase, name: 'postgres' },
];

export const bootSchemas: readonly SchemaDescriptor[] = [
  publicSchema(systemIds.systemPublic, systemIds.systemDatabase),
  publicSchema(systemIds.defaultPublic, systemIds.defaultDatabase),
  publicSchema(systemIds.postgresPublic, systemIds.postgresDatabase),
];
