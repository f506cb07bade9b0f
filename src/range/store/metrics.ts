/** What a store measures of itself; the server exports it. Counters only grow. */
import { type Store } from './store.ts';

export interface StoreCounters {
  batches: number;
  proposals: number;
  entriesApplied: number;
  raftMessagesSent: number;
  raftMessagesReceived: number;
  raftTurns: number;
  leasesAcquired: number;
  leasesLost: number;
  /** Leases that another store took over because this one wanted it to. */
  leaseTransfers: number;
  splits: number;
  /** As leaseholder: splits, leases given away and replicas moved because of load. */
  splitsByLoad: number;
  leaseMovesByLoad: number;
  replicaMovesByLoad: number;
  merges: number;
  snapshotsSent: number;
  snapshotsReceived: number;
  snapshotBytesSent: number;
  replicasRemoved: number;
  checkpoints: number;
  versionsCollected: number;
  writesHeldBack: number;
  writesHeldBackByDisk: number;
  /** Batches of reads that a replica served without the lease. */
  followerReads: number;
  /** Parallel commits whose coordinator was silent: how they were found to have ended. */
  txnsRecoveredCommitted: number;
  txnsRecoveredAborted: number;
  /** As leaseholder; see `consistency/check.ts`. */
  consistencyChecks: number;
  inconsistenciesFound: number;
  /** Replicas of this store that were read for a check. */
  rangesHashed: number;
}

export function newStoreCounters(): StoreCounters {
  return {
    batches: 0,
    proposals: 0,
    entriesApplied: 0,
    raftMessagesSent: 0,
    raftMessagesReceived: 0,
    raftTurns: 0,
    leasesAcquired: 0,
    leasesLost: 0,
    leaseTransfers: 0,
    splits: 0,
    splitsByLoad: 0,
    leaseMovesByLoad: 0,
    replicaMovesByLoad: 0,
    merges: 0,
    snapshotsSent: 0,
    snapshotsReceived: 0,
    snapshotBytesSent: 0,
    replicasRemoved: 0,
    checkpoints: 0,
    versionsCollected: 0,
    writesHeldBack: 0,
    writesHeldBackByDisk: 0,
    followerReads: 0,
    txnsRecoveredCommitted: 0,
    txnsRecoveredAborted: 0,
    consistencyChecks: 0,
    inconsistenciesFound: 0,
    rangesHashed: 0,
  };
}

export interface StoreMetrics {
  readonly counters: Readonly<StoreCounters>;
  readonly gauges: {
    readonly ranges: number;
    readonly leases: number;
    readonly leaders: number;
    /** Replicas that take part in ticks: idle ones do not. */
    readonly awakeReplicas: number;
    readonly raftLogBytes: number;
    readonly queriesPerSecond: number;
  };
}

/** `awakeReplicas`: as the scheduler knows it. */
export function measureStore(store: Store, awakeReplicas: number): StoreMetrics {
  let leases = 0;
  let leaders = 0;
  let queriesPerSecond = 0;
  for (const replica of store.replicas.values()) {
    if (replica.isLeader) leaders++;
    if (!replica.holdsLease) continue;
    leases++;
    queriesPerSecond += replica.queriesPerSecond;
  }
  return {
    counters: { ...store.counters },
    gauges: {
      ranges: store.replicas.size,
      leases,
      leaders,
      awakeReplicas,
      raftLogBytes: store.raftLog.liveBytes,
      queriesPerSecond,
    },
  };
}
