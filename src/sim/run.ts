/**
 * One simulated run: a cluster drawn from the seed (swarm: also the fault rates are drawn), a bank
 * workload, faults for a while, then everything is healed and must converge. Prints nothing itself.
 */
import { type Db, KvFailure } from '../kv/index.ts';
import { type Disk } from '../util/index.ts';
import { Bank, type BankCounts } from './bank.ts';
import { checkLeases, checkReplicas, LeaderHistory } from './checks.ts';
import { SimCluster } from './cluster.ts';
import { Faults } from './faults.ts';
import { drawConfiguration } from './swarm.ts';
import { World } from './world.ts';

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Simulated time under faults. */
  readonly faultSeconds: number;
  readonly drainMicrotasks: () => void;
  readonly trace: ((line: string) => void) | undefined;
  readonly log?: (node: number, line: string) => void;
  /** See SimClusterOptions. */
  readonly wrapDisk?: (disk: Disk) => Disk;
}

export interface SimResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly problems: readonly string[];
  readonly counts: BankCounts;
  readonly faults: number;
  readonly crashes: number;
  /** How often a node stopped itself because its disk failed. */
  readonly diskStops: number;
  readonly ranges: number;
  readonly events: number;
  readonly simulatedSeconds: number;
  readonly configuration: string;
}

const startLimitMs = 60_000;
const convergeLimitMs = 60_000;

/** Must be called outside of any promise job (see WorldOptions.drainMicrotasks). */
export function runSimulation(options: SimOptions): SimResult {
  const world = new World(options);
  const configuration = drawConfiguration(world.random.fork(), options.nodes);
  const described = JSON.stringify(configuration, (_key, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  );
  world.story(`seed ${options.seed}: ${described}`);
  const cluster = new SimCluster(world, {
    maxOffsetMs: 500,
    ...configuration,
    nodes: options.nodes + configuration.lateNodes,
    ...(options.wrapDisk === undefined ? {} : { wrapDisk: options.wrapDisk }),
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  const bank = new Bank(
    world,
    {
      accounts: configuration.accounts,
      initialBalance: 20,
      clients: configuration.clients,
      pauseMs: 100,
    },
    {
      connect(clientRandom) {
        const nodes = cluster.serving();
        if (nodes.length === 0) return undefined;
        const { node, gone } = clientRandom.pick(nodes);
        return { db: node.db, gone };
      },
    },
  );
  const problems: string[] = [];
  const result = (faults: number, crashes: number, ranges: number): SimResult => ({
    seed: options.seed,
    traceHash: world.traceHash,
    problems: [...problems, ...bank.violations, ...cluster.failures],
    counts: bank.counts,
    faults,
    crashes,
    diskStops: cluster.diskStops,
    ranges,
    events: world.events,
    simulatedSeconds: world.nowMs / 1000,
    configuration: described,
  });

  // Loss and faults begin once the cluster stands.
  cluster.setLoss(0);
  for (let i = 0; i < options.nodes; i++) cluster.start(i);
  if (!world.run(startLimitMs, () => cluster.serving().length === options.nodes)) {
    problems.push('the cluster did not start');
    return result(0, 0, 0);
  }
  const first = cluster.serving()[0];
  let loaded = false;
  if (first !== undefined) {
    prepare(bank, first.node.db, configuration.firstSplits).then(
      () => {
        loaded = true;
      },
      (error: unknown) => problems.push(`loading failed: ${String(error)}`),
    );
  }
  if (!world.run(world.nowMs + startLimitMs, () => loaded || problems.length > 0) || !loaded) {
    problems.push('the bank could not be loaded');
    return result(0, 0, 0);
  }
  const replicas = Math.min(3, options.nodes);
  if (configuration.replicatedFirst) {
    const { problems: missing } = settle(world, cluster, replicas);
    if (missing.length > 0) {
      problems.push('the cluster did not come to rest before the faults', ...missing);
      return result(0, 0, 0);
    }
  }
  cluster.setLoss(configuration.loss);
  bank.start();

  const faults = new Faults(world, cluster, bank, {
    everyMs: Math.min(configuration.faultEveryMs, (options.faultSeconds * 1000) / 4),
    firstMachines: options.nodes,
    diskFaults: configuration.diskFaults,
  });
  faults.start();
  const leaders = new LeaderHistory();
  const endMs = world.nowMs + options.faultSeconds * 1000;
  while (world.nowMs < endMs && bank.violations.length + cluster.failures.length === 0) {
    world.run(Math.min(endMs, world.nowMs + 100));
    problems.push(...checkLeases(cluster), ...leaders.check(cluster), ...cluster.checkDisks());
    if (problems.length > 0) return result(faults.count, faults.crashes, 0);
  }
  if (bank.violations.length + cluster.failures.length > 0) {
    return result(faults.count, faults.crashes, 0);
  }

  // Everything heals; the cluster must serve, and all replicas must become equal.
  faults.stop();
  cluster.heal();
  cluster.healDisks();
  cluster.setLoss(0);
  for (let i = 0; i < cluster.size; i++) {
    cluster.skew(i, 0);
    cluster.start(i);
  }
  world.story('healed');
  const healedMs = world.nowMs;
  const servesAgain = (): boolean =>
    cluster.serving().length === cluster.size && bank.lastSuccessMs > healedMs;
  if (!world.run(healedMs + convergeLimitMs, servesAgain)) {
    problems.push('the healed cluster did not serve within 60 s');
    return result(faults.count, faults.crashes, 0);
  }
  bank.stop();
  problems.push(...vacuity(options.faultSeconds, bank, faults));
  if (!world.run(world.nowMs + convergeLimitMs, () => bank.running === 0)) {
    problems.push('clients of the healed cluster did not finish within 60 s');
  }
  const picture = settle(world, cluster, replicas);
  problems.push(...picture.problems);
  problems.push(...finalReads(world, cluster, bank));
  return result(faults.count, faults.crashes, picture.ranges);
}

/** Accounts, in some ranges from the beginning. */
async function prepare(bank: Bank, db: Db, splits: number): Promise<void> {
  await bank.load(db);
  const keys = bank.splitKeys();
  for (let i = 1; i <= splits; i++) {
    const key = keys[Math.floor((i * keys.length) / (splits + 1))];
    try {
      if (key !== undefined) await db.split(key);
    } catch (error) {
      // The replicas of the range may be changing: fewer ranges then.
      if (!(error instanceof KvFailure)) throw error;
    }
  }
}

/** A run in which nothing happened proves nothing. */
function vacuity(faultSeconds: number, bank: Bank, faults: Faults): string[] {
  const problems: string[] = [];
  const { transfersOk } = bank.counts;
  if (transfersOk < faultSeconds / 4) {
    problems.push(`vacuous: only ${transfersOk} transfers in ${faultSeconds} s`);
  }
  if (faults.overlapping === 0) problems.push('vacuous: no fault met a transfer');
  return problems;
}

/** Waits until the replica checks hold; returns the last picture. */
function settle(
  world: World,
  cluster: SimCluster,
  replicas: number,
): { problems: string[]; ranges: number } {
  const deadlineMs = world.nowMs + convergeLimitMs;
  let picture: { problems: string[]; ranges: number } = { problems: ['not checked'], ranges: 0 };
  while (world.nowMs < deadlineMs) {
    world.run(world.nowMs + 1000);
    let checked = false;
    checkReplicas(cluster, replicas).then(
      (got) => {
        picture = got;
        checked = true;
      },
      (error: unknown) => {
        picture = { problems: [`the check failed: ${String(error)}`], ranges: 0 };
        checked = true;
      },
    );
    world.run(world.nowMs + 10, () => checked);
    if (picture.problems.length === 0) break;
  }
  return picture;
}

/** Every node reads all accounts. */
function finalReads(world: World, cluster: SimCluster, bank: Bank): string[] {
  const problems: string[] = [];
  for (const { index, node } of cluster.serving()) {
    let done = false;
    const where = `final read on m${index + 1}`;
    const read = async (): Promise<void> => {
      bank.check(await bank.readAll(node.db), where);
      await bank.checkLedger(node.db, where);
    };
    read().then(
      () => {
        done = true;
      },
      (error: unknown) => {
        const reason = error instanceof KvFailure ? error.kvError.kind : String(error);
        problems.push(`the final read on m${index + 1} failed: ${reason}`);
        done = true;
      },
    );
    if (!world.run(world.nowMs + convergeLimitMs, () => done)) {
      problems.push(`the final read on m${index + 1} did not end`);
    }
  }
  return problems;
}
