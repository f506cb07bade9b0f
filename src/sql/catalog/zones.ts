/**
 * Zone configurations: how large ranges may grow, how many replicas they have, how long old versions
 * live. Each object holds only the fields that were set on it; an unset field follows the parent:
 * index -> table -> database -> RANGE default (system tables: -> RANGE system -> RANGE default).
 */
import { defaultZoneConfig, type ZoneConfig as KvZoneConfig } from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import { systemIds } from './system-tables.ts';

/** What is set on one object. */
export interface ZoneConfig {
  readonly rangeMinBytes?: number;
  readonly rangeMaxBytes?: number;
  readonly gcTtlSeconds?: number;
  readonly numReplicas?: number;
}

/** Every field, from the nearest ancestor that sets it. */
export type FullZoneConfig = KvZoneConfig;
export type ZoneField = keyof ZoneConfig;

export const zoneFields: readonly { readonly field: ZoneField; readonly name: string }[] = [
  { field: 'rangeMinBytes', name: 'range_min_bytes' },
  { field: 'rangeMaxBytes', name: 'range_max_bytes' },
  { field: 'gcTtlSeconds', name: 'gc.ttlseconds' },
  { field: 'numReplicas', name: 'num_replicas' },
];

/** Named zones of key spans that are no tables; ids below every descriptor's. */
export const rangeZones: readonly { readonly name: string; readonly id: number }[] = [
  { name: 'default', id: 0 },
  { name: 'meta', id: 16 },
  { name: 'system', id: 17 },
  { name: 'timeseries', id: 18 },
  { name: 'liveness', id: 22 },
];

/** What the named zones start with. */
const builtinZones: ReadonlyMap<number, ZoneConfig> = new Map<number, ZoneConfig>([
  [0, defaultZoneConfig],
  [16, { gcTtlSeconds: 3600, numReplicas: 5 }],
  [17, { numReplicas: 5 }],
  [22, { gcTtlSeconds: 600, numReplicas: 5 }],
]);

const named = (id: number): ZoneId => ({ id, subId: 0 });
export const zoneIds = { default: named(0), meta: named(16), system: named(17) };

export const zoneLimits = {
  rangeMinBytes: 1_048_576,
  rangeMaxBytes: 5 * 1_048_576,
  gcTtlSeconds: 1,
};

export interface ZoneId {
  /** Descriptor id, or the id of a named zone. */
  readonly id: number;
  /** 0, or an index id. */
  readonly subId: number;
}

export function zoneKey(zone: ZoneId): string {
  return `${zone.id}/${zone.subId}`;
}

/** What is set on the object itself; undefined when nothing is. */
export function ownZone(snapshot: CatalogSnapshot, zone: ZoneId): ZoneConfig | undefined {
  const stored = snapshot.data.zones.get(zoneKey(zone));
  if (zone.subId !== 0) return stored;
  const builtin = builtinZones.get(zone.id);
  return builtin === undefined ? stored : { ...builtin, ...stored };
}

/** The object and its ancestors, nearest first. */
export function zoneChain(snapshot: CatalogSnapshot, zone: ZoneId): ZoneId[] {
  const chain: ZoneId[] = [];
  if (zone.subId !== 0) chain.push(zone);
  if (zone.id !== 0) {
    chain.push({ id: zone.id, subId: 0 });
    const descriptor = zone.id < 30 && isNamedZone(zone.id) ? undefined : snapshot.byId(zone.id);
    const databaseId =
      descriptor === undefined || descriptor.kind === 'database'
        ? descriptor?.id
        : descriptor.databaseId;
    if (databaseId !== undefined && databaseId !== zone.id)
      chain.push({ id: databaseId, subId: 0 });
    if (databaseId === systemIds.systemDatabase) chain.push({ id: 17, subId: 0 });
  }
  chain.push({ id: 0, subId: 0 });
  return chain;
}

function isNamedZone(id: number): boolean {
  return rangeZones.some((zone) => zone.id === id);
}

/** The configuration in force: every field from the nearest ancestor that sets it. */
export function fullZone(snapshot: CatalogSnapshot, zone: ZoneId): FullZoneConfig {
  let full: ZoneConfig = {};
  for (const step of zoneChain(snapshot, zone)) full = { ...ownZone(snapshot, step), ...full };
  return { ...defaultZoneConfig, ...full };
}

/**
 * Throws 22023 for a value outside its limits and 23514 for fields that do not hold together. `own` is what is
 * set on the object, `full` the result with inheritance.
 */
export function checkZone(own: ZoneConfig, full: FullZoneConfig): void {
  const below = (name: string, value: number, limit: number): never => {
    throw sqlError('invalidParameterValue', `${name} must be at least ${limit}, not ${value}`);
  };
  if (full.numReplicas < 1) below('num_replicas', full.numReplicas, 1);
  if (full.numReplicas === 2) {
    throw sqlError('invalidParameterValue', 'num_replicas must be 1 or at least 3, not 2', {
      hint: 'Two replicas cannot agree when one of them is away.',
    });
  }
  if (full.rangeMaxBytes < zoneLimits.rangeMaxBytes) {
    below('range_max_bytes', full.rangeMaxBytes, zoneLimits.rangeMaxBytes);
  }
  if (full.rangeMinBytes < zoneLimits.rangeMinBytes) {
    below('range_min_bytes', full.rangeMinBytes, zoneLimits.rangeMinBytes);
  }
  if (full.gcTtlSeconds < zoneLimits.gcTtlSeconds) {
    below('gc.ttlseconds', full.gcTtlSeconds, zoneLimits.gcTtlSeconds);
  }
  if (full.rangeMinBytes >= full.rangeMaxBytes) {
    const both = own.rangeMinBytes !== undefined && own.rangeMaxBytes !== undefined;
    throw sqlError(
      'checkViolation',
      `range_min_bytes (${full.rangeMinBytes}) must be smaller than range_max_bytes (${full.rangeMaxBytes})`,
      both ? {} : { hint: 'One of them is inherited: set both together.' },
    );
  }
}

/** `name = value` lines of the fields that are set, for raw_config_sql. */
export function zoneAssignments(config: ZoneConfig): string[] {
  const lines: string[] = [];
  for (const { field, name } of zoneFields) {
    const value = config[field];
    if (value !== undefined) lines.push(`${name} = ${value}`);
  }
  return lines;
}

export function zoneYaml(config: ZoneConfig): string {
  const lines: string[] = [];
  if (config.rangeMinBytes !== undefined) lines.push(`range_min_bytes: ${config.rangeMinBytes}`);
  if (config.rangeMaxBytes !== undefined) lines.push(`range_max_bytes: ${config.rangeMaxBytes}`);
  if (config.gcTtlSeconds !== undefined) lines.push('gc:', `  ttlseconds: ${config.gcTtlSeconds}`);
  if (config.numReplicas !== undefined) lines.push(`num_replicas: ${config.numReplicas}`);
  lines.push('constraints: []', 'lease_preferences: []');
  return lines.join('\n');
}
