/** Zone configurations as rows: SHOW ZONE CONFIGURATION[S], skein_internal.zones. */
import {
  fullZone,
  ownZone,
  rangeZones,
  shownConfig,
  storedZones,
  zoneChain,
  zoneIds,
  zoneKey,
  zoneProtobuf,
  zoneSql,
  zoneYaml,
  type CatalogSnapshot,
  type ZoneConfig,
  type ZoneId,
} from '../catalog/index.ts';
import { type ZoneTarget } from '../parse/index.ts';
import { oids, type Datum, type Row } from '../types/index.ts';
import { resultColumn, sessionCatalogOf } from './context.ts';
import { type Shown } from './types.ts';
import { zoneName, zonesNamed } from './zone-names.ts';

/** Every zone that has something set, named zones first. */
export function configuredZones(snapshot: CatalogSnapshot): ZoneId[] {
  const zones: ZoneId[] = rangeZones.map(({ id }) => ({ id, subId: 0 }));
  const listed = new Set(zones.map(zoneKey));
  for (const { zone } of storedZones(snapshot)) if (!listed.has(zoneKey(zone))) zones.push(zone);
  return zones.filter((zone) => {
    const own = ownZone(snapshot, zone);
    return own !== undefined && zoneName(snapshot, zone) !== undefined;
  });
}

/** Values by the column names of skein_internal.zones. `raw` is what raw_config_* show. */
export function zoneRecord(
  snapshot: CatalogSnapshot,
  zone: ZoneId,
  raw: ZoneConfig = ownZone(snapshot, zone) ?? {},
): Readonly<Record<string, Datum>> {
  const name = zoneName(snapshot, zone) ?? { target: '' };
  const full = shownConfig(fullZone(snapshot, zone));
  return {
    zone_id: BigInt(zone.id),
    subzone_id: BigInt(zone.subId),
    target: name.target,
    range_name: name.range ?? null,
    database_name: name.database ?? null,
    table_name: name.table ?? null,
    index_name: name.index ?? null,
    partition_name: name.partition ?? null,
    raw_config_yaml: zoneYaml(raw),
    raw_config_sql: zoneSql(name.target, raw),
    raw_config_protobuf: zoneProtobuf(raw),
    full_config_yaml: zoneYaml(full),
    full_config_sql: zoneSql(name.target, full),
  };
}

const visibleColumns = [
  resultColumn('target', oids.text),
  resultColumn('raw_config_sql', oids.text),
];
const hiddenColumns = [
  resultColumn('zone_id', oids.int8),
  resultColumn('subzone_id', oids.int8),
  resultColumn('range_name', oids.text),
  resultColumn('database_name', oids.text),
  resultColumn('table_name', oids.text),
  resultColumn('index_name', oids.text),
  resultColumn('partition_name', oids.text),
  resultColumn('raw_config_yaml', oids.text),
  resultColumn('raw_config_protobuf', oids.bytea),
  resultColumn('full_config_yaml', oids.text),
  resultColumn('full_config_sql', oids.text),
];
const columns: Shown['columns'] = [
  ...visibleColumns,
  ...hiddenColumns.map((column) => ({ ...column, hidden: true })),
];

function toRow(record: Readonly<Record<string, Datum>>): Row {
  return columns.map(({ name }) => record[name] ?? null);
}

export const showZones: Shown = {
  columns,
  rows: (context) => {
    const { snapshot } = sessionCatalogOf(context);
    return configuredZones(snapshot).map((zone) => toRow(zoneRecord(snapshot, zone)));
  },
};

/** The configuration in force, under the name of the nearest object that has something set. */
export function showZone(target: ZoneTarget): Shown {
  return {
    columns,
    rows: (context) => {
      const catalog = sessionCatalogOf(context);
      const { snapshot } = catalog;
      return zonesNamed(catalog, target).map((zone) => {
        const source = zoneChain(snapshot, zone).find(
          (step) => ownZone(snapshot, step) !== undefined,
        );
        const full = shownConfig(fullZone(snapshot, zone));
        return toRow(zoneRecord(snapshot, source ?? zoneIds.default, full));
      });
    },
  };
}
