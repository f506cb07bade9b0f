/** What `/metrics` shows: counters and gauges of the stores, of transactions and of SQL in Prometheus' text format. */
import { Gauge, Counter, Registry } from 'prom-client';
import { type HlcClock } from '../kv/index.ts';
import { type StoreMetrics } from '../range/index.ts';
import { type TxnCounters } from '../txn/index.ts';

export interface MetricSources {
  readonly clock: HlcClock;
  store(): StoreMetrics | undefined;
  txns(): TxnCounters;
  sql(): Readonly<Record<string, number>>;
}

/** `entriesApplied` -> `skein_entries_applied_total`. */
function metricName(name: string, suffix: string): string {
  return `skein_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}${suffix}`;
}

/** One registry per node, so that several nodes of one process do not mix. */
export function createMetricsRegistry(sources: MetricSources, labels: { node: string }): Registry {
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  const known = new Set<string>();
  const counter = (name: string, help: string, read: () => number): void => {
    known.add(name);
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
  };
  const gauge = (name: string, help: string, read: () => number): void => {
    known.add(name);
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
  };
  for (const [name, help] of Object.entries(counterHelp)) {
    counter(name, help, () => sources.store()?.counters[name as keyof typeof counterHelp] ?? 0);
  }
  for (const [name, help] of Object.entries(txnCounterHelp)) {
    counter(name, help, () => sources.txns()[name as keyof typeof txnCounterHelp]);
  }
  for (const [name, help] of Object.entries(gaugeHelp)) {
    gauge(name, help, () => sources.store()?.gauges[name as keyof typeof gaugeHelp] ?? 0);
  }
  const { clock } = sources;
  gauge(
    'clockOffsetMicros',
    "Mean distance of other machines' clocks from this one's, in microseconds",
    () => clock.machine.meanOffsetMicros(),
  );
  gauge(
    'clockIsWrong',
    '1 while this node serves nobody because its clock is too far from those of the others',
    () => (clock.complaint() === undefined ? 0 : 1),
  );
  for (const name of Object.keys(sources.sql())) {
    const help = `SQL: ${name}`;
    const read = (): number => sources.sql()[name] ?? 0;
    if (name.startsWith('open')) gauge(name, help, read);
    else counter(name, help, read);
  }
  return registry;
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
