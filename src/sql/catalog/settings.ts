/**
 * Cluster settings as SQL shows and changes them. Values that differ from their default are rows of system.settings
 * and reach every node with the catalog. What a setting is, and which ones the layers below obey, stands in
 * `kv/cluster-settings.ts`.
 *
 * The stored form is text: bytes and milliseconds as plain numbers, the others as shown.
 */
import { kvSettings, settingValue, type ClusterSetting, type SettingType } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type CatalogSnapshot } from './snapshot.ts';

const mib = 1_048_576;
const gib = 1024 * mib;

function setting(
  name: string,
  type: SettingType,
  defaultValue: ClusterSetting['defaultValue'],
  description: string,
  more: Partial<ClusterSetting> = {},
): ClusterSetting {
  return { name, type, defaultValue, description, ...more };
}

/** In the order of their names. */
export const clusterSettings: readonly ClusterSetting[] = [
  setting('cluster.organization', 's', '', 'name of the organization that owns the cluster'),
  setting(
    'jobs.retention_time',
    'd',
    14 * 86_400_000,
    'how long jobs that have ended are kept in system.jobs',
  ),
  ...Object.values(kvSettings),
  setting(
    'sql.defaults.default_transaction_isolation',
    'e',
    'read committed',
    'isolation level of new transactions unless their session says otherwise',
    { choices: ['read uncommitted', 'read committed', 'repeatable read', 'serializable'] },
  ),
  setting(
    'sql.defaults.idle_in_session_timeout',
    'd',
    0,
    'idle time after which a session is ended unless it says otherwise; 0 = never',
    { min: 0 },
  ),
  setting(
    'sql.defaults.idle_in_transaction_session_timeout',
    'd',
    0,
    'idle time inside a transaction after which a session is ended unless it says otherwise; 0 = never',
    { min: 0 },
  ),
  setting(
    'sql.defaults.lock_timeout',
    'd',
    0,
    'longest wait for a lock unless its session says otherwise; 0 = no limit',
    { min: 0 },
  ),
  setting(
    'sql.defaults.statement_timeout',
    'd',
    0,
    'longest run time of a statement unless its session says otherwise; 0 = no limit',
    { min: 0 },
  ),
  setting('version', 'm', '1.0', 'the version of the cluster'),
];

/** How far follower_read_timestamp() is behind: all replicas have been told by then, unless something is slow. */
export function followerLagMicros({ data }: CatalogSnapshot): number {
  const { closedTimestampTarget: target, closedTimestampSideTransportInterval: interval } =
    kvSettings;
  const targetMs = settingValue(target, data.settings.get(target.name));
  const intervalMs = settingValue(interval, data.settings.get(interval.name));
  return (targetMs + intervalMs + 1000) * 1000;
}

/** Settings of new sessions that the cluster decides, by their session names. */
export function sessionDefaults(snapshot: CatalogSnapshot): Map<string, string> {
  const defaults = new Map<string, string>();
  for (const [name, own] of [
    ['idle_session_timeout', 'sql.defaults.idle_in_session_timeout'],
    ['idle_in_transaction_session_timeout', 'sql.defaults.idle_in_transaction_session_timeout'],
    ['lock_timeout', 'sql.defaults.lock_timeout'],
    ['statement_timeout', 'sql.defaults.statement_timeout'],
  ] as const) {
    const value = settingValue(findSetting(own), snapshot.data.settings.get(own));
    if (value !== 0) defaults.set(name, `${value}ms`);
  }
  const isolation = snapshot.data.settings.get('sql.defaults.default_transaction_isolation');
  if (isolation !== undefined) defaults.set('default_transaction_isolation', isolation);
  return defaults;
}

/** How long jobs that have ended are kept. */
export function jobRetentionMs(snapshot: CatalogSnapshot): number {
  return Number(settingText(snapshot, findSetting('jobs.retention_time')));
}

const byName = new Map<string, ClusterSetting>();
for (const entry of clusterSettings) {
  byName.set(entry.name, entry);
  if (entry.alias !== undefined) byName.set(entry.alias, entry);
}

/** Throws 42704 when there is no such setting. */
export function findSetting(name: string): ClusterSetting {
  const found = byName.get(name.toLowerCase());
  if (found === undefined) throw sqlError('undefinedObject', `unknown cluster setting "${name}"`);
  return found;
}

/** The stored form of the value in force. */
export function settingText(snapshot: CatalogSnapshot, entry: ClusterSetting): string {
  return snapshot.data.settings.get(entry.name) ?? String(entry.defaultValue);
}

/** Checks what a client wrote and turns it into the stored form. Throws 22023. */
export function parseSetting(entry: ClusterSetting, text: string): string {
  const invalid = (wanted: string): never => {
    throw sqlError(
      'invalidParameterValue',
      `invalid value for cluster setting "${entry.name}": "${text}"`,
      {
        hint: `Expected ${wanted}.`,
      },
    );
  };
  switch (entry.type) {
    case 'b': {
      const value = text.toLowerCase();
      if (['true', 't', 'on', 'yes', '1'].includes(value)) return 'true';
      if (['false', 'f', 'off', 'no', '0'].includes(value)) return 'false';
      return invalid('a boolean');
    }
    case 'i': {
      if (!/^[+-]?\d+$/.test(text)) return invalid('an integer');
      return limited(entry, Number(text));
    }
    case 'f': {
      const value = Number(text);
      if (text.trim() === '' || !Number.isFinite(value)) return invalid('a number');
      return limited(entry, value);
    }
    case 'z':
      return limited(entry, parseBytes(text) ?? invalid('a size such as 64 MiB'));
    case 'd':
      return limited(entry, parseDuration(text) ?? invalid('a duration such as 1m30s'));
    case 'e': {
      const choices = entry.choices ?? [];
      const found =
        choices.find((choice) => choice === text.toLowerCase()) ??
        choices[/^\d+$/.test(text) ? Number(text) : -1];
      return found ?? invalid(`one of: ${choices.join(', ')}`);
    }
    case 's':
    case 'm':
      return text;
  }
}

function limited(entry: ClusterSetting, value: number): string {
  const min = entry.min ?? (entry.type === 'd' || entry.type === 'z' ? 0 : undefined);
  const isOff = entry.isOffAtZero === true && value === 0;
  if (min !== undefined && value < min && !isOff) {
    throw sqlError(
      'invalidParameterValue',
      `${entry.name} must be ${entry.isOffAtZero === true ? '0 or ' : ''}at least ${formatSetting(entry, String(min))}, not ${formatSetting(entry, String(value))}`,
    );
  }
  return String(value);
}

const byteUnits: readonly (readonly [string, number])[] = [
  ['tib', 1024 * gib],
  ['tb', 1e12],
  ['gib', gib],
  ['gb', 1e9],
  ['mib', mib],
  ['mb', 1e6],
  ['kib', 1024],
  ['kb', 1000],
  ['b', 1],
];

/** `64MiB`, `1.5 GB`, `1024`; undefined when it is none of these. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) return undefined;
  const unit = (match[2] ?? '').toLowerCase();
  const factor = unit === '' ? 1 : byteUnits.find(([name]) => name === unit)?.[1];
  return factor === undefined ? undefined : Math.round(Number(match[1]) * factor);
}

const durationUnits: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
};

/** `1h2m3s`, `500ms`, `00:01:30`; milliseconds, or undefined. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  const clock = /^(\d+):(\d{2}):(\d{2}(?:\.\d+)?)$/.exec(trimmed);
  if (clock !== null) {
    return Number(clock[1]) * 3_600_000 + Number(clock[2]) * 60_000 + Number(clock[3]) * 1000;
  }
  if (trimmed === '0') return 0;
  if (!/^(\d+(\.\d+)?(d|h|ms|us|µs|m|s))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, number, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(d|h|ms|us|µs|m|s)/g)) {
    total += Number(number) * (durationUnits[unit ?? ''] ?? 0);
  }
  return total;
}

/** The form that SHOW CLUSTER SETTING prints. */
export function formatSetting(entry: ClusterSetting, stored: string): string {
  if (entry.type === 'z') return formatBytes(Number(stored));
  if (entry.type === 'd') return formatDuration(Number(stored));
  return stored;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[at]}`;
}

export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
