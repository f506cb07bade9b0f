/** skein_internal (also crdb_internal, kwdb_internal): the cluster itself. */
import { type VirtualTable } from '../catalog/index.ts';
import { configuredZones, nodeRows, settingRows, zoneRecord } from '../ddl/index.ts';
import {
  allocatorDecisionRows,
  allocatorDecisionsShape,
  mergeDecisionRows,
  mergeDecisionsShape,
  splitDecisionRows,
  splitDecisionsShape,
} from './decisions.ts';
import { columnsOf, virtualTable, type Record_, type Source } from './build.ts';
import { conformanceRows, conformanceShape } from './conformance.ts';
import {
  clusterLockRows,
  clusterLocksShape,
  contentionEventRows,
  contentionEventsShape,
} from './locks.ts';
import { type RetryInfo, type VirtualProviders } from './providers.ts';
import { timestampOfWall } from '../types/index.ts';
import { rangeRows, rangesNoLeasesShape, rangesShape } from './ranges.ts';
import {
  nodeMembershipRows,
  nodeMembershipShape,
  storeMembershipRows,
  storeMembershipShape,
} from './memberships.ts';

const schema = 'skein_internal';

const retriesShape =
  'node_id:int8 fingerprint:text restarts:int8 statement_retries:int8 replays:int8 replays_refused:int8 errors:int8 last_reason:text last_at:timestamptz';

function retryRows({ context }: Source, retries: readonly RetryInfo[]): Record_[] {
  return retries.toReversed().map((retry) => ({
    node_id: BigInt(context.db.nodeId),
    fingerprint: retry.fingerprint,
    restarts: BigInt(retry.restarts),
    statement_retries: BigInt(retry.statementRetries),
    replays: BigInt(retry.replays),
    replays_refused: BigInt(retry.replaysRefused),
    errors: BigInt(retry.errors),
    last_reason: retry.lastReason,
    last_at: timestampOfWall(retry.lastAt),
  }));
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

export function skeinInternalTables(providers: VirtualProviders): VirtualTable[] {
  return [
    virtualTable(schema, 'ranges', 13_001, rangesShape, rangeRows(true)),
    virtualTable(schema, 'ranges_no_leases', 13_020, rangesNoLeasesShape, rangeRows(false)),
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
    virtualTable(schema, 'replication_conformance', 13_022, conformanceShape, conformanceRows),
    virtualTable(schema, 'node_membership', 13_021, nodeMembershipShape, nodeMembershipRows),
    virtualTable(schema, 'merge_decisions', 13_023, mergeDecisionsShape, mergeDecisionRows),
    virtualTable(schema, 'store_membership', 13_024, storeMembershipShape, storeMembershipRows),
    virtualTable(schema, 'cluster_locks', 13_025, clusterLocksShape, clusterLockRows),
    virtualTable(
      schema,
      'transaction_contention_events',
      13_026,
      contentionEventsShape,
      contentionEventRows,
    ),
    virtualTable(schema, 'split_decisions', 13_005, splitDecisionsShape, splitDecisionRows),
    virtualTable(schema, 'statement_retries', 13_030, retriesShape, (s) =>
      retryRows(s, providers.retries?.() ?? []),
    ),
    virtualTable(
      schema,
      'zones',
      13_004,
      'zone_id:int8 subzone_id:int8 target:text range_name:text database_name:text table_name:text index_name:text partition_name:text raw_config_yaml:text raw_config_sql:text raw_config_protobuf:bytea full_config_yaml:text full_config_sql:text',
      (s) => configuredZones(s.snapshot).map((zone) => zoneRecord(s.snapshot, zone)),
    ),
  ];
}
