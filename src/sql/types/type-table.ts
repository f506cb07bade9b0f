/**
 * The table of types: every type Skein knows, with its array type, and look-up by oid and by the
 * names SQL gives them. Facts follow pg_type.
 */
import { sqlError } from '../errors.ts';
import { oids } from './oids.ts';
import { type SqlType, type TypeCategory } from './types.ts';

type Line = readonly [
  oid: number,
  name: string,
  display: string,
  category: TypeCategory,
  preferred: 0 | 1,
  length: number,
  arrayOid: number,
];

const lines: readonly Line[] = [
  [16, 'bool', 'boolean', 'B', 1, 1, 1000],
  [17, 'bytea', 'bytea', 'U', 0, -1, 1001],
  [18, 'char', '"char"', 'Z', 0, 1, 1002],
  [19, 'name', 'name', 'S', 0, 64, 1003],
  [20, 'int8', 'bigint', 'N', 0, 8, 1016],
  [21, 'int2', 'smallint', 'N', 0, 2, 1005],
  [22, 'int2vector', 'int2vector', 'A', 0, -1, 1006],
  [23, 'int4', 'integer', 'N', 0, 4, 1007],
  [24, 'regproc', 'regproc', 'N', 0, 4, 1008],
  [25, 'text', 'text', 'S', 1, -1, 1009],
  [26, 'oid', 'oid', 'N', 1, 4, 1028],
  [27, 'tid', 'tid', 'U', 0, 6, 1010],
  [28, 'xid', 'xid', 'U', 0, 4, 1011],
  [29, 'cid', 'cid', 'U', 0, 4, 1012],
  [30, 'oidvector', 'oidvector', 'A', 0, -1, 1013],
  [114, 'json', 'json', 'U', 0, -1, 199],
  [194, 'pg_node_tree', 'pg_node_tree', 'Z', 0, -1, 0],
  [700, 'float4', 'real', 'N', 0, 4, 1021],
  [701, 'float8', 'double precision', 'N', 1, 8, 1022],
  [705, 'unknown', 'unknown', 'X', 0, -2, 0],
  [1033, 'aclitem', 'aclitem', 'U', 0, 12, 1034],
  [1042, 'bpchar', 'character', 'S', 0, -1, 1014],
  [1043, 'varchar', 'character varying', 'S', 0, -1, 1015],
  [1082, 'date', 'date', 'D', 0, 4, 1182],
  [1083, 'time', 'time without time zone', 'D', 0, 8, 1183],
  [1114, 'timestamp', 'timestamp without time zone', 'D', 0, 8, 1115],
  [1184, 'timestamptz', 'timestamp with time zone', 'D', 1, 8, 1185],
  [1186, 'interval', 'interval', 'T', 1, 16, 1187],
  [1266, 'timetz', 'time with time zone', 'D', 0, 12, 1270],
  [1700, 'numeric', 'numeric', 'N', 0, -1, 1231],
  [2202, 'regprocedure', 'regprocedure', 'N', 0, 4, 2207],
  [2203, 'regoper', 'regoper', 'N', 0, 4, 2208],
  [2204, 'regoperator', 'regoperator', 'N', 0, 4, 2209],
  [2205, 'regclass', 'regclass', 'N', 0, 4, 2210],
  [2206, 'regtype', 'regtype', 'N', 0, 4, 2211],
  [2249, 'record', 'record', 'P', 0, -1, 2287],
  [2275, 'cstring', 'cstring', 'P', 0, -2, 1263],
  [2276, 'any', '"any"', 'P', 0, 4, 0],
  [2277, 'anyarray', 'anyarray', 'P', 0, -1, 0],
  [2278, 'void', 'void', 'P', 0, 4, 0],
  [2279, 'trigger', 'trigger', 'P', 0, 4, 0],
  [2281, 'internal', 'internal', 'P', 0, 8, 0],
  [2283, 'anyelement', 'anyelement', 'P', 0, 4, 0],
  [2776, 'anynonarray', 'anynonarray', 'P', 0, 4, 0],
  [2950, 'uuid', 'uuid', 'U', 0, 16, 2951],
  [3734, 'regconfig', 'regconfig', 'N', 0, 4, 3735],
  [3769, 'regdictionary', 'regdictionary', 'N', 0, 4, 3770],
  [3802, 'jsonb', 'jsonb', 'U', 0, -1, 3807],
  [4089, 'regnamespace', 'regnamespace', 'N', 0, 4, 4090],
  [4096, 'regrole', 'regrole', 'N', 0, 4, 4097],
  [4191, 'regcollation', 'regcollation', 'N', 0, 4, 4192],
  [5077, 'anycompatible', 'anycompatible', 'P', 0, 4, 0],
  [5078, 'anycompatiblearray', 'anycompatiblearray', 'P', 0, -1, 0],
  [5079, 'anycompatiblenonarray', 'anycompatiblenonarray', 'P', 0, 4, 0],
];

const byOid = new Map<number, SqlType>();
const byName = new Map<string, SqlType>();

for (const [oid, name, displayName, category, preferred, length, arrayOid] of lines) {
  const elementOid = oid === oids.int2vector ? oids.int2 : oid === oids.oidvector ? oids.oid : 0;
  const type: SqlType = {
    oid,
    name,
    displayName,
    category,
    preferred: preferred === 1,
    length,
    arrayOid,
    elementOid,
  };
  byOid.set(oid, type);
  byName.set(name, type);
  if (arrayOid === 0) continue;
  const array: SqlType = {
    oid: arrayOid,
    name: `_${name}`,
    displayName: `${displayName}[]`,
    category: oid === oids.record ? 'P' : 'A',
    preferred: false,
    length: -1,
    arrayOid: 0,
    elementOid: oid,
  };
  byOid.set(arrayOid, array);
  byName.set(array.name, array);
}

/** What SQL calls types beside their pg_type names. `char` alone is bpchar; `"char"` is the 1-byte type. */
const aliases: Readonly<Record<string, string>> = {
  boolean: 'bool',
  smallint: 'int2',
  int: 'int4',
  integer: 'int4',
  bigint: 'int8',
  int64: 'int8',
  real: 'float4',
  float: 'float8',
  'double precision': 'float8',
  decimal: 'numeric',
  dec: 'numeric',
  string: 'text',
  bytes: 'bytea',
  blob: 'bytea',
  character: 'bpchar',
  char: 'bpchar',
  nchar: 'bpchar',
  'national character': 'bpchar',
  'national char': 'bpchar',
  '"char"': 'char',
  '"any"': 'any',
  'character varying': 'varchar',
  'char varying': 'varchar',
  'national character varying': 'varchar',
  'time without time zone': 'time',
  'time with time zone': 'timetz',
  'timestamp without time zone': 'timestamp',
  'timestamp with time zone': 'timestamptz',
};

/** Undefined when there is no such type. */
export function typeByOid(oid: number): SqlType | undefined {
  return byOid.get(oid);
}

/** For oids that are known to be types. Throws 42704 otherwise. */
export function typeOf(oid: number): SqlType {
  const type = byOid.get(oid);
  if (type === undefined) throw sqlError('undefinedObject', `type with OID ${oid} does not exist`);
  return type;
}

/**
 * Finds a type by a SQL name (any case), a pg_type name or a display name: `int`, `_int4`, `text[]`,
 * `pg_catalog.int4`, `double precision`. As in SQL text, `char` is bpchar and `"char"` the 1-byte type.
 */
export function typeByName(name: string): SqlType | undefined {
  let key = name.trim();
  let isArray = false;
  while (/\[\d*\]$/.test(key)) {
    isArray = true;
    key = key.replace(/\s*\[\d*\]$/, '');
  }
  if (/^pg_catalog\./i.test(key)) {
    key = key.slice('pg_catalog.'.length);
    if (key === 'char') key = '"char"';
  }
  if (!key.startsWith('"')) key = key.toLowerCase().replace(/\s+/g, ' ');
  const alias = aliases[key];
  if (alias === undefined && /^"[^"]+"$/.test(key)) key = key.slice(1, -1);
  const type = byName.get(alias ?? key);
  if (type === undefined || !isArray || type.category === 'A') return type;
  return byOid.get(type.arrayOid);
}

/** By exact pg_type.typname, as parse trees carry it behind `pg_catalog`: `bpchar`, `char` (1 byte). */
export function typeByCatalogName(name: string): SqlType | undefined {
  return byName.get(name);
}

/** The array type over an element type; undefined when there is none. An array's array is itself. */
export function arrayTypeOf(elementOid: number): number | undefined {
  const type = byOid.get(elementOid);
  if (type === undefined) return undefined;
  if (isArrayType(elementOid)) return elementOid;
  return type.arrayOid === 0 ? undefined : type.arrayOid;
}

/** True for types made by `[]`, not for int2vector and oidvector. */
export function isArrayType(oid: number): boolean {
  const type = byOid.get(oid);
  return type !== undefined && type.elementOid !== 0 && type.length === -1 && type.name[0] === '_';
}

export function allTypes(): readonly SqlType[] {
  return [...byOid.values()];
}
