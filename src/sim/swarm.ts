/**
 * What a run draws from its seed beside the faults: machines, network, workload, and the settings of the
 * stores, within bounds in which a cluster has to work (swarm testing, Groce et al. 2012). Small limits make
 * rare things common: segments, barriers, snapshots and splits happen all the time.
 */
import { kvSettings } from '../kv/index.ts';
import { type StoreSettings } from '../range/index.ts';
import { type FaultName, faultNames } from './faults/classes.ts';
import { offsetMaxMs } from './faults/clocks.ts';
import { magnitude } from './faults/draws.ts';
import { type SeededRandom } from './random.ts';
import { type WorkloadName, workloadNames } from './workloads/index.ts';

export interface Configuration {
  readonly workload: WorkloadName;
  readonly delayMs: { readonly min: number; readonly mean: number };
  readonly loss: number;
  readonly diskMs: { readonly min: number; readonly max: number };
  readonly skewMs: number;
  readonly driftPpm: number;
  readonly rangeMaxBytes: number;
  /** 0: ranges are merged only when a fault says so. */
  readonly rangeMinBytes: number;
  readonly faultEveryMs: number;
  readonly faults: readonly FaultName[];
  readonly clients: number;
  /** Mean time between two operations of a client. */
  readonly pauseMs: number;
  /** Splits before the faults begin. */
  readonly firstSplits: number;
  /** Faults begin only when every range has all its replicas. */
  readonly replicatedFirst: boolean;
  /** Machines that join under load. */
  readonly lateNodes: number;
  /** Of each machine, the late ones at the end: how many stores it has. */
  readonly stores: readonly number[];
  /** Of every range. */
  readonly nonVoters: number;
  readonly settings: Partial<StoreSettings>;
  /** When timestamps are closed and all replicas have learnt of it. */
  readonly closedAfterMs: number;
  readonly clusterSettings: Readonly<Record<string, string>>;
}

/** How long a store waits for others: within the time that a healed cluster has to converge. */
const patience: Partial<StoreSettings> = {
  timeUntilStoreDeadMs: 30_000,
  replicaGcSilenceMs: 10_000,
  changeReplicasTimeoutMs: 20_000,
};

export function drawConfiguration(random: SeededRandom, nodes: number): Configuration {
  const delayMs = { min: random.float() * 2, mean: 0.2 + random.float() * 15 };
  // Slow disks show what is said before it is durable.
  const diskMs = { min: 0.05, max: magnitude(random, 1, 150) };
  const faults = drawFaults(random);
  const rangeMaxBytes = random.between(2_000, 20_000);
  const drawn = {
    workload: random.pick(workloadNames),
    delayMs,
    loss: random.chance(0.3) ? 0 : magnitude(random, 2, 200) / 10_000,
    diskMs,
    skewMs: random.chance(0.3) ? 0 : random.float() * offsetMaxMs,
    driftPpm: random.float() * 200,
    rangeMaxBytes,
    faultEveryMs: 1_000 + random.float() * 5_000,
    faults,
    clients: random.between(4, 12),
    firstSplits: random.between(0, 4),
    replicatedFirst: random.chance(0.85),
    lateNodes: nodes > 1 && random.chance(0.3) ? 1 : 0,
    nonVoters: nodes > 3 && random.chance(0.3) ? random.between(1, Math.min(2, nodes - 3)) : 0,
    settings: random.chance(0.2) ? patience : drawSettings(random, diskMs.max),
    ...drawClosing(random),
    rangeMinBytes: random.chance(0.5) ? 0 : Math.round(rangeMaxBytes * 0.4 * random.float()),
  };
  // What was added later is drawn last: seeds keep the rest.
  const stores = drawStores(random, nodes + drawn.lateNodes);
  const load = random.chance(0.75) ? drawLoad(random) : unmoved;
  const isGlobal = random.chance(0.4);
  return {
    ...drawn,
    faults: isGlobal ? [...faults, 'global-reads'] : faults,
    stores,
    pauseMs: load.pauseMs,
    settings: { ...drawn.settings, ...load.settings },
    clusterSettings: { ...drawn.clusterSettings, ...load.clusterSettings },
  };
}

/** Half of the clusters have machines with several disks. */
function drawStores(random: SeededRandom, machines: number): number[] {
  const max = random.chance(0.5) ? 3 : 1;
  return Array.from({ length: machines }, () => random.between(1, max));
}

type Load = Pick<Configuration, 'pauseMs' | 'settings' | 'clusterSettings'>;

/** Nothing is split, moved or held back because of load. */
const unmoved: Load = { pauseMs: 100, settings: {}, clusterSettings: {} };

/** What a few clients do is much: ranges are split by it, leases and replicas move, writes wait for splits. */
function drawLoad(random: SeededRandom): Load {
  return {
    pauseMs: magnitude(random, 10, 80),
    settings: {
      loadMovesMinQps: magnitude(random, 1, 10),
      balanceTurnMs: magnitude(random, 100, 1_000),
      capacityRefreshMs: magnitude(random, 1_000, 5_000),
    },
    clusterSettings: {
      [kvSettings.splitLoadQps.name]: String(magnitude(random, 1, 20)),
      [kvSettings.loadBasedInterval.name]: String(magnitude(random, 1_000, 4_000)),
      [kvSettings.qpsRebalanceThreshold.name]: String(0.02 + 0.25 * random.float()),
      [kvSettings.backpressureMultiplier.name]: String(1 + random.float()),
    },
  };
}

/** Timestamps are closed so early that transactions under way meet them. */
function drawClosing(
  random: SeededRandom,
): Pick<Configuration, 'closedAfterMs' | 'clusterSettings'> {
  const targetMs = magnitude(random, 300, 3_000);
  const intervalMs = magnitude(random, 20, 500);
  return {
    closedAfterMs: targetMs + intervalMs,
    clusterSettings: {
      [kvSettings.closedTimestampTarget.name]: String(targetMs),
      [kvSettings.closedTimestampSideTransportInterval.name]: String(intervalMs),
    },
  };
}

/** Some classes of faults, but for 'global-reads': what is not disturbed by all the others goes further. */
function drawFaults(random: SeededRandom): FaultName[] {
  const share = 0.15 + 0.7 * random.float();
  const others = faultNames.filter((name) => name !== 'global-reads');
  const drawn = others.filter(() => random.chance(share));
  return drawn.length < 3 ? others : drawn;
}

function drawSettings(random: SeededRandom, diskMaxMs: number): Partial<StoreSettings> {
  const livenessSupportMs = random.between(1_000, 5_000);
  // Two lost heartbeats in a row must not cost the support.
  const livenessHeartbeatMs = Math.round(livenessSupportMs / (3 + random.float() * 7));
  // The bound is renewed when half of it is left; the next heartbeat and two disk operations have to fit in.
  const clockBoundLeastMs = 2.2 * (livenessHeartbeatMs + 2 * diskMaxMs);
  return {
    tickMs: random.between(50, 150),
    electionTicks: random.between(3, 8),
    livenessSupportMs,
    livenessHeartbeatMs,
    // A restart waits for the bound: only small ones leave promises behind that outlast it.
    clockBoundMarginMs: Math.round(clockBoundLeastMs * (1 + 2 * random.float())),
    appendBytesMax: magnitude(random, 500, 262_144),
    inflightMessagesMax: random.between(2, 64),
    holdBytesMax: random.chance(0.3) ? 0 : magnitude(random, 100, 100_000),
    holdMs: magnitude(random, 1, 200),
    checkpointMs: magnitude(random, 300, 30_000),
    logBytesPerCheckpoint: magnitude(random, 2_000, 4_000_000),
    logBytesPerRangeMax: magnitude(random, 1_000, 1_000_000),
    logWaitMs: magnitude(random, 500, 60_000),
    logBytesMax: magnitude(random, 20_000, 10_000_000),
    snapshotChunkBytes: magnitude(random, 100, 65_536),
    snapshotsAtOnce: random.between(1, 3),
    queueIntervalMs: magnitude(random, 200, 2_000),
    changeReplicasTimeoutMs: magnitude(random, 3_000, 20_000),
    timeUntilStoreDeadMs: magnitude(random, 6_000, 30_000),
    // A removed replica whose leader lives on asks after five times this: within the time to converge.
    replicaGcSilenceMs: magnitude(random, 1_000, 10_000),
  };
}
