/**
 * Limits and intervals of a store; every one has a unit. What operators may change while it runs is a cluster setting
 * (`kv/cluster-settings.ts`) instead.
 */

export interface StoreSettings {
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly appendBytesMax: number;
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
  /**
   * While an append to a follower is unanswered, new entries of fewer bytes than this wait for the answer, but
   * not longer than `holdMs`: short links get fewer and fuller appends, long ones stay full. 0 bytes: none wait.
   */
  readonly holdBytesMax: number;
  readonly holdMs: number;
  readonly uncommittedBytesMax: number;
  /**
   * Support is asked for this often. A leader serves for `livenessSupportMs` on what it was promised last; a promise
   * binds for the maximum clock offset longer.
   */
  readonly livenessHeartbeatMs: number;
  readonly livenessSupportMs: number;
  /** How far ahead of the clock the durable clock bound is kept. */
  readonly clockBoundMarginMs: number;
  /** A deposed leader reports its open proposals as ambiguous after this long. */
  readonly ambiguousAfterMs: number;
  /** Order to campaign until the target leads, or the transfer has failed. */
  readonly transferTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** A barrier is made when the log grew by this much, or this long after the first write. */
  readonly logBytesPerCheckpoint: number;
  readonly checkpointMs: number;
  /** Entries kept for followers that are behind, before they are left to a snapshot. */
  readonly logBytesPerRangeMax: number;
  /** The log waits so long for followers that are away, and not at all when it is larger than this. */
  readonly logWaitMs: number;
  readonly logBytesMax: number;
  readonly snapshotChunkBytes: number;
  /** One call of a snapshot; a receiver that hears nothing for so long gives the snapshot up. */
  readonly snapshotTimeoutMs: number;
  readonly snapshotsAtOnce: number;
  /** Waiting for a new replica to get ahead, or for a configuration to change. */
  readonly changeReplicasTimeoutMs: number;
  /** Pause between two passes of the background queues; 0 turns them off (tests drive them by hand). */
  readonly queueIntervalMs: number;
  /** In place of the cluster setting `server.time_until_store_dead`: simulation wants less. */
  readonly timeUntilStoreDeadMs: number | undefined;
  /** A follower that has heard of no leader for so long asks whether it still belongs to its range. */
  readonly replicaGcSilenceMs: number;
  /** Counts of ranges and leases are published when they have changed, at most this often. */
  readonly capacityGossipMs: number;
  /** Everything about the capacity is published again after this long. */
  readonly capacityRefreshMs: number;
  /** Stores take turns in balancing; how long one lasts. */
  readonly balanceTurnMs: number;
  /** How many moves a turn may begin when the cluster is nearly even; more when it is far from it; 0: none. */
  readonly balanceMovesPerTurn: number;
  /** A store that serves fewer requests per second above the mean moves nothing because of load. */
  readonly loadMovesMinQps: number;
}

export const defaultStoreSettings: StoreSettings = {
  tickMs: 100,
  electionTicks: 3,
  heartbeatTicks: 2,
  appendBytesMax: 256 << 10,
  inflightBytesMax: 8 << 20,
  inflightMessagesMax: 64,
  holdBytesMax: 16 << 10,
  holdMs: 2,
  uncommittedBytesMax: 64 << 20,
  livenessHeartbeatMs: 500,
  livenessSupportMs: 1400,
  clockBoundMarginMs: 3000,
  ambiguousAfterMs: 10_000,
  transferTimeoutMs: 1000,
  drainTimeoutMs: 1000,
  logBytesPerCheckpoint: 12 << 20,
  checkpointMs: 30_000,
  logBytesPerRangeMax: 16 << 20,
  logWaitMs: 60_000,
  logBytesMax: 256 << 20,
  snapshotChunkBytes: 256 << 10,
  snapshotTimeoutMs: 60_000,
  snapshotsAtOnce: 2,
  changeReplicasTimeoutMs: 60_000,
  queueIntervalMs: 1000,
  timeUntilStoreDeadMs: undefined,
  replicaGcSilenceMs: 60_000,
  capacityGossipMs: 500,
  capacityRefreshMs: 10_000,
  balanceTurnMs: 2_000,
  balanceMovesPerTurn: 4,
  loadMovesMinQps: 100,
};
