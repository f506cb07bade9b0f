/**
 * Every cluster setting does something. For each there is a probe: it looks at what the setting is about under two
 * values, and must see a difference. A setting without a probe fails, so does a probe without a setting.
 */
import { describe, expect, it, vi } from 'vitest';
import { allocatorSettings } from '../../../src/allocator/index.ts';
import { keyMax, keyMin, systemKey, tableKeyPrefix } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  asRangeId,
  asStoreId,
  ClusterSettings,
  KvFailure,
} from '../../../src/kv/index.ts';
import { type StoreCounters } from '../../../src/range/index.ts';
import { ClusterView } from '../../../src/range/queues/cluster-view.ts';
import { reconcileProtection } from '../../../src/range/queues/protection-queue.ts';
import { ReplicationReporter } from '../../../src/server/replication-reporter.ts';
import { SnapshotPace } from '../../../src/range/store/snapshot-pace.ts';
import {
  CatalogCache,
  clusterSettings,
  emptySnapshot,
  eventlogTable,
  jobRetentionMs,
  rangelogTable,
  readRows,
  sessionDefaults,
  type TableDescriptor,
} from '../../../src/sql/catalog/index.ts';
import { ClusterLogs } from '../../../src/sql/index.ts';
import { noNodeEvents } from '../../../src/sql/events/index.ts';
import { JobRegistry, readJob, type JobType } from '../../../src/sql/jobs/index.ts';
import { isLikelyClosed } from '../../../src/txn/nearest.ts';
import { must } from '../../../src/util/index.ts';
import { Cluster, values } from '../../range/store/cluster.ts';
import { withTime } from '../../txn/db-script.ts';
import { TestCluster } from '../../txn/test-cluster.ts';
import { control, eventLogOf, startCluster } from '../ddl/node.ts';
import { VirtualEnv } from '../../txn/virtual-env.ts';

/** What can be seen with the one setting changed. */
type Look = (settings: ClusterSettings, stored: ReadonlyMap<string, string>) => unknown;

interface Probe {
  /** Two values in their stored form. */
  readonly between: readonly [string, string];
  readonly look: Look;
}

const table = tableKeyPrefix(20_000);
const row = (i: number): Buffer => Buffer.concat([table, Buffer.from(`row ${1000 + i}`)]);

const placement: Look = (settings) => allocatorSettings(settings);

const pastRead: Look = (settings) => {
  const now = 100_000_000;
  const ages = [1000, 2500, 3100, 3300, 5000, 20_000];
  return ages.map((ms) => isLikelyClosed({ wall: now - ms * 1000, logical: 0 }, now, settings));
};

const session: Look = (_settings, stored) =>
  sessionDefaults(emptySnapshot.with(new Map(), { settings: stored }));

/** Is a job that has ended still known two hours later? */
const endedJob: Look = async (_settings, stored) => {
  const snapshot = emptySnapshot.with(new Map(), { settings: stored });
  const { env, db } = await startCluster(1);
  const cache = new CatalogCache({ env, db, nodeId: asNodeId(1) });
  const types = new Map<string, JobType>([['NOTHING', { run: async () => {} }]]);
  const jobs = new JobRegistry({
    env,
    db,
    cache,
    control,
    eventLog: eventLogOf(cache),
    nodeEvents: noNodeEvents,
    types,
    retentionMs: () => jobRetentionMs(snapshot),
  });
  const spec = { type: 'NOTHING', description: '', user: 'root', runningStatus: null, payload: {} };
  const { id } = await db.run({}, (txn) => jobs.create(txn, spec));
  jobs.start();
  await env.runFor(7_300_000);
  await jobs.stop();
  return (await db.run({}, (txn) => readJob(txn, id))) !== undefined;
};

function snapshotMs(purpose: 'recovery' | 'rebalance'): Look {
  return async (settings) => {
    const env = new VirtualEnv();
    const pace = new SnapshotPace(env, settings);
    for (let i = 0; i < 3; i++) await withTime(env, pace.take(purpose, 1 << 20));
    return env.clock.monotonicMs();
  };
}

/** A transaction over one store in memory, and what its coordinator does. */
function transaction(look: (cluster: TestCluster, env: VirtualEnv) => Promise<unknown>): Look {
  return (_settings, stored) => {
    const env = new VirtualEnv();
    const cluster = new TestCluster(env);
    cluster.settings.update(stored);
    return look(cluster, env);
  };
}

/** Stores in virtual time; the queues are driven by hand. */
function stores(nodes: number, look: (cluster: Cluster) => Promise<unknown>): Look {
  return async (_settings, stored) => {
    const cluster = await Cluster.start({ nodes });
    await cluster.time.run(1000);
    cluster.settings.update(stored);
    return look(cluster);
  };
}

async function put(cluster: Cluster, key: Buffer, bytes: number): Promise<string> {
  const value = Buffer.alloc(bytes, 'x');
  const work = cluster.client(1).request({ kind: 'put', key, value, sequence: 1 });
  const answer = await cluster.time.settleOf(work);
  return answer.kind === 'ok' ? 'ok' : answer.error.kind;
}

/** Does a range of so many times 8 MiB make writes wait, whose zone allows 40 MiB? */
const holdsBack = (pieces: number): Look =>
  stores(1, async (cluster) => {
    cluster.zone = { ...cluster.zone, rangeMaxBytes: 40 << 20 };
    for (let i = 0; i < pieces; i++) await put(cluster, row(i), 8 << 20);
    await put(cluster, row(12), 10);
    return cluster.machine(1).store.counters.writesHeldBack > 0;
  });

/** How many of 5 small ranges are left after two seconds. */
const merged: Look = async (_settings, stored) => {
  const cluster = await Cluster.start({
    nodes: 1,
    settings: { queueIntervalMs: 50 },
    zone: { rangeMinBytes: 1 << 20 },
  });
  cluster.settings.update(stored);
  const never = { wall: 0, logical: 0 };
  for (let i = 0; i < 4; i++) {
    const work = cluster
      .client(1)
      .request({ kind: 'admin-split', splitKey: row(i), expiration: never });
    values(await cluster.time.settleOf(work));
  }
  await cluster.time.run(2000);
  return cluster.ranges().length;
};

/** In which of ten passes a second apart the load is looked at. */
const looksAtLoad = stores(1, async (cluster) => {
  const view = new ClusterView(cluster.machine(1).store);
  const looks: unknown[] = [];
  for (let second = 0; second < 10; second++) {
    await cluster.time.run(1000);
    view.beginPass();
    looks.push(view.balancing());
  }
  return looks;
});

/** How often in ten seconds protected timestamps are gone through. */
const reconciliations = stores(1, async (cluster) => {
  const { store } = cluster.machine(1);
  const replica = must(store.replicas.get(asRangeId(1)));
  const reconcile = vi.spyOn(store.protectedTimes, 'reconcile').mockResolvedValue();
  Object.assign(store.deps, { isJobGone: async () => false });
  for (let second = 0; second < 10; second++) {
    await cluster.time.run(1000);
    await reconcileProtection(store, replica);
  }
  return reconcile.mock.calls.length;
});

/** Is a wait of a second for a lock remembered? */
const contentionEvents = stores(1, async (cluster) => {
  const { store } = cluster.machine(1);
  const { db } = store.deps;
  const [holder, waiter] = [db.begin(), db.begin()];
  await cluster.time.settleOf(holder.get(row(1), { lock: 'update' }));
  const waiting = waiter.get(row(1), { lock: 'update' });
  await cluster.time.run(1000);
  await cluster.time.settleOf(holder.rollback());
  await cluster.time.settleOf(waiting);
  await cluster.time.settleOf(waiter.rollback());
  return store.contention.list().length;
});

const loadThreshold = stores(1, async (cluster) => cluster.machine(1).store.loadSplitThreshold);

/** Requests of 10 ms each, per second, from which on a range may be split. */
const cpuThreshold: Look = async (_settings, stored) => {
  const cluster = await Cluster.start({ nodes: 1 });
  cluster.batchCpuMs = 10;
  cluster.settings.update(
    new Map([...stored, ['kv.allocator.load_based_rebalancing.objective', 'cpu']]),
  );
  const { store } = cluster.machine(1);
  for (let i = 0; i < 30; i++) {
    await put(cluster, row(i), 10);
    await cluster.time.run(100);
    store.splitThreshold.describe(0);
  }
  return Math.round(store.loadSplitThreshold);
};

/** Milliseconds after which a request fails when nobody serves its range, at first and later. */
const outage = stores(3, async (cluster) => {
  const key = systemKey('x');
  const add = [2, 3].map((id) => ({ nodeId: asNodeId(id), storeId: asStoreId(id) }));
  const { time } = cluster;
  const admin = { kind: 'admin-change-replicas', key, add, remove: [] } as const;
  values(await time.settleOf(cluster.client(1).request(admin)));
  cluster.crash(2);
  cluster.crash(3);
  await time.run(3000);
  const failed: boolean[] = [];
  for (let i = 0; i < 3; i++) {
    const from = time.nowMs;
    await put(cluster, key, 1);
    failed.push(time.nowMs - from < 8_000);
  }
  return failed;
});

/** Events of the log that are still known so much later. */
const eventsKept =
  (table: TableDescriptor, ms: number): Look =>
  async (settings) => {
    const { env, db } = await startCluster(1);
    const logs = new ClusterLogs({ env, db, nodeId: asNodeId(1), settings });
    logs.start();
    const event = { kind: 'split', rangeId: asRangeId(1), otherRangeId: asRangeId(2), info: {} };
    logs.ranges.note({ ...event, kind: 'split' }, asStoreId(1));
    logs.nodes.noteOwn('node_restart');
    await env.runFor(ms);
    await logs.stop();
    return (await db.run({}, (txn) => readRows(txn, table))).length;
  };

/** When in ten seconds a report is made. */
const reportsMade: Look = async (settings) => {
  const { env, db } = await startCluster(1);
  const made: number[] = [];
  const collect = async () => {
    made.push(env.clock.monotonicMs());
    return { rows: [], missing: [] };
  };
  const zonesOf = () => ({ replication: [], constraints: [] });
  const nodeId = asNodeId(1);
  const reporter = new ReplicationReporter({
    env,
    db,
    nodeId,
    settings,
    zonesOf,
    reports: { collect },
  });
  reporter.heedSettings();
  await env.runFor(10_000);
  reporter.stop();
  return made;
};

/** What a store has counted after two seconds of its queues. */
const checked =
  (look: (counters: StoreCounters) => unknown): Look =>
  async (_settings, stored) => {
    const cluster = await Cluster.start({ nodes: 1, settings: { queueIntervalMs: 100 } });
    cluster.settings.update(stored);
    await cluster.time.run(2000);
    return look(cluster.machine(1).store.counters);
  };

const probes: Readonly<Record<string, Probe>> = {
  'jobs.retention_time': { between: ['86400000', '60000'], look: endedJob },
  'kv.allocator.lease_rebalance_threshold': { between: ['0.05', '0.5'], look: placement },
  'kv.allocator.load_based_lease_rebalancing.enabled': {
    between: ['true', 'false'],
    look: placement,
  },
  'kv.allocator.load_based_rebalancing': { between: ['leases', 'off'], look: placement },
  'kv.allocator.load_based_rebalancing.objective': { between: ['qps', 'cpu'], look: placement },
  'kv.allocator.load_based_rebalancing_interval': {
    between: ['1000', '5000'],
    look: looksAtLoad,
  },
  'kv.allocator.qps_rebalance_threshold': { between: ['0.1', '0.2'], look: placement },
  'kv.allocator.range_rebalance_threshold': { between: ['0.05', '0.5'], look: placement },
  'kv.closed_timestamp.follower_reads_enabled': { between: ['true', 'false'], look: pastRead },
  'kv.closed_timestamp.side_transport_interval': { between: ['200', '0'], look: pastRead },
  'kv.closed_timestamp.target_duration': { between: ['3000', '10000'], look: pastRead },
  'kv.bulk_io_write.max_rate': {
    between: ['1099511627776', '1048576'],
    look: transaction(async (cluster, env) => {
      const txn = cluster.db.begin();
      for (let i = 0; i < 3000; i++) txn.put(row(i), Buffer.alloc(1000));
      await withTime(env, txn.commit());
      return Math.round(env.clock.monotonicMs() / 1000);
    }),
  },
  'kv.protectedts.reconciliation.interval': {
    between: ['1000', '5000'],
    look: reconciliations,
  },
  'kv.log_range_and_node_events.enabled': {
    between: ['true', 'false'],
    look: async (...given) =>
      Promise.all([rangelogTable, eventlogTable].map((table) => eventsKept(table, 1000)(...given))),
  },
  'kv.raft.command.max_size': {
    between: ['67108864', '1048576'],
    look: stores(1, (cluster) => put(cluster, row(1), 2 << 20)),
  },
  'kv.range.backpressure_range_size_multiplier': { between: ['0', '2'], look: holdsBack(11) },
  'kv.range.range_size_hard_cap': { between: ['8589934592', '67108864'], look: holdsBack(9) },
  'kv.range_merge.queue_enabled': { between: ['true', 'false'], look: merged },
  'kv.range_merge.queue_interval': { between: ['100', '100000'], look: merged },
  'kv.range_split.by_load_enabled': { between: ['true', 'false'], look: loadThreshold },
  'kv.range_split.load_cpu_threshold': { between: ['50', '1000'], look: cpuThreshold },
  'kv.range_split.load_qps_threshold': { between: ['10', '20'], look: loadThreshold },
  'kv.rangefeed.enabled': {
    between: ['true', 'false'],
    look: stores(1, async (cluster) => {
      const { db } = cluster.machine(1).store.deps;
      const span = { start: row(0), end: row(9) };
      const feed = db.feed({ spans: [span], after: db.clock.now(), withPrevious: false });
      await put(cluster, row(1), 10);
      const told = feed.next().then(
        ([event]) => event?.kind,
        (error: unknown) => error instanceof KvFailure && error.kvError.kind,
      );
      return cluster.time.settleOf(told).finally(() => feed.close());
    }),
  },
  'kv.replica_circuit_breaker.slow_replication_threshold': {
    between: ['0', '5000'],
    look: outage,
  },
  'kv.replication_reports.interval': { between: ['1000', '0'], look: reportsMade },
  'kv.snapshot_rebalance.max_rate': {
    between: ['1048576', '2097152'],
    look: snapshotMs('rebalance'),
  },
  'kv.snapshot_recovery.max_rate': {
    between: ['1048576', '2097152'],
    look: snapshotMs('recovery'),
  },
  'kv.transaction.max_intents_bytes': {
    between: ['4194304', '4096'],
    look: transaction(async (cluster, env) => {
      let spans = 0;
      cluster.intercept = ({ requests }) => {
        for (const request of requests) {
          if (request.kind === 'end-txn') spans = Math.max(spans, request.lockSpans.length);
        }
        return undefined;
      };
      const txn = cluster.db.begin();
      for (let i = 0; i < 500; i++) txn.put(row(i), Buffer.from('x'));
      await withTime(env, txn.flush());
      await withTime(env, txn.commit());
      return spans;
    }),
  },
  'kv.transaction.max_refresh_spans_bytes': {
    between: ['4194304', '4096'],
    look: transaction(async (cluster, env) => {
      let refreshes = 0;
      cluster.intercept = ({ requests }) => {
        refreshes += requests.filter(({ kind }) => kind === 'refresh').length;
        return undefined;
      };
      const txn = cluster.db.begin();
      for (let i = 0; i < 200; i++) await withTime(env, txn.get(row(i)));
      txn.put(row(0), Buffer.from('x'));
      await withTime(env, txn.commit());
      return refreshes;
    }),
  },
  'kv.transaction.parallel_commits_enabled': {
    between: ['true', 'false'],
    look: transaction(async (cluster, env) => {
      cluster.split(row(1));
      cluster.proposeDelayMs = () => 1000;
      const txn = cluster.db.begin();
      for (let i = 0; i < 2; i++) txn.put(row(i), Buffer.from('x'));
      await withTime(env, txn.commit());
      return env.clock.monotonicMs();
    }),
  },
  'kv.transaction.write_pipelining_enabled': {
    between: ['true', 'false'],
    look: transaction(async (cluster, env) => {
      cluster.proposeDelayMs = () => 1000;
      const txn = cluster.db.begin();
      for (let i = 0; i < 3000; i++) txn.put(row(i), Buffer.alloc(1000));
      await withTime(env, txn.flushIfLarge());
      const wentOnAtMs = env.clock.monotonicMs();
      await withTime(env, txn.commit());
      return wentOnAtMs < 1000;
    }),
  },
  'server.consistency_check.interval': {
    between: ['1000', '0'],
    look: checked(({ consistencyChecks }) => consistencyChecks > 0),
  },
  'server.consistency_check.max_rate': {
    between: ['8388608', '1024'],
    look: stores(1, async (cluster) => {
      for (let i = 0; i < 100; i++) await put(cluster, row(i), 1000);
      const { time } = cluster;
      const fromMs = time.nowMs;
      await time.settleOf(cluster.machine(1).store.deps.db.checkConsistency(keyMin, keyMax));
      return time.nowMs - fromMs > 10_000;
    }),
  },
  'server.eventlog.enabled': { between: ['true', 'false'], look: eventsKept(eventlogTable, 1000) },
  'server.eventlog.ttl': {
    between: ['3600000', '86400000'],
    look: eventsKept(eventlogTable, 7_300_000),
  },
  'server.rangelog.ttl': {
    between: ['3600000', '86400000'],
    look: eventsKept(rangelogTable, 7_300_000),
  },
  'server.time_until_store_dead': {
    between: ['300000', '60000'],
    look: stores(1, async (cluster) => cluster.machine(1).store.timeUntilDeadMs),
  },
  'sql.contention.event_store.duration_threshold': {
    between: ['0', '60000'],
    look: contentionEvents,
  },
  'sql.defaults.default_transaction_isolation': {
    between: ['read committed', 'serializable'],
    look: session,
  },
  'sql.defaults.idle_in_session_timeout': { between: ['0', '1000'], look: session },
  'sql.defaults.idle_in_transaction_session_timeout': { between: ['0', '1000'], look: session },
  'sql.defaults.lock_timeout': { between: ['0', '1000'], look: session },
  'sql.defaults.statement_timeout': { between: ['0', '1000'], look: session },
};

/** Facts about the cluster that are written down as settings. */
const labels = ['cluster.organization', 'version'];

describe('cluster settings', () => {
  it('are listed in the order of their names, each with a probe', () => {
    const names = clusterSettings.map(({ name }) => name);
    expect(names).toEqual(names.toSorted());
    expect([...Object.keys(probes), ...labels].sort()).toEqual(names);
  });

  for (const [name, { between, look }] of Object.entries(probes)) {
    it(`${name} has an effect`, async () => {
      const seen: unknown[] = [];
      for (const value of between) {
        const stored = new Map([[name, value]]);
        const settings = new ClusterSettings();
        settings.update(stored);
        seen.push(await look(settings, stored));
      }
      expect(seen[0]).not.toEqual(seen[1]);
    });
  }
});
