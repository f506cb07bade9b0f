/** pg_catalog: roles, settings, sessions, sequences and statistics as of now. */
import { preparedTransactions, type VirtualTable } from '../catalog/index.ts';
import { lastValue } from '../ddl/index.ts';
import { makeArray, oids, typeOps, type Datum } from '../types/index.ts';
import { standardTable, type Record_, type Source } from './build.ts';
import { pgLockRows } from './locks.ts';
import { roleOid } from './pg-catalog.ts';
import { type VirtualProviders } from './providers.ts';
import { xidOf } from './xid.ts';

const cached = (...indexed: string[]): { readonly cached: true; readonly indexed: string[] } => ({
  cached: true,
  indexed,
});

function validUntil(text: string | undefined, source: Source): Datum {
  if (text === undefined) return null;
  return typeOps(oids.timestamptz).parse(text, -1, source.context.eval);
}

function authRows(s: Source): Record_[] {
  return [...s.snapshot.data.roles.values()].map(({ name, oid, options }) => ({
    oid,
    rolname: name,
    rolsuper: options.superuser,
    rolinherit: options.inherit,
    rolcreaterole: options.createRole,
    rolcreatedb: options.createDb,
    rolcanlogin: options.login,
    rolreplication: options.replication,
    rolbypassrls: options.bypassRls,
    rolconnlimit: options.connectionLimit,
    rolpassword: '********',
    rolvaliduntil: validUntil(options.validUntil, s),
    rolconfig:
      options.settings === undefined
        ? null
        : makeArray(
            oids.text,
            Object.entries(options.settings).map((pair) => pair.join('=')),
          ),
  }));
}

/** ALTER DATABASE ... SET and ALTER ROLE ... SET; 0 stands for all. */
function defaultRows({ snapshot }: Source): Record_[] {
  const { descriptors, roles } = snapshot.data;
  const row = (
    setdatabase: number,
    setrole: number,
    settings: Readonly<Record<string, string>> | undefined,
  ): Record_[] => {
    const pairs = Object.entries(settings ?? {}).map((pair) => pair.join('='));
    return pairs.length === 0
      ? []
      : [{ setdatabase, setrole, setconfig: makeArray(oids.text, pairs) }];
  };
  return [
    ...[...descriptors.values()].flatMap((descriptor) =>
      descriptor.kind === 'database' ? row(descriptor.id, 0, descriptor.settings) : [],
    ),
    ...[...roles.values()].flatMap(({ oid, options }) => row(0, oid, options.settings)),
  ];
}

function userRows(s: Source): Record_[] {
  return [...s.snapshot.data.roles.values()]
    .filter(({ options }) => options.login)
    .map(({ name, oid, options }) => ({
      usename: name,
      usesysid: oid,
      usecreatedb: options.createDb,
      usesuper: options.superuser,
      userepl: options.replication,
      usebypassrls: options.bypassRls,
      passwd: '********',
      valuntil: validUntil(options.validUntil, s),
    }));
}

async function preparedRows({ context }: Source): Promise<Record_[]> {
  const prepared = await preparedTransactions(context.db);
  return prepared.map(({ gid, txn, prepared: since, owner, database }) => ({
    transaction: xidOf(txn.id),
    gid,
    prepared: since,
    owner: owner === '' ? null : owner,
    database,
  }));
}

export function pgSessionTables(providers: VirtualProviders): VirtualTable[] {
  return [
    standardTable('pg_catalog.pg_roles', authRows, cached('oid', 'rolname')),
    standardTable('pg_catalog.pg_db_role_setting', defaultRows, cached()),
    standardTable(
      'pg_catalog.pg_authid',
      (s) => authRows(s).map((row) => ({ ...row, rolpassword: null })),
      cached('oid', 'rolname'),
    ),
    standardTable('pg_catalog.pg_prepared_xacts', preparedRows),
    standardTable('pg_catalog.pg_user', userRows),
    standardTable('pg_catalog.pg_shadow', (s) =>
      userRows(s).map((row) => ({ ...row, passwd: null })),
    ),
    standardTable('pg_catalog.pg_group', (s) =>
      [...s.snapshot.data.roles.values()]
        .filter(({ options }) => !options.login)
        .map(({ name, oid }) => ({
          groname: name,
          grosysid: oid,
          grolist: makeArray(
            oids.oid,
            s.snapshot.data.memberships
              .filter(({ role }) => role === name)
              .map(({ member }) => roleOid(s, member)),
          ),
        })),
    ),
    standardTable(
      'pg_catalog.pg_auth_members',
      (s) =>
        s.snapshot.data.memberships.map((entry) => ({
          roleid: roleOid(s, entry.role),
          member: roleOid(s, entry.member),
          grantor: 10,
          admin_option: entry.adminOption,
        })),
      cached('member', 'roleid'),
    ),
    standardTable('pg_catalog.pg_settings', (s) => {
      const settings = providers.settings?.(s.context) ?? [];
      return settings.map((setting) => ({
        name: setting.name,
        setting: setting.value,
        unit: setting.unit ?? null,
        category: setting.category,
        short_desc: setting.description,
        context: setting.context,
        vartype: setting.type,
        source: setting.value === setting.defaultValue ? 'default' : 'session',
        enumvals: setting.choices === undefined ? null : makeArray(oids.text, setting.choices),
        boot_val: setting.defaultValue,
        reset_val: setting.defaultValue,
        pending_restart: false,
      }));
    }),
    standardTable('pg_catalog.pg_stat_activity', (s) =>
      (providers.sessions?.() ?? []).map((session) => ({
        datid: s.snapshot.database(session.database)?.id ?? null,
        datname: session.database,
        pid: session.pid,
        usesysid: roleOid(s, session.user),
        usename: session.user,
        application_name: session.applicationName,
        client_addr: session.clientAddress ?? null,
        client_port: session.clientPort ?? null,
        backend_start: session.startedMicros,
        xact_start: session.transactionMicros ?? null,
        query_start: session.queryMicros ?? null,
        state_change: session.stateMicros ?? null,
        state: session.state,
        query: session.query,
        backend_type: 'client backend',
      })),
    ),
    standardTable('pg_catalog.pg_locks', pgLockRows),
    standardTable('pg_catalog.pg_sequences', async (s) => {
      const rows: Record_[] = [];
      for (const sequence of s.snapshot.contents(s.databaseId).sequences) {
        rows.push({
          schemaname: s.snapshot.schemaName(sequence.schemaId),
          sequencename: sequence.name,
          sequenceowner: sequence.owner,
          data_type: sequence.typeOid,
          start_value: BigInt(sequence.start),
          min_value: BigInt(sequence.minValue),
          max_value: BigInt(sequence.maxValue),
          increment_by: BigInt(sequence.increment),
          cycle: sequence.cycle,
          cache_size: BigInt(sequence.cache),
          last_value: (await lastValue(s.context.db, sequence)) ?? null,
        });
      }
      return rows;
    }),
    standardTable('pg_catalog.pg_timezone_names', () => [
      { name: 'UTC', abbrev: 'UTC', utc_offset: null, is_dst: false },
    ]),
    standardTable('pg_catalog.pg_stat_user_tables', (s) =>
      s.snapshot.contents(s.databaseId).tables.map((table) => ({
        relid: table.id,
        schemaname: s.snapshot.schemaName(table.schemaId),
        relname: table.name,
      })),
    ),
    standardTable('pg_catalog.pg_statio_user_tables', (s) =>
      s.snapshot.contents(s.databaseId).tables.map((table) => ({
        relid: table.id,
        schemaname: s.snapshot.schemaName(table.schemaId),
        relname: table.name,
      })),
    ),
    standardTable('pg_catalog.pg_stat_user_indexes', () => []),
    standardTable('pg_catalog.pg_stat_database', (s) =>
      s.snapshot.contents(0).databases.map(({ id, name }) => ({ datid: id, datname: name })),
    ),
  ];
}
