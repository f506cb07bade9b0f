/** skein_internal (also crdb_internal, kwdb_internal): the cluster itself. */
import { decodeIndexPrefix, keyMax, keyMin } from '../../encoding/index.ts';
import { type VirtualTable } from '../catalog/index.ts';
import { configuredZones, nodeRows, settingRows, zoneRecord } from '../ddl/index.ts';
import { makeArray, oids } from '../types/index.ts';
import {
  allocatorDecisionRows,
  allocatorDecisionsShape,
  splitDecisionRows,
  splitDecisionsShape,
} from './decisions.ts';
import { columnsOf, virtualTable, type Record_, type Source } from './build.ts';

const schema = 'skein_internal';

async function rangeRows(s: Source): Promise<Record_[]> {
  const infos = await s.context.db.ranges(keyMin, keyMax);
  return infos.map((info) => {
    const { range, leaseholder } = info;
    const place = decodeIndexPrefix(range.startKey);
    const table = place === undefined ? undefined : s.snapshot.tableById(place.tableId);
    const index = [table?.primaryIndex, ...(table?.indexes ?? [])].find(
      (item) => item?.id === place?.indexId,
    );
    return {
      range_id: BigInt(range.rangeId),
      start_key: range.startKey,
      end_key: range.endKey,
      database_name: table === undefined ? null : (s.snapshot.byId(table.databaseId)?.name ?? null),
      table_name: table?.name ?? null,
      index_name: index?.name ?? null,
      replicas: makeArray(
        oids.int8,
        range.replicas.map((replica) => BigInt(replica.nodeId)),
      ),
      store_ids: makeArray(
        oids.int8,
        range.replicas.map((replica) => BigInt(replica.storeId)),
      ),
      lease_holder: leaseholder === undefined ? null : BigInt(leaseholder.nodeId),
      range_size: BigInt(info.sizeBytes),
      live_bytes: BigInt(info.liveBytes),
      key_count: BigInt(info.keyCount),
      queries_per_second: info.queriesPerSecond,
    };
  });
}

const nodesShape =
  'node_id:int8 address:text sql_address:text http_address:text locality:text build:text started_at:timestamptz';
const settingsShape =
  'variable:text value:text type:text public:bool description:text default_value:text origin:text';

/** Rows that come as arrays in the order of the shape. */
function asRecords(shape: string, rows: readonly (readonly Record_[string][])[]): Record_[] {
  const names = columnsOf(shape).map(({ name }) => name);
  return rows.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at] ?? null])));
}

export function skeinInternalTables(): VirtualTable[] {
  return [
    virtualTable(
      schema,
      'ranges',
      13_001,
      'range_id:int8 start_key:bytea end_key:bytea database_name:text table_name:text index_name:text replicas:_int8 store_ids:_int8 lease_holder:int8 range_size:int8 live_bytes:int8 key_count:int8 queries_per_second:float8',
      rangeRows,
    ),
    virtualTable(schema, 'nodes', 13_002, nodesShape, (s) =>
      asRecords(nodesShape, nodeRows(s.context)),
    ),
    virtualTable(schema, 'cluster_settings', 13_003, settingsShape, (s) =>
      asRecords(settingsShape, settingRows(s.snapshot)),
    ),
    virtualTable(
      schema,
      'allocator_decisions',
      13_008,
      allocatorDecisionsShape,
      allocatorDecisionRows,
    ),
    virtualTable(schema, 'split_decisions', 13_005, splitDecisionsShape, splitDecisionRows),
    virtualTable(
      schema,
      'zones',
      13_004,
      'zone_id:int8 subzone_id:int8 target:text range_name:text database_name:text table_name:text index_name:text partition_name:text raw_config_yaml:text raw_config_sql:text raw_config_protobuf:bytea full_config_yaml:text full_config_sql:text',
      (s) => configuredZones(s.snapshot).map((zone) => zoneRecord(s.snapshot, zone)),
    ),
  ];
}
