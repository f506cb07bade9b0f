/** System information, configuration, sequences, privileges (chapters 9.17, 9.26, 9.27). */
import { SqlFailure, sqlError } from '../errors.ts';
import {
  asArray,
  asBigint,
  asBool,
  asNumber,
  asNumeric,
  asText,
  type Datum,
  formatType,
  makeArray,
  oids,
  type Row,
  typeByName,
  typeOf,
  typeOps,
} from '../types/index.ts';
import { absNumeric, numericToBigint } from '../types/numeric.ts';
import { uuidFromHex } from '../types/scalar-text.ts';
import { lookupReg } from './casts.ts';
import { type Args, scalar, type ScalarOptions, setFunction, stable, volatile } from './define.ts';
import { type EvalContext, type ScalarFunction, type SetFunction } from './registry-types.ts';

export const versionText = 'PostgreSQL 15.0 (Skein 0.1.0)';
const versionNumber = '150000';

/** A function the session's catalog answers. */
function catalog(signature: string, options: ScalarOptions = {}): ScalarFunction {
  const name = signature.slice(0, signature.indexOf('('));
  return stable(signature, (args, context) => context.host.catalogFunction(name, args), {
    async: true,
    ...options,
  });
}

function sequence(value: Datum | undefined): string | number {
  return typeof value === 'string' ? value : asNumber(value);
}

const sequences: ScalarFunction[] = [
  volatile('unique_rowid() int8', (_a, c) => {
    const id = c.host.uniqueRowId?.();
    if (id !== undefined) return id;
    throw sqlError('featureNotSupported', 'unique_rowid() is not available here');
  }),
  volatile('nextval(regclass) int8', (a, c) => c.host.nextval(sequence(a[0])), { async: true }),
  volatile('currval(regclass) int8', (a, c) => c.host.currval(sequence(a[0])), { async: true }),
  volatile('lastval() int8', (_a, c) => c.host.lastval(), { async: true }),
  volatile(
    'setval(regclass,int8) int8',
    (a, c) => c.host.setval(sequence(a[0]), asBigint(a[1]), true),
    {
      async: true,
    },
  ),
  volatile(
    'setval(regclass,int8,bool) int8',
    (a, c) => c.host.setval(sequence(a[0]), asBigint(a[1]), asBool(a[2])),
    { async: true },
  ),
];

const identity: ScalarFunction[] = [
  stable('version() text', () => versionText),
  stable('current_database() name', (_a, c) => c.currentDatabase),
  stable('current_catalog() name', (_a, c) => c.currentDatabase),
  stable('current_user() name', (_a, c) => c.currentUser),
  stable('current_role() name', (_a, c) => c.currentUser),
  stable('user() name', (_a, c) => c.currentUser),
  stable('session_user() name', (_a, c) => c.sessionUser),
  stable('getpgusername() name', (_a, c) => c.currentUser),
  stable('current_schema() name', (_a, c) => c.currentSchemas[0] ?? null),
  stable('current_schemas(bool) name[]', (a, c) => {
    const schemas = c.currentSchemas.filter((name) => name !== 'pg_catalog' || asBool(a[0]));
    const implicit = asBool(a[0]) && !schemas.includes('pg_catalog') ? ['pg_catalog'] : [];
    return makeArray(oids.name, [...implicit, ...schemas]);
  }),
  stable('pg_backend_pid() int4', (_a, c) => c.backendPid),
  stable('pg_is_in_recovery() bool', () => false),
  stable('txid_current_if_assigned() int8', () => null),
  stable('pg_typeof("any") regtype', (_a, _c, types) => types[0] ?? oids.unknown, {
    strict: false,
  }),
  scalar('pg_collation_for("any") text', (_a, _c, types) =>
    typeOf(types[0] ?? oids.unknown).category === 'S' ? '"default"' : null,
  ),
  stable('format_type(oid,int4) text', formatTypeOf, { strict: false }),
  stable('pg_client_encoding() name', () => 'UTF8'),
  stable('getdatabaseencoding() name', () => 'UTF8'),
  scalar('pg_encoding_to_char(int4) name', (a) => encodings[asNumber(a[0])] ?? ''),
  scalar('pg_char_to_encoding(name) int4', (a) =>
    encodings.indexOf(
      asText(a[0])
        .toUpperCase()
        .replace(/^UTF-8$|^UNICODE$/, 'UTF8'),
    ),
  ),
  stable('inet_client_addr() text', (_a, c) => c.client?.host ?? null),
  stable('inet_server_addr() text', () => null),
  stable('inet_server_port() int4', () => null),
  stable('pg_postmaster_start_time() timestamptz', (_a, c) => c.nowMicros),
  stable('pg_conf_load_time() timestamptz', (_a, c) => c.nowMicros),
  stable('pg_my_temp_schema() oid', () => 0),
  stable('pg_is_other_temp_schema(oid) bool', () => false),
  stable('pg_jit_available() bool', () => false),
  stable('pg_trigger_depth() int4', () => 0),
  stable('pg_encoding_max_length(int4) int4', (a) => (asNumber(a[0]) === 6 ? 4 : 1)),
  stable('pg_input_is_valid(text,text) bool', inputIsValid),
  stable('pg_listening_channels() text', () => null),
  // Null stands for what is built in, in the catalogs too: nothing differs from it until something was granted.
  stable('acldefault("char",oid) aclitem[]', () => null),
  stable('pg_blocking_pids(int4) int4[]', () => makeArray(oids.int4, [])),
  stable('pg_is_wal_replay_paused() bool', () => false),
];

/** True when the text is valid input of the type named. */
function inputIsValid(a: Args, context: EvalContext): boolean {
  const name = asText(a[1]);
  const type = typeByName(name);
  if (type === undefined) throw sqlError('undefinedObject', `type "${name}" does not exist`);
  try {
    typeOps(type.oid).parse(asText(a[0]), -1, context);
    return true;
  } catch (error) {
    if (error instanceof SqlFailure) return false;
    throw error;
  }
}

const encodings = [
  'SQL_ASCII',
  'EUC_JP',
  'EUC_CN',
  'EUC_KR',
  'EUC_TW',
  'EUC_JIS_2004',
  'UTF8',
  'MULE_INTERNAL',
  'LATIN1',
];

function formatTypeOf(a: Args): Datum {
  const [oid = null, typmod = null] = a;
  if (oid === null) return null;
  try {
    return formatType(asNumber(oid), typmod === null ? undefined : asNumber(typmod));
  } catch {
    return '???';
  }
}

const settings: ScalarFunction[] = [
  stable('current_setting(text) text', (a, c) => currentSetting(asText(a[0]), false, c)),
  stable('current_setting(text,bool) text', (a, c) =>
    currentSetting(asText(a[0]), asBool(a[1]), c),
  ),
  volatile(
    'set_config(text,text,bool) text',
    (a, c) => {
      const [name = null, value = null, local = null] = a;
      if (name === null) throw sqlError('nullValueNotAllowed', 'SET requires parameter name');
      return c.setSetting(asText(name), value === null ? undefined : asText(value), local === true);
    },
    { strict: false },
  ),
];

function currentSetting(name: string, missingOk: boolean, context: EvalContext): Datum {
  const value = context.setting(name);
  if (value !== undefined) return value;
  if (name.toLowerCase() === 'server_version_num') return versionNumber;
  if (missingOk) return null;
  throw sqlError('undefinedObject', `unrecognized configuration parameter "${name}"`);
}

// ------------------------------------------------------------------------------------- sizes

const sizeUnits = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Halves are rounded away from zero; a unit is left when 10,240 of it are reached. */
function prettySize(bytes: bigint): string {
  let value = bytes;
  let unit = 0;
  const magnitude = (x: bigint): bigint => (x < 0n ? -x : x);
  const halfRound = (x: bigint, divisor: bigint): bigint =>
    x < 0n ? -((-x + divisor / 2n) / divisor) : (x + divisor / 2n) / divisor;
  if (magnitude(value) < 10_240n) return `${value} bytes`;
  // Keeps one extra bit until the end, as PostgreSQL does.
  value /= 512n;
  unit = 1;
  while (unit < sizeUnits.length - 1 && magnitude(halfRound(value, 2n)) >= 10_240n) {
    value /= 1024n;
    unit++;
  }
  return `${halfRound(value, 2n)} ${sizeUnits[unit] ?? 'PB'}`;
}

const sizeFactors: Readonly<Record<string, bigint>> = {
  '': 1n,
  b: 1n,
  bytes: 1n,
  byte: 1n,
  kb: 1024n,
  mb: 1024n ** 2n,
  gb: 1024n ** 3n,
  tb: 1024n ** 4n,
  pb: 1024n ** 5n,
};

function sizeBytes(text: string): bigint {
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const factor = sizeFactors[(match?.[2] ?? '').toLowerCase()];
  if (match === null || factor === undefined) {
    throw sqlError('invalidParameterValue', `invalid size: "${text}"`);
  }
  return BigInt(Math.round(Number(match[1]) * Number(factor)));
}

const sizes: ScalarFunction[] = [
  scalar('pg_size_pretty(int8) text', (a) => prettySize(asBigint(a[0]))),
  scalar('pg_size_pretty(numeric) text', (a) => {
    const value = asNumeric(a[0]);
    // Below the first unit the digits behind the point stay.
    const whole = numericToBigint(value) ?? 0n;
    return (numericToBigint(absNumeric(value)) ?? 0n) < 10_240n && value.scale > 0
      ? `${asText(formatPlain(value.digits, value.scale))} bytes`
      : prettySize(whole);
  }),
  scalar('pg_size_bytes(text) int8', (a) => sizeBytes(asText(a[0]))),
  scalar('pg_column_size("any") int4', (a, _c, types) =>
    columnSize(a[0] ?? null, types[0] ?? oids.text),
  ),
  ...['pg_relation_size', 'pg_table_size', 'pg_indexes_size', 'pg_total_relation_size'].map(
    (name) => catalog(`${name}(regclass) int8`, { volatility: 'volatile' }),
  ),
  catalog('pg_relation_size(regclass,text) int8', { volatility: 'volatile' }),
  catalog('pg_database_size(name) int8', { volatility: 'volatile' }),
  catalog('pg_database_size(oid) int8', { volatility: 'volatile' }),
  catalog('pg_tablespace_size(oid) int8', { volatility: 'volatile' }),
];

function formatPlain(digits: bigint, scale: number): string {
  const negative = digits < 0n;
  const text = String(negative ? -digits : digits).padStart(scale + 1, '0');
  return `${negative ? '-' : ''}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

function columnSize(value: Datum, oid: number): number {
  const { length } = typeOf(oid);
  if (length > 0) return length;
  if (typeof value === 'string') return Buffer.byteLength(value) + 1;
  return value instanceof Buffer ? value.length + 1 : 8;
}

// ------------------------------------------------------------------------- catalog questions

const definitions: ScalarFunction[] = [
  'pg_get_indexdef(oid) text',
  'pg_get_indexdef(oid,int4,bool) text',
  'pg_get_constraintdef(oid) text',
  'pg_get_constraintdef(oid,bool) text',
  'pg_get_viewdef(oid) text',
  'pg_get_viewdef(oid,bool) text',
  'pg_get_viewdef(text) text',
  'pg_get_expr(pg_node_tree,oid) text',
  'pg_get_expr(pg_node_tree,oid,bool) text',
  'pg_get_functiondef(oid) text',
  'pg_get_function_arguments(oid) text',
  'pg_get_function_result(oid) text',
  'pg_get_function_identity_arguments(oid) text',
  'pg_get_triggerdef(oid) text',
  'pg_get_triggerdef(oid,bool) text',
  'pg_get_ruledef(oid) text',
  'pg_get_ruledef(oid,bool) text',
  'pg_get_userbyid(oid) name',
  'pg_get_serial_sequence(text,text) text',
  'pg_get_partkeydef(oid) text',
  'pg_get_partition_constraintdef(oid) text',
  'pg_get_statisticsobjdef(oid) text',
  'pg_get_statisticsobjdef_columns(oid) text',
  'pg_get_statisticsobjdef_expressions(oid) text[]',
  'pg_get_function_sqlbody(oid) text',
  'pg_get_function_arg_default(oid,int4) text',
  'pg_get_replica_identity_index(regclass) regclass',
  'pg_partition_root(regclass) regclass',
  'obj_description(oid) text',
  'obj_description(oid,name) text',
  'col_description(oid,int4) text',
  'shobj_description(oid,name) text',
  'pg_table_is_visible(oid) bool',
  'pg_type_is_visible(oid) bool',
  'pg_function_is_visible(oid) bool',
  'pg_operator_is_visible(oid) bool',
  'pg_opclass_is_visible(oid) bool',
  'pg_opfamily_is_visible(oid) bool',
  'pg_collation_is_visible(oid) bool',
  'pg_conversion_is_visible(oid) bool',
  'pg_statistics_obj_is_visible(oid) bool',
  'pg_ts_config_is_visible(oid) bool',
  'pg_ts_dict_is_visible(oid) bool',
  'pg_ts_parser_is_visible(oid) bool',
  'pg_ts_template_is_visible(oid) bool',
  'pg_relation_is_publishable(regclass) bool',
  'pg_relation_filenode(regclass) oid',
  'pg_relation_filepath(regclass) text',
  'pg_tablespace_location(oid) text',
  'pg_index_column_has_property(regclass,int4,text) bool',
  'pg_sequence_last_value(regclass) int8',
  'pg_column_is_updatable(regclass,int2,bool) bool',
  'pg_relation_is_updatable(regclass,bool) int4',
  'pg_stat_get_numscans(oid) int8',
  'pg_identify_object(oid,oid,int4) text',
  'pg_describe_object(oid,oid,int4) text',
].map((signature) => catalog(signature));

const privilegeKinds: readonly (readonly [name: string, objects: readonly string[]])[] = [
  ['has_table_privilege', ['text', 'oid']],
  ['has_schema_privilege', ['text', 'oid']],
  ['has_database_privilege', ['text', 'oid']],
  ['has_function_privilege', ['text', 'oid']],
  ['has_sequence_privilege', ['text', 'oid']],
  ['has_type_privilege', ['text', 'oid']],
  ['has_language_privilege', ['text', 'oid']],
  ['has_tablespace_privilege', ['text', 'oid']],
  ['has_any_column_privilege', ['text', 'oid']],
  ['has_column_privilege', ['text,text', 'text,int2', 'oid,text', 'oid,int2']],
];

const privileges: ScalarFunction[] = [
  ...privilegeKinds.flatMap(([name, objects]) =>
    objects.flatMap((object) => [
      catalog(`${name}(${object},text) bool`),
      catalog(`${name}(name,${object},text) bool`),
      catalog(`${name}(oid,${object},text) bool`),
    ]),
  ),
  catalog('pg_has_role(name,text) bool'),
  catalog('pg_has_role(oid,text) bool'),
  catalog('pg_has_role(name,name,text) bool'),
  catalog('pg_has_role(name,oid,text) bool'),
  catalog('pg_has_role(oid,oid,text) bool'),
  catalog('row_security_active(oid) bool'),
];

const sessions: ScalarFunction[] = [
  catalog('pg_cancel_backend(int4) bool', { volatility: 'volatile' }),
  catalog('pg_terminate_backend(int4) bool', { volatility: 'volatile' }),
  catalog('pg_terminate_backend(int4,int8) bool', { volatility: 'volatile' }),
  catalog('txid_current() int8', { volatility: 'stable' }),
  catalog('pg_notify(text,text) void', { volatility: 'volatile', strict: false }),
  catalog('pg_sleep(float8) void', { volatility: 'volatile' }),
  ...[
    'pg_advisory_lock',
    'pg_advisory_lock_shared',
    'pg_advisory_xact_lock',
    'pg_advisory_xact_lock_shared',
  ].flatMap((name) => [
    catalog(`${name}(int8) void`, { volatility: 'volatile' }),
    catalog(`${name}(int4,int4) void`, { volatility: 'volatile' }),
  ]),
  ...[
    'pg_try_advisory_lock',
    'pg_try_advisory_xact_lock',
    'pg_advisory_unlock',
    'pg_advisory_unlock_shared',
    'pg_try_advisory_lock_shared',
    'pg_try_advisory_xact_lock_shared',
  ].flatMap((name) => [
    catalog(`${name}(int8) bool`, { volatility: 'volatile' }),
    catalog(`${name}(int4,int4) bool`, { volatility: 'volatile' }),
  ]),
  catalog('pg_advisory_unlock_all() void', { volatility: 'volatile' }),
];

/** to_regclass and friends: null instead of an error. */
const toReg: ScalarFunction[] = (
  [
    'regclass',
    'regtype',
    'regproc',
    'regprocedure',
    'regoper',
    'regoperator',
    'regnamespace',
    'regrole',
  ] as const
).map((kind) =>
  stable(
    `to_${kind}(text) ${kind}`,
    async (a, c) => {
      const name = asText(a[0]);
      if (kind === 'regtype') {
        const known = typeByName(name);
        if (known !== undefined) return known.oid;
      }
      const found = /^\d+$/.test(name)
        ? await lookupReg(kind, name, c)
        : await c.host.lookupOid(kind, name);
      return found ?? null;
    },
    { async: true },
  ),
);

function randomUuid(context: EvalContext): string {
  const bytes = Buffer.from(context.randomBytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return uuidFromHex(bytes.toString('hex'));
}

const various: ScalarFunction[] = [
  volatile('gen_random_uuid() uuid', (_a, c) => randomUuid(c)),
  volatile('uuid_generate_v4() uuid', (_a, c) => randomUuid(c)),
  scalar('num_nulls(..."any") int4', (a) => a.filter((item) => item === null).length, {
    strict: false,
  }),
  scalar('num_nonnulls(..."any") int4', (a) => a.filter((item) => item !== null).length, {
    strict: false,
  }),
  scalar('hashtext(text) int4', (a) => hashText(asText(a[0]))),
];

/** FNV-1a: stable, but not PostgreSQL's function (which it documents as internal). */
function hashText(text: string): number {
  let hash = 2166136261;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash | 0;
}

export const systemFunctions: readonly ScalarFunction[] = [
  ...sequences,
  ...identity,
  ...settings,
  ...sizes,
  ...definitions,
  ...privileges,
  ...sessions,
  ...toReg,
  ...various,
];

/** `{a=1,b}` as rows. */
function* optionsToTable(a: Args): Generator<Row> {
  for (const item of asArray(a[0]).elements) {
    if (item === null) continue;
    const [, name = '', value = null] = /^([^=]*)(?:=(.*))?$/s.exec(asText(item)) ?? [];
    yield [name, value];
  }
}

/** There are no partitions: no relation has ancestors, and no tree has members. */
export const systemSets: readonly SetFunction[] = [
  setFunction('pg_partition_ancestors(regclass) regclass', () => [], {
    columns: [['relid', 'regclass']],
    volatility: 'stable',
  }),
  setFunction('pg_options_to_table(text[]) record', optionsToTable, {
    columns: [
      ['option_name', 'text'],
      ['option_value', 'text'],
    ],
    volatility: 'stable',
  }),
  setFunction('pg_partition_tree(regclass) record', () => [], {
    columns: [
      ['relid', 'regclass'],
      ['parentrelid', 'regclass'],
      ['isleaf', 'bool'],
      ['level', 'int4'],
    ],
    volatility: 'stable',
  }),
];
