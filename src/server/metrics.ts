/** What `/metrics` shows: counters and gauges of the stores, of transactions and of SQL in Prometheus' text format. */
import { Gauge, Counter, Registry } from 'prom-client';
import { type HlcClock } from '../kv/index.ts';
import { type StoreMetrics } from '../range/index.ts';
import { type TxnCounters } from '../txn/index.ts';

export interface MetricSources {
  readonly clock: HlcClock;
  store(): StoreMetrics | undefined;
  txns(): TxnCounters;
}

/** One registry per node, so that several nodes of one process do not mix. */
export function createMetricsRegistry(sources: MetricSources, labels: { node: string }): Registry {
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  for (const [name, help] of Object.entries(counterHelp)) {
    const key = name as keyof typeof counterHelp;
    addCounter(registry, name, help, () => sources.store()?.counters[key] ?? 0);
  }
  for (const [name, help] of Object.entries(txnCounterHelp)) {
    const key = name as keyof typeof txnCounterHelp;
    addCounter(registry, name, help, () => sources.txns()[key]);
  }
  for (const [name, help] of Object.entries(gaugeHelp)) {
    const key = name as keyof typeof gaugeHelp;
    addGauge(registry, name, help, () => sources.store()?.gauges[key] ?? 0);
  }
  const { clock } = sources;
  addGauge(
    registry,
    'clockOffsetMicros',
    "Mean distance of other machines' clocks from this one's, in microseconds",
    () => clock.machine.meanOffsetMicros(),
  );
  addGauge(
    registry,
    'clockIsWrong',
    '1 while this node serves nobody because its clock is too far from those of the others',
    () => (clock.complaint() === undefined ? 0 : 1),
  );
  return registry;
}

/** SQL opens later than the rest of the node, which has something to show before. */
export function addSqlMetrics(
  registry: Registry,
  metrics: () => Readonly<Record<string, number>>,
): void {
  for (const name of Object.keys(metrics())) {
    const add = name.startsWith('open') ? addGauge : addCounter;
    add(registry, name, `SQL: ${name}`, () => metrics()[name] ?? 0);
  }
}

function addCounter(registry: Registry, name: string, help: string, read: () => number): void {
  registry.registerMetric(
    new Counter({
      name: metricName(name, '_total'),
      help,
      registers: [],
      collect() {
        this.reset();
        this.inc(read());
      },
    }),
  );
}

function addGauge(registry: Registry, name: string, help: string, read: () => number): void {
  registry.registerMetric(
    new Gauge({
      name: metricName(name, ''),
      help,
      registers: [],
      collect() {
        this.set(read());
      },
    }),
  );
}

/** `entriesApplied` -> `skein_entries_applied_total`. */
function metricName(name: string, suffix: string): string {
  return `skein_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}${suffix}`;
}

const counterHelp: Record<keyof StoreMetrics['counters'], string> = {
  batches: 'Batches of requests received by the store',
  proposals: 'Commands proposed to raft',
  entriesApplied: 'Raft entries applied',
  raftMessagesSent: 'Raft messages sent',
  raftMessagesReceived: 'Raft messages received',
  raftTurns: 'Turns of the raft scheduler that had work',
  leasesAcquired: 'Leases acquired',
  leasesLost: 'Leases lost or handed over',
  leaseTransfers: 'Leases handed over to another store',
  splits: 'Range splits applied',
  splitsByLoad: 'Ranges split by this store because they were busy',
  leaseMovesByLoad: 'Leases given away because this store was busy',
  replicaMovesByLoad: 'Replicas moved because this store was busy',
  merges: 'Range merges applied',
  writesHeldBack: 'Batches that waited for the split of a range that is too large',
  writesHeldBackByDisk: 'Batches that waited for the disk to take what was applied before',
  snapshotsSent: 'Range snapshots sent',
  snapshotsReceived: 'Range snapshots received',
  snapshotBytesSent: 'Bytes sent in range snapshots',
  replicasRemoved: 'Replicas removed from this store',
  checkpoints: 'Barriers of the state engine',
  followerReads: 'Batches of reads that were served without a lease',
  txnsRecoveredCommitted: 'Parallel commits of silent coordinators that were found to be committed',
  txnsRecoveredAborted: 'Parallel commits of silent coordinators that were found to lack a write',
  consistencyChecks: 'Ranges whose replicas were compared with each other',
  inconsistenciesFound: 'Ranges whose replicas were found to differ',
  rangesHashed: 'Replicas of this store that were read for a comparison',
  versionsCollected: 'Old versions removed by garbage collection',
};

const txnCounterHelp: Record<keyof TxnCounters, string> = {
  parallelCommits: 'Commits that staged their record together with their last writes',
  parallelCommitsAgain: 'Parallel commits that went on in two rounds, at a later timestamp',
  onePhaseCommitsSettled: 'One-phase commits whose answer was lost, so that their range was asked',
  parallelCommitsSettled: 'Parallel commits whose record was asked how they ended',
  refreshes:
    'Reads that were compared with a later timestamp, so that their transaction could go on there',
  refreshesFailed: 'Refreshes that found a change',
};

const gaugeHelp: Record<keyof StoreMetrics['gauges'], string> = {
  ranges: 'Replicas on this store',
  leases: 'Leases held by this store',
  leaders: 'Raft groups led by this store',
  awakeReplicas: 'Replicas that take part in ticks',
  raftLogBytes: 'Live bytes of the raft log',
  queriesPerSecond: 'Requests per second at the leaseholders of this store',
};
