/**
 * Cluster settings: values that SET CLUSTER SETTING changes for all nodes at once. This file says what a setting
 * is, lists those that layers below SQL obey, and holds what one node knows of their values.
 *
 *     SET CLUSTER SETTING -> system.settings -> catalog of every node -> ClusterSettings -> store
 *
 * A reader asks at each use, so a change takes effect with the next one; it reaches every node with the catalog: the
 * statement returns when all nodes that answer have it; those that did not hear learn it by gossip and with the next
 * renewal of their catalog lease, in two seconds at most once they can read the catalog. Until a node has read the catalog for the first time the defaults hold.
 */

/** b boolean, i integer, f float, z bytes, d duration, e enumeration, s string, m version. */
export type SettingType = 'b' | 'i' | 'f' | 'z' | 'd' | 'e' | 's' | 'm';

export interface ClusterSetting<T extends string | number | boolean = string | number | boolean> {
  readonly name: string;
  readonly type: SettingType;
  /** z in bytes, d in milliseconds. */
  readonly defaultValue: T;
  readonly description: string;
  /** Values of an enumeration in order of their numbers. */
  readonly choices?: readonly string[];
  readonly min?: number;
  /** 0 turns it off; `min` holds for all other values. */
  readonly isOffAtZero?: true;
  /** Old name that still works. */
  readonly alias?: string;
}

const mib = 1 << 20;

interface Numeric {
  readonly defaultValue: number;
  readonly min?: number;
  readonly isOffAtZero?: true;
  readonly alias?: string;
}

function flag(
  name: string,
  description: string,
  more: { readonly defaultValue: boolean; readonly alias?: string },
): ClusterSetting<boolean> {
  return { name, type: 'b', description, ...more };
}

function integer(name: string, description: string, more: Numeric): ClusterSetting<number> {
  return { name, type: 'i', description, min: 0, ...more };
}

function fraction(name: string, description: string, more: Numeric): ClusterSetting<number> {
  return { name, type: 'f', description, min: 0, ...more };
}

function bytes(name: string, description: string, more: Numeric): ClusterSetting<number> {
  return { name, type: 'z', description, min: 0, ...more };
}

/** Milliseconds. */
function duration(name: string, description: string, more: Numeric): ClusterSetting<number> {
  return { name, type: 'd', description, min: 0, ...more };
}

/** The values in the order of their numbers; the default is one of them. */
function choice(
  name: string,
  description: string,
  more: { readonly defaultValue: string; readonly choices: readonly string[] },
): ClusterSetting<string> {
  return { name, type: 'e', description, ...more };
}

/**
 * Only what is obeyed stands here: whoever adds a setting adds its reader, and a probe that shows its effect
 * (`setting-probes.test.ts`). In the order of their names.
 */
export const kvSettings = {
  leaseRebalanceThreshold: fraction(
    'kv.allocator.lease_rebalance_threshold',
    'share of the mean by which the leases of a store may differ from it before some are moved',
    { defaultValue: 0.05 },
  ),
  loadBasedLeaseRebalancing: flag(
    'kv.allocator.load_based_lease_rebalancing.enabled',
    'leases are moved to even out load',
    { defaultValue: true },
  ),
  loadBasedRebalancing: choice(
    'kv.allocator.load_based_rebalancing',
    'what is moved to even out load',
    { defaultValue: 'leases and replicas', choices: ['off', 'leases', 'leases and replicas'] },
  ),
  loadBasedObjective: choice(
    'kv.allocator.load_based_rebalancing.objective',
    'the load that is evened out, and by which ranges are split: requests per second, or the processor time they take',
    { defaultValue: 'qps', choices: ['qps', 'cpu'] },
  ),
  loadBasedInterval: duration(
    'kv.allocator.load_based_rebalancing_interval',
    'how often a store looks whether it carries more load than others',
    { defaultValue: 60_000, min: 1000 },
  ),
  qpsRebalanceThreshold: fraction(
    'kv.allocator.qps_rebalance_threshold',
    'share of the mean by which the load of a store may exceed it before some is moved',
    { defaultValue: 0.25 },
  ),
  rangeRebalanceThreshold: fraction(
    'kv.allocator.range_rebalance_threshold',
    'share of the mean by which the ranges of a store may differ from it before some are moved',
    { defaultValue: 0.05 },
  ),
  bulkIoWriteMaxRate: bytes(
    'kv.bulk_io_write.max_rate',
    'bytes per second that a node writes for large transactions and for the building of indexes',
    { defaultValue: 2 ** 40, min: 1024 },
  ),
  followerReads: flag(
    'kv.closed_timestamp.follower_reads_enabled',
    'any replica serves reads of the past, as far as its range is closed',
    { defaultValue: true, alias: 'kv.closed_timestamp.follower_reads.enabled' },
  ),
  closedTimestampSideTransportInterval: duration(
    'kv.closed_timestamp.side_transport_interval',
    'how often ranges at rest are closed',
    { defaultValue: 200, min: 10 },
  ),
  closedTimestampTarget: duration(
    'kv.closed_timestamp.target_duration',
    'how far behind the clock timestamps are closed; 0: they are not',
    { defaultValue: 3000 },
  ),
  logRangeEvents: flag(
    'kv.log_range_and_node_events.enabled',
    'what happens to ranges is written to system.rangelog, what happens to nodes to system.eventlog',
    { defaultValue: true },
  ),
  protectionReconciliationInterval: duration(
    'kv.protectedts.reconciliation.interval',
    'how often protected timestamps whose jobs are gone are removed',
    { defaultValue: 300_000, min: 1000 },
  ),
  raftCommandMaxSize: bytes(
    'kv.raft.command.max_size',
    'a range refuses a command (what one batch writes to it) that is larger than this',
    { defaultValue: 64 * mib, min: mib },
  ),
  backpressureMultiplier: fraction(
    'kv.range.backpressure_range_size_multiplier',
    'writes to a range wait while it is larger than its range_max_bytes times this; 0: they never wait',
    { defaultValue: 2, min: 1, isOffAtZero: true },
  ),
  rangeSizeHardCap: bytes(
    'kv.range.range_size_hard_cap',
    'writes to a range wait while it is larger than this, whatever its range_max_bytes',
    { defaultValue: 8192 * mib, min: 64 * mib },
  ),
  rangeMergeQueueEnabled: flag(
    'kv.range_merge.queue_enabled',
    'neighbouring ranges that are both small are merged',
    { defaultValue: true, alias: 'kv.range_merge.queue.enabled' },
  ),
  rangeMergeQueueInterval: duration(
    'kv.range_merge.queue_interval',
    'how often a store looks for two ranges to merge',
    { defaultValue: 1_000, min: 1 },
  ),
  splitByLoad: flag(
    'kv.range_split.by_load_enabled',
    'ranges that serve many requests are split between the keys that are asked for',
    { defaultValue: true, alias: 'kv.range_split.by_load.enabled' },
  ),
  splitLoadCpu: duration(
    'kv.range_split.load_cpu_threshold',
    'processor time per second above which a range may be split by load, when kv.allocator.load_based_rebalancing.objective is cpu',
    { defaultValue: 500, min: 10 },
  ),
  splitLoadQps: integer(
    'kv.range_split.load_qps_threshold',
    'requests per second above which a range may be split by load, when kv.allocator.load_based_rebalancing.objective is qps',
    { defaultValue: 2500, min: 1 },
  ),
  rangefeedEnabled: flag(
    'kv.rangefeed.enabled',
    'ranges tell of what is committed to them: for changefeeds',
    { defaultValue: true },
  ),
  slowReplicationThreshold: duration(
    'kv.replica_circuit_breaker.slow_replication_threshold',
    'requests to a range that nobody has served, or that has not replicated, for so long fail at once; 0: they wait',
    { defaultValue: 60_000 },
  ),
  replicationReportsInterval: duration(
    'kv.replication_reports.interval',
    'how often system.replication_* are brought up to date; 0: never',
    { defaultValue: 60_000 },
  ),
  snapshotRebalanceMaxRate: bytes(
    'kv.snapshot_rebalance.max_rate',
    'bytes per second that a store sends in snapshots which only move replicas',
    { defaultValue: 32 * mib, min: mib },
  ),
  snapshotRecoveryMaxRate: bytes(
    'kv.snapshot_recovery.max_rate',
    'bytes per second that a store sends in snapshots for ranges which lack a replica',
    { defaultValue: 32 * mib, min: mib },
  ),
  maxIntentsBytes: integer(
    'kv.transaction.max_intents_bytes',
    'bytes in which a transaction remembers where it has written and locked; beyond it, in wider spans',
    { defaultValue: 4 * mib, min: 1024 },
  ),
  maxRefreshSpansBytes: integer(
    'kv.transaction.max_refresh_spans_bytes',
    'bytes in which a transaction remembers what it has read; beyond it, in wider spans',
    { defaultValue: 4 * mib, min: 1024 },
  ),
  parallelCommits: flag(
    'kv.transaction.parallel_commits_enabled',
    'a commit over several ranges writes its record together with its last writes: one round of consensus before the answer',
    { defaultValue: true },
  ),
  writePipelining: flag(
    'kv.transaction.write_pipelining_enabled',
    'a large transaction goes on while a part of its writes is on its way',
    { defaultValue: true },
  ),
  consistencyCheckInterval: duration(
    'server.consistency_check.interval',
    'how often the replicas of each range are compared with each other; 0: never',
    { defaultValue: 86_400_000 },
  ),
  consistencyCheckMaxRate: bytes(
    'server.consistency_check.max_rate',
    'bytes per second that a store reads to compare its replicas with others',
    { defaultValue: 8 * mib, min: 1024 },
  ),
  eventlogEnabled: flag(
    'server.eventlog.enabled',
    'changes of objects, roles, settings, zones and nodes are written to system.eventlog',
    { defaultValue: true },
  ),
  eventlogTtl: duration(
    'server.eventlog.ttl',
    'how long events are kept in system.eventlog; 0: for ever',
    { defaultValue: 90 * 86_400_000 },
  ),
  rangelogTtl: duration(
    'server.rangelog.ttl',
    'how long events are kept in system.rangelog; 0: for ever',
    { defaultValue: 30 * 86_400_000 },
  ),
  timeUntilStoreDead: duration(
    'server.time_until_store_dead',
    'a store that was silent for so long is dead: its replicas are made anew elsewhere',
    { defaultValue: 300_000, min: 75_000 },
  ),
  contentionThreshold: duration(
    'sql.contention.event_store.duration_threshold',
    'a wait for another transaction is remembered in skein_internal.transaction_contention_events when it took at least so long',
    { defaultValue: 0 },
  ),
} as const;

/** The value of a stored text; undefined stands for the default. */
export function settingValue<T extends string | number | boolean>(
  setting: ClusterSetting<T>,
  stored: string | undefined,
): T {
  if (stored === undefined) return setting.defaultValue;
  switch (typeof setting.defaultValue) {
    case 'number':
      return Number(stored) as T;
    case 'boolean':
      return (stored === 'true') as T;
    default:
      return stored as T;
  }
}

/** The settings in force, as one node knows them. */
export class ClusterSettings {
  /** Texts of those that differ from their default, by name. */
  #stored: ReadonlyMap<string, string> = new Map();

  get<T extends string | number | boolean>(setting: ClusterSetting<T>): T {
    return settingValue(setting, this.#stored.get(setting.name));
  }

  /** Takes over all stored values, checked by whoever stored them. */
  update(stored: ReadonlyMap<string, string>): void {
    this.#stored = stored;
  }
}
