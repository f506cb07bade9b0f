/** Zone configurations: CONFIGURE ZONE and SHOW ZONE CONFIGURATION[S]. */
import { type Node } from '@pgsql/types';
import {
  checkZone,
  fullZone,
  ownZone,
  quoteIdentifier,
  rangeZones,
  systemIds,
  zoneAssignments,
  zoneChain,
  zoneFields,
  type CatalogSnapshot,
  type SessionCatalog,
  type ZoneConfig,
  type ZoneId,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ClusterStatement, type ZoneTarget } from '../parse/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { oids } from '../types/index.ts';
import { done, resultColumn, sessionCatalogOf, startDdl } from './context.ts';
import { type Shown } from './types.ts';
import { indexNamed, tableNamed } from './named.ts';
import { constantText } from './nodes.ts';

interface NamedZone {
  readonly zone: ZoneId;
  /** `TABLE db.public.t`, as ALTER writes it. */
  readonly text: string;
}

/** `TABLE db.public.t`, `INDEX db.public.t@i`, `DATABASE d`, `RANGE default`. Undefined for what is gone. */
export function zoneText(snapshot: CatalogSnapshot, zone: ZoneId): string | undefined {
  const range = rangeZones.find(({ id }) => id === zone.id);
  if (range !== undefined) return `RANGE ${range.name}`;
  const descriptor = snapshot.byId(zone.id);
  if (descriptor?.kind === 'database') return `DATABASE ${quoteIdentifier(descriptor.name)}`;
  if (descriptor?.kind !== 'table') return undefined;
  const database = snapshot.byId(descriptor.databaseId)?.name ?? '';
  const path = [database, snapshot.schemaName(descriptor.schemaId), descriptor.name];
  const name = path.map(quoteIdentifier).join('.');
  if (zone.subId === 0) return `TABLE ${name}`;
  const index = [descriptor.primaryIndex, ...descriptor.indexes].find(
    ({ id }) => id === zone.subId,
  );
  return index === undefined ? undefined : `INDEX ${name}@${quoteIdentifier(index.name)}`;
}

function zoneTarget(catalog: SessionCatalog, target: ZoneTarget): NamedZone {
  const { snapshot } = catalog;
  const named = (zone: ZoneId): NamedZone => ({ zone, text: zoneText(snapshot, zone) ?? '' });
  switch (target.kind) {
    case 'range': {
      const range = rangeZones.find(({ name }) => name === target.name.toLowerCase());
      if (range !== undefined) return named({ id: range.id, subId: 0 });
      throw sqlError('invalidParameterValue', `there is no zone named "${target.name}"`, {
        hint: `Zones: ${rangeZones.map(({ name }) => name).join(', ')}.`,
      });
    }
    case 'database': {
      const database = snapshot.database(target.name);
      if (database !== undefined) return named({ id: database.id, subId: 0 });
      throw sqlError('invalidCatalogName', `database "${target.name}" does not exist`);
    }
    case 'table':
      return named({ id: tableNamed(catalog, target.name).id, subId: 0 });
    case 'index': {
      const table = tableNamed(catalog, target.table);
      return named({ id: table.id, subId: indexNamed(table, target.index).id });
    }
  }
}

export async function configureZone(
  statement: Extract<ClusterStatement, { kind: 'configure-zone' }>,
  context: StatementContext,
): Promise<StatementResult> {
  const { catalog, writer } = await startDdl(context, 'CONFIGURE ZONE');
  const { zone } = zoneTarget(catalog, statement.target);
  const descriptor = catalog.snapshot.byId(zone.id);
  if (descriptor?.kind === 'table' && descriptor.databaseId === systemIds.systemDatabase) {
    throw sqlError(
      'insufficientPrivilege',
      `the zone of system table "${descriptor.name}" cannot be configured`,
    );
  }
  const key = `${zone.id}/${zone.subId}`;
  if (statement.change.kind === 'discard') {
    if (zone.id === 0) throw sqlError('checkViolation', 'the default zone cannot be removed');
    writer.putZone(zone, undefined);
    return done('CONFIGURE ZONE 1');
  }
  let own: ZoneConfig = catalog.snapshot.data.zones.get(key) ?? {};
  const parent = zoneChain(catalog.snapshot, zone)[1] ?? { id: 0, subId: 0 };
  const seen = new Set<string>();
  for (const { name, value } of statement.change.values) {
    const known = zoneFields.find((field) => field.name === name.toLowerCase());
    if (known === undefined) {
      const isPlacement = [
        'constraints',
        'lease_preferences',
        'voter_constraints',
        'num_voters',
        'global_reads',
      ].includes(name);
      throw isPlacement
        ? sqlError('featureNotSupported', `zone parameter "${name}" is not supported`)
        : sqlError('invalidParameterValue', `unknown zone parameter "${name}"`);
    }
    if (seen.has(known.name)) {
      throw sqlError('invalidParameterValue', `zone parameter "${known.name}" is given twice`);
    }
    seen.add(known.name);
    own = {
      ...own,
      [known.field]: zoneNumber(known.name, value, fullZone(catalog.snapshot, parent)[known.field]),
    };
  }
  const zones = new Map(catalog.snapshot.data.zones).set(key, own);
  checkZone(own, fullZone(catalog.snapshot.with(new Map(), { zones }), zone));
  writer.putZone(zone, own);
  return done('CONFIGURE ZONE 1');
}

function zoneNumber(name: string, value: Node | 'copy-from-parent', inherited: number): number {
  if (value === 'copy-from-parent') return inherited;
  const text = constantText(value);
  if (text === undefined)
    throw sqlError('invalidParameterValue', `zone parameter "${name}" cannot be NULL`);
  const number = Number(text);
  if (!Number.isSafeInteger(number)) {
    throw sqlError(
      'invalidParameterValue',
      `zone parameter "${name}" must be an integer, not "${text}"`,
    );
  }
  return number;
}

export function zoneSql(text: string, config: ZoneConfig): string {
  return `ALTER ${text} CONFIGURE ZONE USING\n\t${zoneAssignments(config).join(',\n\t')}`;
}

const zoneColumns = [resultColumn('target', oids.text), resultColumn('raw_config_sql', oids.text)];

export function showZone(target: ZoneTarget): Shown {
  return {
    columns: zoneColumns,
    rows: (context) => {
      const catalog = sessionCatalogOf(context);
      const { zone } = zoneTarget(catalog, target);
      const { snapshot } = catalog;
      const source = zoneChain(snapshot, zone).find(
        (step) => ownZone(snapshot, step) !== undefined,
      ) ?? { id: 0, subId: 0 };
      const text = zoneText(snapshot, source) ?? 'RANGE default';
      return [[text, zoneSql(text, fullZone(snapshot, zone))]];
    },
  };
}

/** Every zone that has something set, named zones first. */
export function configuredZones(
  snapshot: CatalogSnapshot,
): { readonly zone: ZoneId; readonly text: string; readonly config: ZoneConfig }[] {
  const ids: ZoneId[] = rangeZones.map(({ id }) => ({ id, subId: 0 }));
  for (const key of snapshot.data.zones.keys()) {
    const [id = 0, subId = 0] = key.split('/').map(Number);
    if (!ids.some((zone) => zone.id === id && zone.subId === subId)) ids.push({ id, subId });
  }
  return ids.flatMap((zone) => {
    const text = zoneText(snapshot, zone);
    const config = ownZone(snapshot, zone);
    return text === undefined || config === undefined ? [] : [{ zone, text, config }];
  });
}

export const showZones: Shown = {
  columns: zoneColumns,
  rows: (context) =>
    configuredZones(sessionCatalogOf(context).snapshot).map(({ text, config }) => [
      text,
      zoneSql(text, config),
    ]),
};
