/** CONFIGURE ZONE. */
import { type Node } from '@pgsql/types';
import { gossipKeys, type Gossip, type NodeInfo, type Place } from '../../kv/index.ts';
import {
  checkPlaces,
  checkZone,
  fullZone,
  ownZone,
  systemIds,
  zoneChain,
  zoneFields,
  zoneIds,
  zoneKey,
  type CatalogSnapshot,
  type SessionCatalog,
  type ZoneConfig,
  type ZoneField,
  type ZoneId,
} from '../catalog/index.ts';
import { sqlError, SqlFailure } from '../errors.ts';
import { type ConfigureZone } from '../parse/index.ts';
import { type StatementResult } from '../session/types.ts';
import { done, startDdl, type UtilityContext } from './context.ts';
import { constantText } from './nodes.ts';
import { recordZone } from './object-events.ts';
import { zoneName, zonesNamed } from './zone-names.ts';
import { configuredZones } from './zone-rows.ts';

type Assignment = Extract<ConfigureZone['change'], { kind: 'set' }>['values'][number];

export async function configureZone(
  statement: ConfigureZone,
  context: UtilityContext,
): Promise<StatementResult> {
  const ddl = await startDdl(context, 'CONFIGURE ZONE');
  const { catalog, writer } = ddl;
  const { changed } = withChange(statement, catalog, context.gossip);
  for (const { zone, own } of changed) {
    const target = zoneName(writer.snapshot, zone)?.target ?? '';
    recordZone(ddl, { id: zone.id, target }, ownZone(writer.snapshot, zone), own);
    writer.putZone(zone, own);
  }
  return done(`CONFIGURE ZONE ${changed.length}`);
}

interface ZoneChange {
  /** The catalog as it is to be. */
  readonly snapshot: CatalogSnapshot;
  /** Undefined: nothing is set on the zone any more. */
  readonly changed: readonly { readonly zone: ZoneId; readonly own: ZoneConfig | undefined }[];
}

/** What the statement leads to; throws what it refuses. */
export function withChange(
  { target, change }: ConfigureZone,
  catalog: SessionCatalog,
  gossip: Gossip | undefined,
): ZoneChange {
  let { snapshot } = catalog;
  const changed = zonesNamed(catalog, target).map((zone) => {
    refuseSystemTable(snapshot, zone);
    const own = changedZone(snapshot, zone, change, gossip);
    snapshot = withZone(snapshot, zone, own);
    checkDescendants(snapshot, zone);
    return { zone, own };
  });
  return { snapshot, changed };
}

function refuseSystemTable(snapshot: CatalogSnapshot, zone: ZoneId): void {
  const descriptor = snapshot.byId(zone.id);
  if (descriptor?.kind !== 'table' || descriptor.databaseId !== systemIds.systemDatabase) return;
  throw sqlError(
    'checkViolation',
    `the zone of system table "${descriptor.name}" cannot be configured`,
    { hint: 'Configure DATABASE system, which holds for all of its tables.' },
  );
}

/** What is set on the zone after the change; undefined: nothing. */
function changedZone(
  snapshot: CatalogSnapshot,
  zone: ZoneId,
  change: ConfigureZone['change'],
  gossip: Gossip | undefined,
): ZoneConfig | undefined {
  if (change.kind === 'discard') {
    if (zone.id === zoneIds.default.id) {
      throw sqlError('checkViolation', 'the zone RANGE default cannot be removed');
    }
    return undefined;
  }
  const parent = fullZone(snapshot, zoneChain(snapshot, zone)[1] ?? zoneIds.default);
  let own = snapshot.data.zones.get(zoneKey(zone)) ?? {};
  let given: ZoneConfig = {};
  const seen = new Set<ZoneField>();
  for (const assignment of change.values) {
    const field = fieldNamed(assignment.name);
    if (seen.has(field)) {
      throw sqlError('invalidParameterValue', `zone variable "${field.name}" is given twice`);
    }
    seen.add(field);
    const value = assigned(field, assignment.value, parent);
    own = { ...without(own, field), ...value };
    given = { ...given, ...value };
  }
  const after = withZone(snapshot, zone, own);
  checkZone(ownZone(after, zone) ?? own, fullZone(after, zone));
  if (gossip !== undefined) checkPlaces(given, placesOf(gossip));
  return own;
}

function fieldNamed(name: string): ZoneField {
  const field = zoneFields.find((candidate) => candidate.name === name.toLowerCase());
  if (field !== undefined) return field;
  throw sqlError('invalidParameterValue', `unknown zone variable "${name}"`, {
    hint: `Variables: ${zoneFields.map((known) => known.name).join(', ')}.`,
  });
}

/** A configuration with that field alone; without it, too, when it is to follow the parent. */
function assigned(field: ZoneField, value: Assignment['value'], parent: ZoneConfig): ZoneConfig {
  switch (value) {
    case 'default':
      return {};
    case 'copy-from-parent':
      return only(parent, field);
    default:
      return field.read(textOf(field, value));
  }
}

function textOf({ name }: ZoneField, value: Node): string {
  const text = constantText(value);
  if (text !== undefined) return text;
  throw sqlError('invalidParameterValue', `zone variable "${name}" cannot be NULL`);
}

function only(config: ZoneConfig, { field }: ZoneField): ZoneConfig {
  return filtered(config, (name) => name === field);
}

function without(config: ZoneConfig, { field }: ZoneField): ZoneConfig {
  return filtered(config, (name) => name !== field);
}

function filtered(config: ZoneConfig, isKept: (name: string) => boolean): ZoneConfig {
  const entries = Object.entries(config);
  return Object.fromEntries(
    entries.filter(([name, value]) => value !== undefined && isKept(name)),
  ) as ZoneConfig;
}

function withZone(
  snapshot: CatalogSnapshot,
  zone: ZoneId,
  own: ZoneConfig | undefined,
): CatalogSnapshot {
  const zones = new Map(snapshot.data.zones);
  if (own === undefined) zones.delete(zoneKey(zone));
  else zones.set(zoneKey(zone), own);
  return snapshot.with(new Map(), { zones });
}

/** What objects below inherit must go with what they have set. */
function checkDescendants(snapshot: CatalogSnapshot, changed: ZoneId): void {
  const key = zoneKey(changed);
  for (const zone of configuredZones(snapshot)) {
    const ancestors = zoneChain(snapshot, zone).slice(1).map(zoneKey);
    if (!ancestors.includes(key)) continue;
    try {
      checkZone(ownZone(snapshot, zone) ?? {}, fullZone(snapshot, zone));
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
      throw sqlError('checkViolation', error.message, {
        detail: `That is what would hold for ${zoneName(snapshot, zone)?.target ?? ''}.`,
      });
    }
  }
}

/** The stores that gossip knows, and nodes whose stores it does not know yet. */
function placesOf(gossip: Gossip): Place[] {
  const nodes = gossip.list(gossipKeys.nodePrefix).map(([, value]) => value as NodeInfo);
  const stores = gossip
    .list(gossipKeys.storePrefix)
    .map(
      ([, value]) => value as { readonly nodeId: number; readonly attributes?: readonly string[] },
    );
  return nodes.flatMap(({ nodeId, locality }) => {
    const own = stores.filter((store) => store.nodeId === nodeId);
    const attributes = own.length === 0 ? [[]] : own.map((store) => store.attributes ?? []);
    return attributes.map((each) => ({ locality, attributes: each }));
  });
}
