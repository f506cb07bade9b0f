/** pg_catalog: what is built in - types, functions, operators, casts, collations, languages, access methods. */
import { rootOid, rowTypeOid, type VirtualTable } from '../catalog/index.ts';
import { allCasts, allFunctions, allOperators, type SqlFunction } from '../functions/index.ts';
import { allTypes, makeVector, oids, type SqlType } from '../types/index.ts';
import { standardTable, type Record_, type RowMaker } from './build.ts';
import { builtInExtension, collationOf, roleOid } from './pg-catalog.ts';

const pgCatalog = 11;

function typeRow(type: SqlType): Record_ {
  const isArray = type.category === 'A' && type.elementOid !== 0 && type.length === -1;
  const io = (suffix: string): number => ioOid(type.name, suffix);
  return {
    oid: type.oid,
    typname: type.name,
    typnamespace: pgCatalog,
    typowner: rootOid,
    typlen: type.length,
    typbyval: type.length > 0 && type.length <= 8,
    typtype: type.category === 'P' ? 'p' : 'b',
    typcategory: type.category,
    typispreferred: type.preferred,
    typisdefined: true,
    typdelim: ',',
    typrelid: 0,
    typsubscript: 0,
    typelem: type.elementOid,
    typarray: type.arrayOid,
    typinput: isArray ? 750 : io('in'),
    typoutput: isArray ? 751 : io('out'),
    typreceive: isArray ? 2400 : io('recv'),
    typsend: isArray ? 2401 : io('send'),
    typmodin: 0,
    typmodout: 0,
    typanalyze: 0,
    typalign: type.length === 8 ? 'd' : type.length === 2 ? 's' : type.length === 1 ? 'c' : 'i',
    typstorage: type.length > 0 ? 'p' : type.oid === oids.numeric ? 'm' : 'x',
    typnotnull: false,
    typbasetype: 0,
    typtypmod: -1,
    typndims: 0,
    typcollation: collationOf(type.oid),
  };
}

/** Input and output functions exist only as names and numbers: clients ask whether typinput is array_in. */
const ioSuffixes = ['in', 'out', 'recv', 'send'] as const;
const firstIoOid = 4_000_000;
export const ioFunctions: ReadonlyMap<string, number> = new Map([
  ['array_in', 750],
  ['array_out', 751],
  ['array_recv', 2400],
  ['array_send', 2401],
  ...allTypes().flatMap((type, at) =>
    ioSuffixes.map((suffix, i) => [`${type.name}${suffix}`, firstIoOid + at * 4 + i] as const),
  ),
]);

function ioOid(typeName: string, suffix: string): number {
  return ioFunctions.get(`${typeName}${suffix}`) ?? 0;
}

function functionRow(fn: SqlFunction): Record_ {
  const kind = fn.kind === 'aggregate' ? 'a' : fn.kind === 'window' ? 'w' : 'f';
  const volatility = 'volatility' in fn ? fn.volatility : 'immutable';
  const variadic = 'variadic' in fn && fn.variadic ? (fn.args.at(-1) ?? 0) : 0;
  return {
    oid: fn.oid,
    proname: fn.name,
    pronamespace: pgCatalog,
    proowner: rootOid,
    prolang: 12,
    procost: 1,
    prorows: fn.kind === 'set' ? 1000 : 0,
    provariadic: variadic,
    prosupport: 0,
    prokind: kind,
    prosecdef: false,
    proleakproof: false,
    proisstrict: 'strict' in fn ? fn.strict : false,
    proretset: fn.kind === 'set',
    provolatile: volatility === 'immutable' ? 'i' : volatility === 'stable' ? 's' : 'v',
    proparallel: 's',
    pronargs: fn.args.length,
    pronargdefaults: 0,
    prorettype: fn.result,
    proargtypes: makeVector(oids.oid, fn.args),
    prosrc: fn.name,
  };
}

const methods = [
  [2, 'heap', 't'],
  [403, 'btree', 'i'],
] as const;

const collations = [
  [100, 'default', 'd'],
  [950, 'C', 'c'],
  [951, 'POSIX', 'c'],
  [12340, 'ucs_basic', 'c'],
] as const;

const operatorClasses: readonly (readonly [number, string, number, number])[] = [
  [1978, 'int4_ops', oids.int4, 1976],
  [1979, 'int2_ops', oids.int2, 1976],
  [1981, 'oid_ops', oids.oid, 1989],
  [3122, 'date_ops', oids.date, 434],
  [3123, 'float8_ops', oids.float8, 1970],
  [3124, 'int8_ops', oids.int8, 1976],
  [3125, 'numeric_ops', oids.numeric, 1988],
  [3126, 'text_ops', oids.text, 1994],
  [3127, 'timestamptz_ops', oids.timestamptz, 434],
  [3128, 'timestamp_ops', oids.timestamp, 434],
  [10000, 'array_ops', 2277, 397],
  [10003, 'bool_ops', oids.bool, 424],
  [10004, 'bpchar_ops', oids.bpchar, 426],
  [10006, 'bytea_ops', oids.bytea, 428],
  [10007, 'char_ops', oids.char, 429],
  [10012, 'float4_ops', oids.float4, 1970],
  [10022, 'interval_ops', oids.interval, 1982],
  [10028, 'name_ops', oids.name, 1994],
  [10038, 'time_ops', oids.time, 1996],
  [10041, 'timetz_ops', oids.timetz, 2000],
  [10065, 'uuid_ops', oids.uuid, 2968],
  [10088, 'jsonb_ops', oids.jsonb, 4033],
];

/** Built-in things do not change: rows are made once. */
function constant(make: () => readonly Record_[]): RowMaker {
  let rows: readonly Record_[] | undefined;
  return () => (rows ??= make());
}

const cached = (...indexed: string[]): { readonly cached: true; readonly indexed: string[] } => ({
  cached: true,
  indexed,
});

export function pgTypeTables(): VirtualTable[] {
  const builtin = constant(() => allTypes().map(typeRow));
  return [
    standardTable(
      'pg_catalog.pg_type',
      async (s) => {
        const contents = s.snapshot.contents(s.databaseId);
        const rowTypes = [...contents.tables, ...contents.views].map((relation): Record_ => ({
          ...typeRow({
            oid: rowTypeOid(relation.id),
            name: relation.name,
            displayName: relation.name,
            category: 'P',
            preferred: false,
            length: -1,
            arrayOid: 0,
            elementOid: 0,
          }),
          typtype: 'c',
          typcategory: 'C',
          typnamespace: relation.schemaId,
          typowner: roleOid(s, relation.owner),
          typrelid: relation.id,
        }));
        return [...(await builtin(s)), ...rowTypes];
      },
      cached('oid', 'typname', 'typrelid'),
    ),
    standardTable(
      'pg_catalog.pg_proc',
      constant(() =>
        allFunctions()
          // Those of skein_internal have qualified names.
          .filter(({ name }) => !name.includes('.'))
          .map(functionRow),
      ),
      cached('oid', 'proname'),
    ),
    standardTable(
      'pg_catalog.pg_aggregate',
      constant(() =>
        allFunctions().flatMap((fn) =>
          fn.kind === 'aggregate'
            ? [
                {
                  aggfnoid: fn.oid,
                  aggkind: fn.directArgs > 0 ? 'o' : 'n',
                  aggnumdirectargs: fn.directArgs,
                },
              ]
            : [],
        ),
      ),
      cached('aggfnoid'),
    ),
    standardTable(
      'pg_catalog.pg_operator',
      constant(() =>
        allOperators().map((operator) => ({
          oid: operator.oid,
          oprname: operator.name,
          oprnamespace: pgCatalog,
          oprowner: rootOid,
          oprkind: operator.args.length === 1 ? 'l' : 'b',
          oprcanmerge: false,
          oprcanhash: false,
          oprleft: operator.args.length === 1 ? 0 : (operator.args[0] ?? 0),
          oprright: operator.args.at(-1) ?? 0,
          oprresult: operator.result,
          oprcom: 0,
          oprnegate: 0,
          oprcode: operator.oid,
          oprrest: 0,
          oprjoin: 0,
        })),
      ),
      cached('oid', 'oprname'),
    ),
    standardTable(
      'pg_catalog.pg_cast',
      constant(() =>
        allCasts().map((entry, at) => ({
          // Below 16384: built in.
          oid: 10_000 + at,
          castsource: entry.from,
          casttarget: entry.to,
          castfunc: 0,
          castcontext: entry.context[0] ?? 'e',
          castmethod: 'i',
        })),
      ),
      cached('castsource'),
    ),
    standardTable(
      'pg_catalog.pg_opclass',
      constant(() =>
        operatorClasses.map(([oid, opcname, opcintype, opcfamily]) => ({
          oid,
          opcmethod: 403,
          opcname,
          opcnamespace: pgCatalog,
          opcowner: rootOid,
          opcfamily,
          opcintype,
          opcdefault: true,
          opckeytype: 0,
        })),
      ),
      cached('oid'),
    ),
    standardTable(
      'pg_catalog.pg_am',
      constant(() =>
        methods.map(([oid, amname, amtype]) => ({ oid, amname, amhandler: 0, amtype })),
      ),
      cached('oid'),
    ),
    standardTable(
      'pg_catalog.pg_collation',
      constant(() =>
        collations.map(([oid, collname, collprovider]) => ({
          oid,
          collname,
          collnamespace: pgCatalog,
          collowner: rootOid,
          collprovider,
          collisdeterministic: true,
          collencoding: -1,
          collcollate: collname === 'default' ? '' : 'C',
          collctype: collname === 'default' ? '' : 'C',
        })),
      ),
      cached('oid'),
    ),
    standardTable(
      'pg_catalog.pg_language',
      constant(() =>
        (
          [
            [12, 'internal', false],
            [14, 'sql', true],
          ] as const
        ).map(([oid, lanname, lanpltrusted]) => ({
          oid,
          lanname,
          lanowner: rootOid,
          lanispl: false,
          lanpltrusted,
          lanplcallfoid: 0,
          laninline: 0,
          lanvalidator: 0,
        })),
      ),
      cached('oid'),
    ),
    standardTable(
      'pg_catalog.pg_extension',
      constant(() => [
        {
          oid: builtInExtension,
          extname: 'plpgsql',
          extowner: rootOid,
          extnamespace: pgCatalog,
          extrelocatable: false,
          extversion: '1.0',
        },
      ]),
    ),
    standardTable(
      'pg_catalog.pg_available_extensions',
      constant(() => [
        {
          name: 'plpgsql',
          default_version: '1.0',
          installed_version: '1.0',
          comment: 'accepted for the sake of tools; there are no stored procedures',
        },
      ]),
    ),
    standardTable(
      'pg_catalog.pg_tablespace',
      constant(() => [
        { oid: 1663, spcname: 'pg_default', spcowner: rootOid },
        { oid: 1664, spcname: 'pg_global', spcowner: rootOid },
      ]),
    ),
  ];
}
