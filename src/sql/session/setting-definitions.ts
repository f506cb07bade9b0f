/** The session variables (PostgreSQL chapter 20) as data. Those that change nothing here are accepted and remembered. */

export type SettingKind =
  | { readonly kind: 'bool' }
  /** `unit` is what a bare number counts: ms, s, kB, 8kB, or none. */
  | {
      readonly kind: 'int';
      readonly min: number;
      readonly max: number;
      readonly unit?: 'ms' | 's' | 'kB' | '8kB';
    }
  | { readonly kind: 'real'; readonly min: number; readonly max: number }
  | { readonly kind: 'enum'; readonly values: readonly string[] }
  | { readonly kind: 'string' }
  | { readonly kind: 'name-list' }
  | { readonly kind: 'date-style' }
  | { readonly kind: 'time-zone' }
  | { readonly kind: 'encoding' }
  | { readonly kind: 'isolation' };

export interface SettingDefinition {
  /** As SHOW prints it: DateStyle, not datestyle. */
  readonly name: string;
  readonly type: SettingKind;
  readonly initial: string;
  /** 55P02 when someone tries to set it. */
  readonly readOnly: boolean;
  /** Told to the client by ParameterStatus. */
  readonly report: boolean;
  readonly description: string;
}

export const serverVersion = '15.0';

const bool: SettingKind = { kind: 'bool' };
const text: SettingKind = { kind: 'string' };
const int = (min: number, max: number, unit?: 'ms' | 's' | 'kB' | '8kB'): SettingKind =>
  unit === undefined ? { kind: 'int', min, max } : { kind: 'int', min, max, unit };
const oneOf = (...values: string[]): SettingKind => ({ kind: 'enum', values });
const maxInt = 2147483647;
const levels = oneOf(
  'debug5',
  'debug4',
  'debug3',
  'debug2',
  'debug1',
  'log',
  'notice',
  'warning',
  'error',
);

type Line = readonly [name: string, type: SettingKind, initial: string, description: string];

const reported: readonly Line[] = [
  ['application_name', text, '', 'Name of the client, for logs and views.'],
  ['client_encoding', { kind: 'encoding' }, 'UTF8', 'Encoding of the client: always UTF8.'],
  [
    'DateStyle',
    { kind: 'date-style' },
    'ISO, MDY',
    'Format of dates and the order of their parts.',
  ],
  ['default_transaction_read_only', bool, 'off', 'New transactions may not write.'],
  [
    'IntervalStyle',
    oneOf('postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'),
    'postgres',
    'Format of intervals.',
  ],
  ['standard_conforming_strings', bool, 'on', "Backslashes in '...' are plain characters."],
  ['TimeZone', { kind: 'time-zone' }, 'UTC', 'Time zone for display and input.'],
];

const readOnlyReported: readonly Line[] = [
  ['in_hot_standby', bool, 'off', 'The server never is.'],
  ['integer_datetimes', bool, 'on', 'Times are integers.'],
  ['is_superuser', bool, 'on', 'The current user may do everything.'],
  ['server_encoding', text, 'UTF8', 'Encoding of stored text.'],
  ['server_version', text, serverVersion, 'The PostgreSQL version whose behaviour is followed.'],
  ['session_authorization', text, '', 'The session user.'],
];

const readOnly: readonly Line[] = [
  ['block_size', int(0, maxInt), '8192', 'Nominal.'],
  ['data_checksums', bool, 'on', 'Every value carries a checksum.'],
  ['integer_datetimes', bool, 'on', 'Times are integers.'],
  ['lc_collate', text, 'C', 'Order of text: by bytes.'],
  ['lc_ctype', text, 'C.UTF-8', 'Classes of characters.'],
  ['max_connections', int(0, maxInt), '10000', 'Nominal.'],
  ['max_identifier_length', int(0, maxInt), '63', 'Longest name in bytes.'],
  ['max_index_keys', int(0, maxInt), '32', 'Most columns of an index.'],
  ['max_prepared_transactions', int(0, maxInt), '0', 'Two-phase commit is not there.'],
  ['server_version_num', int(0, maxInt), '150000', 'The same as a number.'],
  ['wal_level', text, 'replica', 'Nominal.'],
];

const settable: readonly Line[] = [
  ['allow_system_table_mods', bool, 'off', 'Nominal.'],
  ['array_nulls', bool, 'on', 'NULL in array input means null.'],
  ['backslash_quote', oneOf('safe_encoding', 'on', 'off'), 'safe_encoding', 'Nominal.'],
  ['bytea_output', oneOf('hex', 'escape'), 'hex', 'Format of bytea.'],
  ['check_function_bodies', bool, 'on', 'Nominal.'],
  ['client_min_messages', levels, 'notice', 'Which notices are sent.'],
  ['constraint_exclusion', oneOf('partition', 'on', 'off'), 'partition', 'Nominal.'],
  ['cpu_tuple_cost', { kind: 'real', min: 0, max: 1e300 }, '0.01', 'Nominal.'],
  ['cursor_tuple_fraction', { kind: 'real', min: 0, max: 1 }, '0.1', 'Nominal.'],
  ['deadlock_timeout', int(1, maxInt, 'ms'), '1000', 'Nominal: deadlocks are found at once.'],
  ['debug_print_plan', bool, 'off', 'Nominal.'],
  ['default_statistics_target', int(1, 10000), '100', 'Nominal.'],
  ['default_table_access_method', text, 'heap', 'Nominal.'],
  ['default_tablespace', text, '', 'Nominal.'],
  ['default_text_search_config', text, 'pg_catalog.simple', 'Nominal.'],
  [
    'default_transaction_deferrable',
    bool,
    'off',
    'New transactions are DEFERRABLE; that changes nothing.',
  ],
  [
    'default_transaction_use_follower_reads',
    bool,
    'off',
    'New transactions read the recent past at the nearest replicas, and may not write.',
  ],
  [
    'default_transaction_isolation',
    { kind: 'isolation' },
    'read committed',
    'Isolation level of new transactions.',
  ],
  ['effective_cache_size', int(1, maxInt, '8kB'), '524288', 'Nominal.'],
  ['effective_io_concurrency', int(0, 1000), '1', 'Nominal.'],
  ['enable_bitmapscan', bool, 'on', 'Nominal.'],
  ['enable_hashagg', bool, 'on', 'Nominal.'],
  ['enable_hashjoin', bool, 'on', 'The planner may use hash joins.'],
  ['enable_indexonlyscan', bool, 'on', 'Nominal.'],
  ['enable_indexscan', bool, 'on', 'Nominal.'],
  ['enable_material', bool, 'on', 'Nominal.'],
  ['enable_memoize', bool, 'on', 'Nominal.'],
  ['enable_mergejoin', bool, 'on', 'The planner may use merge joins.'],
  ['enable_nestloop', bool, 'on', 'Nominal.'],
  ['enable_partitionwise_join', bool, 'off', 'Nominal.'],
  ['enable_seqscan', bool, 'on', 'Nominal.'],
  ['enable_sort', bool, 'on', 'Nominal.'],
  ['escape_string_warning', bool, 'on', 'Nominal.'],
  ['event_triggers', bool, 'on', 'Nominal.'],
  ['extra_float_digits', int(-15, 3), '1', 'Above 0: shortest exact form of floats.'],
  ['force_parallel_mode', text, 'off', 'Nominal.'],
  ['from_collapse_limit', int(1, maxInt), '8', 'Nominal.'],
  ['geqo', bool, 'on', 'Nominal.'],
  ['gin_fuzzy_search_limit', int(0, maxInt), '0', 'Nominal.'],
  [
    'idle_in_transaction_session_timeout',
    int(0, maxInt, 'ms'),
    '0',
    'Ends a session that sits idle in a transaction this long.',
  ],
  ['idle_session_timeout', int(0, maxInt, 'ms'), '0', 'Ends a session that sits idle this long.'],
  ['jit', bool, 'off', 'Nominal.'],
  ['join_collapse_limit', int(1, maxInt), '8', 'Nominal.'],
  ['lc_messages', text, 'C', 'Nominal.'],
  ['lc_monetary', text, 'C', 'Nominal.'],
  ['lc_numeric', text, 'C', 'Nominal.'],
  ['lc_time', text, 'C', 'Nominal.'],
  ['lo_compat_privileges', bool, 'off', 'Nominal.'],
  ['lock_timeout', int(0, maxInt, 'ms'), '0', 'Longest wait for a lock.'],
  ['log_duration', bool, 'off', 'Nominal.'],
  ['log_min_duration_statement', int(-1, maxInt, 'ms'), '-1', 'Nominal.'],
  ['log_min_messages', levels, 'warning', 'Nominal.'],
  ['log_statement', oneOf('none', 'ddl', 'mod', 'all'), 'none', 'Nominal.'],
  ['log_statement_stats', bool, 'off', 'Nominal.'],
  ['maintenance_work_mem', int(1024, maxInt, 'kB'), '65536', 'Nominal.'],
  ['max_parallel_workers', int(0, 1024), '0', 'Nominal.'],
  ['max_parallel_workers_per_gather', int(0, 1024), '0', 'Nominal.'],
  ['max_stack_depth', int(100, maxInt, 'kB'), '2048', 'Nominal.'],
  ['min_parallel_table_scan_size', int(0, maxInt, '8kB'), '1024', 'Nominal.'],
  ['parallel_leader_participation', bool, 'on', 'Nominal.'],
  ['parallel_setup_cost', { kind: 'real', min: 0, max: 1e300 }, '1000', 'Nominal.'],
  ['parallel_tuple_cost', { kind: 'real', min: 0, max: 1e300 }, '0.1', 'Nominal.'],
  [
    'password_encryption',
    oneOf('scram-sha-256', 'md5'),
    'scram-sha-256',
    'How passwords are stored.',
  ],
  ['plan_cache_mode', oneOf('auto', 'force_generic_plan', 'force_custom_plan'), 'auto', 'Nominal.'],
  ['quote_all_identifiers', bool, 'off', 'Nominal.'],
  ['random_page_cost', { kind: 'real', min: 0, max: 1e300 }, '4', 'Nominal.'],
  ['role', text, 'none', 'The current role.'],
  ['row_security', bool, 'on', 'Nominal.'],
  ['search_path', { kind: 'name-list' }, '"$user", public', 'Schemas where names are looked up.'],
  ['seed', { kind: 'real', min: -1, max: 1 }, '0', 'Seed of random().'],
  ['seq_page_cost', { kind: 'real', min: 0, max: 1e300 }, '1', 'Nominal.'],
  ['session_replication_role', oneOf('origin', 'replica', 'local'), 'origin', 'Nominal.'],
  ['statement_timeout', int(0, maxInt, 'ms'), '0', 'Longest run of a statement.'],
  [
    'strict_serializability',
    bool,
    'off',
    'A commit is answered when the clocks of all nodes have passed it.',
  ],
  ['synchronize_seqscans', bool, 'on', 'Nominal.'],
  [
    'synchronous_commit',
    oneOf('on', 'off', 'local', 'remote_write', 'remote_apply'),
    'on',
    'Nominal: a commit is always on a quorum of disks.',
  ],
  ['tcp_keepalives_count', int(0, maxInt), '0', 'Nominal.'],
  ['tcp_keepalives_idle', int(0, maxInt, 's'), '0', 'Nominal.'],
  ['tcp_keepalives_interval', int(0, maxInt, 's'), '0', 'Nominal.'],
  ['tcp_user_timeout', int(0, maxInt, 'ms'), '0', 'Nominal.'],
  ['temp_buffers', int(100, maxInt, '8kB'), '1024', 'Nominal.'],
  ['temp_tablespaces', text, '', 'Nominal.'],
  ['timezone_abbreviations', text, 'Default', 'Nominal.'],
  ['transaction_deferrable', bool, 'off', 'Of the current transaction.'],
  ['transaction_isolation', { kind: 'isolation' }, 'read committed', 'Of the current transaction.'],
  ['transaction_read_only', bool, 'off', 'Of the current transaction.'],
  ['transform_null_equals', bool, 'off', 'Nominal.'],
  ['vacuum_cost_delay', { kind: 'real', min: 0, max: 100 }, '0', 'Nominal.'],
  ['wal_compression', text, 'off', 'Nominal.'],
  ['work_mem', int(64, maxInt, 'kB'), '4096', 'Nominal: a statement has one memory limit.'],
  ['xmlbinary', oneOf('base64', 'hex'), 'base64', 'Nominal.'],
  ['xmloption', oneOf('content', 'document'), 'content', 'Nominal.'],
];

function define(
  lines: readonly Line[],
  flags: { readOnly: boolean; report: boolean },
): SettingDefinition[] {
  return lines.map(([name, type, initial, description]) => ({
    name,
    type,
    initial,
    description,
    ...flags,
  }));
}

/** By lower-case name. */
export const settingDefinitions: ReadonlyMap<string, SettingDefinition> = new Map(
  [
    ...define(readOnly, { readOnly: true, report: false }),
    ...define(readOnlyReported, { readOnly: true, report: true }),
    ...define(reported, { readOnly: false, report: true }),
    ...define(settable, { readOnly: false, report: false }),
  ].map((definition) => [definition.name.toLowerCase(), definition]),
);
