/** pg_catalog: relations, columns, indexes, constraints, dependencies. Types and functions are in pg-types.ts. */
import {
  checkDefinition,
  constraintOid,
  defaultOid,
  displayExpression,
  foreignKeyDefinition,
  indexDefinition,
  isImplicitKey,
  keyConstraintDefinition,
  qualifiedNames,
  rootOid,
  rowTypeOid,
  ruleOid,
  indexOid,
  visibleNames,
  type PrivilegeGrant,
  type ReferentialAction,
  type TableDescriptor,
  type VirtualTable,
} from '../catalog/index.ts';
import { makeArray, makeVector, oids, typeByOid, typeOf, type Datum } from '../types/index.ts';
import { standardTable, type Record_, type RowMaker, type Source } from './build.ts';
import { relationsOf, schemaOids, visibleIndexes, type Entry } from './relations.ts';

const cached = (...indexed: string[]): { readonly cached: true; readonly indexed: string[] } => ({
  cached: true,
  indexed,
});

const int2Array = (items: readonly number[]): Datum => makeArray(oids.int2, items);

export function roleOid(source: Source, name: string): number {
  return source.snapshot.data.roles.get(name)?.oid ?? rootOid;
}

/** aclitem[]: `grantee=rwd/grantor`. Null while nothing was granted. */
const aclLetters: Readonly<Record<string, string>> = {
  select: 'r',
  insert: 'a',
  update: 'w',
  delete: 'd',
  truncate: 'D',
  references: 'x',
  trigger: 't',
  usage: 'U',
  create: 'C',
  connect: 'c',
  temporary: 'T',
};

const ownerLetters: Readonly<Record<string, string>> = {
  r: 'arwdDxt',
  v: 'arwdDxt',
  S: 'rwU',
  schema: 'UC',
  database: 'CTc',
};

export function aclOf(
  kind: string,
  owner: string,
  grants: readonly PrivilegeGrant[] | undefined,
): Datum {
  if (grants === undefined || grants.length === 0) return null;
  const items = new Map<string, string>();
  for (const { grantee, grantor, privilege, grantOption, column } of grants) {
    if (column !== undefined) continue;
    const key = `${grantee === 'public' ? '' : grantee}\0${grantor}`;
    items.set(
      key,
      `${items.get(key) ?? ''}${aclLetters[privilege] ?? ''}${grantOption ? '*' : ''}`,
    );
  }
  const texts = [...items].map(([key, letters]) => {
    const [grantee = '', grantor = ''] = key.split('\0');
    return `${grantee}=${letters}/${grantor}`;
  });
  return makeArray(oids.text, [`${owner}=${ownerLetters[kind] ?? ''}/${owner}`, ...texts]);
}

const actionLetters: Readonly<Record<ReferentialAction, string>> = {
  'no action': 'a',
  restrict: 'r',
  cascade: 'c',
  'set null': 'n',
  'set default': 'd',
};

function classRow(source: Source, entry: Entry): Record_ {
  const base = {
    oid: entry.oid,
    relname: entry.name,
    relnamespace: entry.schemaOid,
    reltype: 0,
    reloftype: 0,
    relowner: roleOid(source, entry.owner),
    relam: 0,
    relfilenode: entry.oid,
    reltablespace: 0,
    relpages: 0,
    reltuples: -1,
    relallvisible: 0,
    reltoastrelid: 0,
    relhasindex: false,
    relisshared: false,
    relpersistence: 'p',
    relkind:
      entry.kind !== 'virtual' ? entry.kind : entry.virtual.schema === 'pg_catalog' ? 'r' : 'v',
    relnatts: 0,
    relchecks: 0,
    relhasrules: false,
    relhastriggers: false,
    relhassubclass: false,
    relrowsecurity: false,
    relforcerowsecurity: false,
    relispopulated: true,
    relreplident: 'n',
    relispartition: false,
    relrewrite: 0,
    relfrozenxid: 0,
    relminmxid: 0,
  };
  switch (entry.kind) {
    case 'r':
      return {
        ...base,
        reltype: rowTypeOid(entry.oid),
        relam: 2,
        relhasindex: visibleIndexes(entry.table).length > 0,
        relnatts: entry.table.columns.length,
        relchecks: entry.table.checks.length,
        relhastriggers: entry.table.foreignKeys.length + entry.table.referencedBy.length > 0,
        relreplident: 'd',
        relacl: aclOf('r', entry.owner, entry.table.privileges),
      };
    case 'i':
      return { ...base, relam: 403, relnatts: entry.index.columns.length };
    case 'v':
      return {
        ...base,
        reltype: rowTypeOid(entry.oid),
        relnatts: entry.view.columns.length,
        relhasrules: true,
        relacl: aclOf('v', entry.owner, entry.view.privileges),
      };
    case 'S':
      return { ...base, relnatts: 3, relacl: aclOf('S', entry.owner, entry.sequence.privileges) };
    case 'virtual':
      return { ...base, relnatts: visibleColumns(entry.virtual).length };
  }
}

interface Attribute {
  readonly number: number;
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  readonly notNull?: boolean;
  readonly hasDefault?: boolean;
  readonly identity?: string;
  readonly generated?: string;
  readonly dropped?: boolean;
}

/** Without system columns. */
function visibleColumns(table: VirtualTable): VirtualTable['columns'] {
  return table.columns.filter((column) => column.hidden !== true);
}

function attributesOf(entry: Entry): Attribute[] {
  const plain = (
    columns: readonly {
      readonly name: string;
      readonly typeOid: number;
      readonly typmod: number;
    }[],
  ): Attribute[] => columns.map((column, at) => ({ ...column, number: at + 1 }));
  switch (entry.kind) {
    case 'r':
      return entry.table.columns
        .filter((column) => column.state === 'public' && column.hidden !== true)
        .map((column) => ({
          number: column.id,
          name: column.name,
          typeOid: column.typeOid,
          typmod: column.typmod,
          notNull: !column.nullable,
          hasDefault:
            column.generatedSql !== undefined ||
            (column.defaultSql !== undefined && column.identity === undefined),
          identity: column.identity === undefined ? '' : column.identity === 'always' ? 'a' : 'd',
          generated: column.generatedSql === undefined ? '' : 's',
        }));
    case 'i':
      return [
        ...entry.index.columns.map(({ columnId }) => columnId),
        ...entry.index.storedColumnIds,
      ].flatMap((id, at) => {
        const column = entry.table.columns.find((candidate) => candidate.id === id);
        return column === undefined
          ? []
          : [{ number: at + 1, name: column.name, typeOid: column.typeOid, typmod: column.typmod }];
      });
    case 'v':
      return plain(entry.view.columns);
    case 'S':
      return plain([
        { name: 'last_value', typeOid: oids.int8, typmod: -1 },
        { name: 'log_cnt', typeOid: oids.int8, typmod: -1 },
        { name: 'is_called', typeOid: oids.bool, typmod: -1 },
      ]);
    case 'virtual':
      return plain(visibleColumns(entry.virtual));
  }
}

export function collationOf(typeOid: number): number {
  const type = typeByOid(typeOid);
  if (type?.category !== 'S') return 0;
  return typeOid === oids.name ? 950 : 100;
}

function attributeRow(relation: number, attribute: Attribute): Record_ {
  const type = typeOf(attribute.typeOid);
  return {
    attrelid: relation,
    attname: attribute.name,
    atttypid: attribute.typeOid,
    attstattarget: -1,
    attlen: type.length,
    attnum: attribute.number,
    attndims: type.category === 'A' ? 1 : 0,
    attcacheoff: -1,
    atttypmod: attribute.typmod,
    attbyval: type.length > 0 && type.length <= 8,
    attalign: type.length === 8 ? 'd' : type.length === 2 ? 's' : type.length === 1 ? 'c' : 'i',
    attstorage: type.length > 0 ? 'p' : attribute.typeOid === oids.numeric ? 'm' : 'x',
    attcompression: '',
    attnotnull: attribute.notNull === true,
    atthasdef: attribute.hasDefault === true,
    atthasmissing: false,
    attidentity: attribute.identity ?? '',
    attgenerated: attribute.generated ?? '',
    attisdropped: false,
    attislocal: true,
    attinhcount: 0,
    attcollation: collationOf(attribute.typeOid),
  };
}

const btreeClasses = new Map<number, number>([
  [oids.int4, 1978],
  [oids.int2, 1979],
  [oids.oid, 1981],
  [oids.date, 3122],
  [oids.float8, 3123],
  [oids.int8, 3124],
  [oids.numeric, 3125],
  [oids.text, 3126],
  [oids.varchar, 3126],
  [oids.timestamptz, 3127],
  [oids.timestamp, 3128],
  [oids.bool, 10003],
  [oids.bpchar, 10004],
  [oids.bytea, 10006],
  [oids.char, 10007],
  [oids.float4, 10012],
  [oids.interval, 10022],
  [oids.name, 10028],
  [oids.time, 10038],
  [oids.timetz, 10041],
  [oids.uuid, 10065],
  [oids.jsonb, 10088],
]);

function indexRow(entry: Extract<Entry, { kind: 'i' }>): Record_ {
  const { table, index } = entry;
  const keys = index.columns.map(({ columnId }) => columnId);
  const typesOf = keys.map((id) => table.columns.find((column) => column.id === id)?.typeOid ?? 0);
  return {
    indexrelid: entry.oid,
    indrelid: table.id,
    indnatts: keys.length + index.storedColumnIds.length,
    indnkeyatts: keys.length,
    indisunique: index.unique,
    indnullsnotdistinct: index.nullsNotDistinct === true,
    indisprimary: index.id === table.primaryIndex.id,
    indisexclusion: false,
    indimmediate: true,
    indisclustered: false,
    indisvalid: true,
    indcheckxmin: false,
    indisready: true,
    indislive: true,
    indisreplident: false,
    indkey: makeVector(oids.int2, [...keys, ...index.storedColumnIds]),
    indcollation: makeVector(oids.oid, typesOf.map(collationOf)),
    indclass: makeVector(
      oids.oid,
      typesOf.map((oid) => btreeClasses.get(oid) ?? 10000),
    ),
    indoption: makeVector(
      oids.int2,
      index.columns.map(({ descending }) => (descending ? 3 : 0)),
    ),
    indpred: index.predicateSql ?? null,
  };
}

/** Constraints of one table, as pg_constraint rows; `definition` is beside them for pg_get_constraintdef. */
export interface ConstraintEntry {
  readonly oid: number;
  readonly table: TableDescriptor;
  readonly row: Record_;
  readonly definition: (short: boolean) => string;
}

export function constraintsOf(source: Source, table: TableDescriptor): ConstraintEntry[] {
  const found: ConstraintEntry[] = [];
  const { snapshot } = source;
  const base = {
    connamespace: table.schemaId,
    condeferrable: false,
    condeferred: false,
    convalidated: true,
    conrelid: table.id,
    contypid: 0,
    conindid: 0,
    conparentid: 0,
    confrelid: 0,
    confupdtype: ' ',
    confdeltype: ' ',
    confmatchtype: ' ',
    conislocal: true,
    coninhcount: 0,
    connoinherit: true,
  };
  for (const index of [table.primaryIndex, ...table.indexes]) {
    const isPrimary = index.id === table.primaryIndex.id;
    if (!index.isConstraint || index.state !== 'public' || (isPrimary && isImplicitKey(table)))
      continue;
    const oid = constraintOid(table.id, 'index', index.id);
    found.push({
      oid,
      table,
      row: {
        ...base,
        oid,
        conname: index.name,
        contype: isPrimary ? 'p' : 'u',
        conindid: indexOid(table.id, index.id),
        conkey: int2Array(index.columns.map(({ columnId }) => columnId)),
      },
      definition: () => keyConstraintDefinition(table, index),
    });
  }
  for (const [at, check] of table.checks.entries()) {
    const oid = constraintOid(table.id, 'check', at);
    found.push({
      oid,
      table,
      row: {
        ...base,
        oid,
        conname: check.name,
        contype: 'c',
        convalidated: check.validated,
        connoinherit: false,
        conkey: int2Array(check.columnIds),
        conbin: check.sql,
      },
      definition: () => checkDefinition(check),
    });
  }
  for (const [at, key] of table.foreignKeys.entries()) {
    const oid = constraintOid(table.id, 'foreign', at);
    const referenced = snapshot.tableById(key.referencedTableId);
    const target = [referenced?.primaryIndex, ...(referenced?.indexes ?? [])].find(
      (index) =>
        index?.unique === true &&
        index.columns.length === key.referencedColumnIds.length &&
        index.columns.every(({ columnId }) => key.referencedColumnIds.includes(columnId)),
    );
    found.push({
      oid,
      table,
      row: {
        ...base,
        oid,
        conname: key.name,
        contype: 'f',
        convalidated: key.validated,
        conindid: target === undefined ? 0 : indexOid(key.referencedTableId, target.id),
        confrelid: key.referencedTableId,
        confupdtype: actionLetters[key.onUpdate],
        confdeltype: actionLetters[key.onDelete],
        confmatchtype: key.match === 'full' ? 'f' : 's',
        conkey: int2Array(key.columnIds),
        confkey: int2Array(key.referencedColumnIds),
      },
      definition: (short) => {
        const path = source.catalog.searchPath;
        const names = short
          ? visibleNames(snapshot, source.databaseId, path)
          : qualifiedNames(snapshot);
        return foreignKeyDefinition(snapshot, table, key, names);
      },
    });
  }
  return found;
}

export function pgCatalogTables(all: () => readonly VirtualTable[]): VirtualTable[] {
  const entries = (source: Source): readonly Entry[] => relationsOf(source, all()).all;
  const tables = (source: Source): readonly TableDescriptor[] =>
    source.snapshot.contents(source.databaseId).tables;
  const pathOf = (source: Source): readonly string[] => source.catalog.searchPath;
  const empty: RowMaker = () => [];

  const made: VirtualTable[] = [
    standardTable(
      'pg_catalog.pg_class',
      (s) => entries(s).map((entry) => classRow(s, entry)),
      cached('oid', 'relname', 'relnamespace'),
    ),
    standardTable(
      'pg_catalog.pg_attribute',
      (s) =>
        entries(s).flatMap((entry) =>
          attributesOf(entry).map((attribute) => attributeRow(entry.oid, attribute)),
        ),
      cached('attrelid', 'attname'),
    ),
    standardTable(
      'pg_catalog.pg_attrdef',
      (s) =>
        tables(s).flatMap((table) =>
          table.columns.flatMap((column) => {
            const sql =
              column.generatedSql ??
              (column.identity === undefined ? column.defaultSql : undefined);
            if (sql === undefined || column.hidden === true) return [];
            return [
              {
                oid: defaultOid(table.id, column.id),
                adrelid: table.id,
                adnum: column.id,
                adbin: displayExpression(sql, pathOf(s)),
              },
            ];
          }),
        ),
      { ...cached('adrelid', 'oid'), perPath: true },
    ),
    standardTable(
      'pg_catalog.pg_namespace',
      (s) => [
        ...Object.entries(schemaOids).map(([nspname, oid]) => ({
          oid,
          nspname,
          nspowner: rootOid,
        })),
        ...s.snapshot.contents(s.databaseId).schemas.map((schema) => ({
          oid: schema.id,
          nspname: schema.name,
          nspowner: roleOid(s, schema.owner),
          nspacl: aclOf('schema', schema.owner, schema.privileges),
        })),
      ],
      cached('oid', 'nspname'),
    ),
    standardTable(
      'pg_catalog.pg_index',
      (s) => entries(s).flatMap((entry) => (entry.kind === 'i' ? [indexRow(entry)] : [])),
      cached('indexrelid', 'indrelid'),
    ),
    standardTable(
      'pg_catalog.pg_constraint',
      (s) => tables(s).flatMap((table) => constraintsOf(s, table).map(({ row }) => row)),
      cached('oid', 'conrelid', 'confrelid', 'conindid', 'conname'),
    ),
    standardTable(
      'pg_catalog.pg_database',
      (s) =>
        s.snapshot.contents(0).databases.map((database) => ({
          oid: database.id,
          datname: database.name,
          datdba: roleOid(s, database.owner),
          encoding: 6,
          datlocprovider: 'c',
          datistemplate: false,
          datallowconn: true,
          datconnlimit: -1,
          datfrozenxid: 0,
          datminmxid: 1,
          dattablespace: 1663,
          datcollate: 'C.UTF-8',
          datctype: 'C.UTF-8',
          datacl: aclOf('database', database.owner, database.privileges),
        })),
      cached('oid', 'datname'),
    ),
    standardTable('pg_catalog.pg_description', descriptions, cached('objoid')),
    standardTable(
      'pg_catalog.pg_shdescription',
      (s) =>
        s.snapshot
          .contents(0)
          .databases.flatMap((database) =>
            database.comment === undefined
              ? []
              : [{ objoid: database.id, classoid: 1262, description: database.comment }],
          ),
      cached('objoid'),
    ),
    standardTable('pg_catalog.pg_depend', dependencies, cached('objid', 'refobjid')),
    standardTable(
      'pg_catalog.pg_rewrite',
      (s) =>
        s.snapshot.contents(s.databaseId).views.map((view) => ({
          oid: ruleOid(view.id),
          rulename: '_RETURN',
          ev_class: view.id,
          ev_type: '1',
          ev_enabled: 'O',
          is_instead: true,
        })),
      cached('ev_class', 'oid'),
    ),
    standardTable(
      'pg_catalog.pg_sequence',
      (s) =>
        s.snapshot.contents(s.databaseId).sequences.map((sequence) => ({
          seqrelid: sequence.id,
          seqtypid: sequence.typeOid,
          seqstart: BigInt(sequence.start),
          seqincrement: BigInt(sequence.increment),
          seqmax: BigInt(sequence.maxValue),
          seqmin: BigInt(sequence.minValue),
          seqcache: BigInt(sequence.cache),
          seqcycle: sequence.cycle,
        })),
      cached('seqrelid'),
    ),
    standardTable('pg_catalog.pg_tables', (s) =>
      entries(s).flatMap((entry) =>
        entry.kind === 'r'
          ? [
              {
                schemaname: s.snapshot.schemaName(entry.schemaOid),
                tablename: entry.name,
                tableowner: entry.owner,
                hasindexes: visibleIndexes(entry.table).length > 0,
                hasrules: false,
                hastriggers: false,
                rowsecurity: false,
              },
            ]
          : [],
      ),
    ),
    standardTable('pg_catalog.pg_views', (s) =>
      s.snapshot.contents(s.databaseId).views.map((view) => ({
        schemaname: s.snapshot.schemaName(view.schemaId),
        viewname: view.name,
        viewowner: view.owner,
        definition: `${view.query};`,
      })),
    ),
    standardTable('pg_catalog.pg_indexes', (s) =>
      entries(s).flatMap((entry) =>
        entry.kind === 'i'
          ? [
              {
                schemaname: s.snapshot.schemaName(entry.schemaOid),
                tablename: entry.table.name,
                indexname: entry.name,
                indexdef: indexDefinition(entry.table, entry.index, qualifiedNames(s.snapshot)),
              },
            ]
          : [],
      ),
    ),
  ];
  const emptyTables = [
    'pg_inherits',
    'pg_partitioned_table',
    'pg_policy',
    'pg_policies',
    'pg_trigger',
    'pg_statistic',
    'pg_stats',
    'pg_statistic_ext',
    'pg_statistic_ext_data',
    'pg_publication',
    'pg_publication_rel',
    'pg_publication_namespace',
    'pg_publication_tables',
    'pg_subscription',
    'pg_enum',
    'pg_range',
    'pg_event_trigger',
    'pg_foreign_table',
    'pg_foreign_server',
    'pg_foreign_data_wrapper',
    'pg_user_mapping',
    'pg_user_mappings',
    'pg_matviews',
    'pg_default_acl',
    'pg_seclabel',
    'pg_seclabels',
    'pg_shseclabel',
    'pg_shdepend',
    'pg_conversion',
    'pg_ts_config',
    'pg_ts_dict',
    'pg_ts_parser',
    'pg_ts_template',
    'pg_transform',
    'pg_largeobject_metadata',
    'pg_init_privs',
    'pg_amop',
    'pg_amproc',
    'pg_opfamily',
    'pg_rules',
    'pg_file_settings',
    'pg_cursors',
    'pg_prepared_statements',
  ];
  for (const name of emptyTables) made.push(standardTable(`pg_catalog.${name}`, empty));
  return made;
}

function descriptions(s: Source): Record_[] {
  const rows: Record_[] = [];
  const add = (
    objoid: number,
    classoid: number,
    objsubid: number,
    description: string | undefined,
  ): void => {
    if (description !== undefined) rows.push({ objoid, classoid, objsubid, description });
  };
  const contents = s.snapshot.contents(s.databaseId);
  for (const schema of contents.schemas) {
    const standard = schema.name === 'public' ? 'standard public schema' : undefined;
    add(schema.id, 2615, 0, schema.comment ?? standard);
  }
  for (const relation of [...contents.views, ...contents.sequences])
    add(relation.id, 1259, 0, relation.comment);
  for (const table of contents.tables) {
    add(table.id, 1259, 0, table.comment);
    for (const column of table.columns) add(table.id, 1259, column.id, column.comment);
    for (const index of visibleIndexes(table))
      add(indexOid(table.id, index.id), 1259, 0, index.comment);
  }
  return rows;
}

/** Sequences on the columns that own them, indexes on constraints, views on relations. */
/** pg_extension.oid of plpgsql. */
export const builtInExtension = 13_563;

function dependencies(s: Source): Record_[] {
  const rows: Record_[] = [];
  const contents = s.snapshot.contents(s.databaseId);
  // Our own schema counts as part of an extension that every database has: pg_dump leaves such things out.
  const builtIn = (classid: number, objid: number): void => {
    const reference = { refclassid: 3079, refobjid: builtInExtension, refobjsubid: 0 };
    rows.push({ classid, objid, objsubid: 0, ...reference, deptype: 'e' });
  };
  builtIn(2615, schemaOids['skein_internal'] ?? 0);
  for (const table of s.catalog.virtual.tables)
    if (table.schema === 'skein_internal') builtIn(1259, table.oid);
  for (const sequence of contents.sequences) {
    if (sequence.ownedBy === undefined) continue;
    const table = s.snapshot.tableById(sequence.ownedBy.tableId);
    const column = table?.columns.find(({ id }) => id === sequence.ownedBy?.columnId);
    rows.push({
      classid: 1259,
      objid: sequence.id,
      objsubid: 0,
      refclassid: 1259,
      refobjid: sequence.ownedBy.tableId,
      refobjsubid: sequence.ownedBy.columnId,
      deptype: column?.identity === undefined ? 'a' : 'i',
    });
    if (table !== undefined && column?.identity === undefined) {
      rows.push({
        classid: 2604,
        objid: defaultOid(table.id, sequence.ownedBy.columnId),
        objsubid: 0,
        refclassid: 1259,
        refobjid: sequence.id,
        refobjsubid: 0,
        deptype: 'n',
      });
    }
  }
  for (const table of contents.tables) {
    for (const index of visibleIndexes(table)) {
      const objid = indexOid(table.id, index.id);
      if (!index.isConstraint) {
        for (const { columnId } of index.columns) {
          rows.push({
            classid: 1259,
            objid,
            objsubid: 0,
            refclassid: 1259,
            refobjid: table.id,
            refobjsubid: columnId,
            deptype: 'a',
          });
        }
        continue;
      }
      const refobjid = constraintOid(table.id, 'index', index.id);
      rows.push({
        classid: 1259,
        objid,
        objsubid: 0,
        refclassid: 2606,
        refobjid,
        refobjsubid: 0,
        deptype: 'i',
      });
    }
  }
  for (const view of contents.views) {
    for (const refobjid of view.dependsOn) {
      rows.push({
        classid: 2618,
        objid: ruleOid(view.id),
        objsubid: 0,
        refclassid: 1259,
        refobjid,
        refobjsubid: 0,
        deptype: 'n',
      });
    }
    rows.push({
      classid: 2618,
      objid: ruleOid(view.id),
      objsubid: 0,
      refclassid: 1259,
      refobjid: view.id,
      refobjsubid: 0,
      deptype: 'i',
    });
  }
  return rows;
}
