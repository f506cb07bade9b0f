/**
 * One simulated run: a cluster drawn from the seed (swarm: also workload and fault rates are drawn),
 * faults for a while, then everything is healed and must converge. Prints nothing itself.
 */
import { type Db, KvFailure } from '../kv/index.ts';
import { type Disk } from '../util/index.ts';
import { Clients, type ClientCounts } from './clients.ts';
import { checkLeases, checkReplicas, LeaderHistory } from './checks.ts';
import { SimCluster } from './cluster.ts';
import { Faults } from './faults.ts';
import { drawConfiguration } from './swarm.ts';
import { type GivenWorkload, type Workload } from './workload.ts';
import { createWorkload, type WorkloadName } from './workloads/index.ts';
import { World } from './world.ts';

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Default: drawn from the seed. */
  readonly workload?: WorkloadName | GivenWorkload;
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
  readonly workload: string;
  readonly traceHash: string;
  readonly problems: readonly string[];
  readonly counts: ClientCounts;
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
  const drawn = drawConfiguration(world.random.fork(), options.nodes);
  const given = typeof options.workload === 'object' ? options.workload : undefined;
  const named = typeof options.workload === 'string' ? options.workload : drawn.workload;
  const configuration = {
    ...drawn,
    workload: given?.name ?? named,
    clients: given?.clients ?? drawn.clients,
  };
  const described = JSON.stringify(configuration, (_key, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  );
  world.story(`seed ${options.seed}: ${described}`);
  const cluster = new SimCluster(world, {
    maxOffsetMs: 500,
    ...configuration,
    nodes: options.nodes + configuration.lateNodes,
    sql: given?.sql ?? false,
    ...(options.wrapDisk === undefined ? {} : { wrapDisk: options.wrapDisk }),
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  const violations: string[] = [];
  const context = {
    world,
    clients: configuration.clients,
    violation: (text: string) => {
      violations.push(text);
      world.story(`VIOLATION ${text}`);
    },
  };
  const workloadRandom = world.random.fork();
  const workload =
    given?.make(context, workloadRandom, cluster) ?? createWorkload(named, context, workloadRandom);
  const clients = new Clients(world, workload, {
    clients: configuration.clients,
    pauseMs: 100,
    connect(clientRandom) {
      const nodes = cluster.serving();
      if (nodes.length === 0) return undefined;
      const { node, gone, turn } = clientRandom.pick(nodes);
      const never = new Promise<void>(() => undefined);
      return { db: node.db, gone: workload.hasOwnConnections === true ? never : gone, turn };
    },
  });
  const problems: string[] = [];
  const result = (faults: number, crashes: number, ranges: number): SimResult => ({
    seed: options.seed,
    workload: configuration.workload,
    traceHash: world.traceHash,
    problems: [...problems, ...violations, ...cluster.failures],
    counts: clients.counts,
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
    prepare(workload, first.node.db, configuration.firstSplits).then(
      () => {
        loaded = true;
      },
      (error: unknown) => problems.push(`loading failed: ${String(error)}`),
    );
  }
  if (!world.run(world.nowMs + startLimitMs, () => loaded || problems.length > 0) || !loaded) {
    problems.push('the data could not be loaded');
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
  clients.start();

  const load = {
    splitKeys: () => workload.splitKeys(),
    get writing() {
      return clients.writing;
    },
  };
  const faults = new Faults(world, cluster, load, {
    everyMs: Math.min(configuration.faultEveryMs, (options.faultSeconds * 1000) / 4),
    firstMachines: options.nodes,
    diskFaults: configuration.diskFaults,
  });
  faults.start();
  const leaders = new LeaderHistory();
  const endMs = world.nowMs + options.faultSeconds * 1000;
  while (world.nowMs < endMs && violations.length + cluster.failures.length === 0) {
    world.run(Math.min(endMs, world.nowMs + 100));
    problems.push(...checkLeases(cluster), ...leaders.check(cluster), ...cluster.checkDisks());
    if (problems.length > 0) return result(faults.count, faults.crashes, 0);
  }
  if (violations.length + cluster.failures.length > 0) {
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
    cluster.serving().length === cluster.size && clients.lastSuccessMs > healedMs;
  if (!world.run(healedMs + convergeLimitMs, servesAgain)) {
    problems.push('the healed cluster did not serve within 60 s');
    return result(faults.count, faults.crashes, 0);
  }
  clients.stop();
  problems.push(...vacuity(options.faultSeconds, clients, faults));
  if (!world.run(world.nowMs + convergeLimitMs, () => clients.running === 0)) {
    problems.push('clients of the healed cluster did not finish within 60 s');
  }
  const picture = settle(world, cluster, replicas);
  problems.push(...picture.problems);
  problems.push(...finalChecks(world, cluster, workload));
  return result(faults.count, faults.crashes, picture.ranges);
}

/** The data, in some ranges from the beginning. */
async function prepare(workload: Workload, db: Db, splits: number): Promise<void> {
  await workload.load(db);
  const keys = workload.splitKeys();
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
function vacuity(faultSeconds: number, clients: Clients, faults: Faults): string[] {
  const problems: string[] = [];
  const { writes } = clients.counts;
  if (writes < faultSeconds / 4) {
    problems.push(`vacuous: only ${writes} writes in ${faultSeconds} s`);
  }
  if (faults.overlapping === 0) problems.push('vacuous: no fault met a write');
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

/** Every node is read, and then the history is checked. */
function finalChecks(world: World, cluster: SimCluster, workload: Workload): string[] {
  const problems: string[] = [];
  const within = (what: string, check: Promise<void>): void => {
    let done = false;
    check.then(
      () => {
        done = true;
      },
      (error: unknown) => {
        const reason = error instanceof KvFailure ? error.kvError.kind : String(error);
        problems.push(`${what} failed: ${reason}`);
        done = true;
      },
    );
    if (!world.run(world.nowMs + convergeLimitMs, () => done)) problems.push(`${what} did not end`);
  };
  for (const { index, node } of cluster.serving()) {
    const what = `the final read on m${index + 1}`;
    within(what, workload.checkNode(node.db, what));
  }
  if (workload.conclude !== undefined) within('the last check', workload.conclude(cluster));
  return problems;
}
