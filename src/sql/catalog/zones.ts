/**
 * Zone configurations: how large ranges may grow, how many replicas they have and where, how long old versions
 * live. Each object holds only the fields that were set on it; an unset field follows the parent:
 * partition -> index -> table -> database -> RANGE default (the system database: -> RANGE system -> RANGE default).
 */
import { defaultZoneConfig, type ZoneConfig as KvZoneConfig } from '../../kv/index.ts';
import { subzoneOf } from './partitions.ts';
import { type CatalogSnapshot } from './snapshot.ts';
import { systemIds } from './system-tables.ts';
import { shownConfig } from './zone-text.ts';

/** What is set on one object. */
export type ZoneConfig = Partial<KvZoneConfig>;

/** Every field, from the nearest ancestor that sets it. */
export type FullZoneConfig = KvZoneConfig;

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
  [0, shownConfig(defaultZoneConfig)],
  [16, { gcTtlSeconds: 3600, numReplicas: 5 }],
  [17, { numReplicas: 5 }],
  [22, { gcTtlSeconds: 600, numReplicas: 5 }],
]);

const named = (id: number): ZoneId => ({ id, subId: 0 });
export const zoneIds = { default: named(0), meta: named(16), system: named(17) };

export interface ZoneId {
  /** Descriptor id, or the id of a named zone. */
  readonly id: number;
  /** 0, or the id of an index or partition of the table. */
  readonly subId: number;
}

export function zoneKey(zone: ZoneId): string {
  return `${zone.id}/${zone.subId}`;
}

/** Everything that was set, in no order. */
export function storedZones(
  snapshot: CatalogSnapshot,
): { readonly zone: ZoneId; readonly config: ZoneConfig }[] {
  return [...snapshot.data.zones].map(([key, config]) => {
    const [id = 0, subId = 0] = key.split('/').map(Number);
    return { zone: { id, subId }, config };
  });
}

/** What was set on an object and its parts. */
export function zonesOf(
  snapshot: CatalogSnapshot,
  id: number,
): { readonly zone: ZoneId; readonly config: ZoneConfig }[] {
  return storedZones(snapshot).filter(({ zone }) => zone.id === id);
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
  const { id, subId } = zone;
  const chain: ZoneId[] = subId === 0 ? [] : [zone];
  const descriptor = isNamedZone(id) ? undefined : snapshot.byId(id);
  const subzone = descriptor?.kind === 'table' ? subzoneOf(descriptor, subId) : undefined;
  if (subzone?.partition !== undefined) chain.push({ id, subId: subzone.index.id });
  if (id !== zoneIds.default.id) chain.push({ id, subId: 0 });
  if (descriptor !== undefined) {
    const databaseId = descriptor.kind === 'database' ? id : descriptor.databaseId;
    if (databaseId !== id) chain.push({ id: databaseId, subId: 0 });
    if (databaseId === systemIds.systemDatabase) chain.push(zoneIds.system);
  }
  chain.push(zoneIds.default);
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
