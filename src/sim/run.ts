/**
 * One simulated run: a cluster, a load and a schedule of faults drawn from the seed; faults for a while, then a core
 * of the cluster must serve, then all of it heals, comes to rest and is checked. Prints nothing itself.
 */
import { type Db, KvFailure } from '../kv/index.ts';
import { type Disk } from '../util/index.ts';
import { checkMemberships, checkMeta, type ReplicaPicture } from './checks.ts';
import { Clients, type ClientCounts } from './clients.ts';
import { SimCluster } from './cluster.ts';
import { type FaultName } from './faults/classes.ts';
import { Injector } from './faults/injector.ts';
import {
  describeFault,
  drawSchedule,
  select,
  type ScheduledFault,
  type Selection,
} from './faults/schedule.ts';
import { Invariants } from './invariants.ts';
import { healCore, now, recommission, settle, type Advance } from './phases.ts';
import { type SeededRandom } from './random.ts';
import { RangeOperations } from './range-operations.ts';
import { type Configuration, drawConfiguration } from './swarm.ts';
import { type GivenWorkload, type Workload } from './workload.ts';
import { createWorkload, type WorkloadName } from './workloads/index.ts';
import { World } from './world.ts';

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Default: drawn from the seed. */
  readonly workload?: WorkloadName | GivenWorkload;
  /** Classes of faults that may happen; default: drawn from the seed. */
  readonly faults?: readonly FaultName[];
  /** Of the schedule, only these faults happen; default: all. */
  readonly onlyFaults?: Selection;
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
  /** Why this run proves little: too few writes, or none that a fault met. */
  readonly vacuous: string | undefined;
  readonly counts: ClientCounts;
  /** Faults that happened, by class. */
  readonly faults: Readonly<Record<string, number>>;
  /** The faults that were to happen. */
  readonly schedule: readonly { readonly id: number; readonly text: string }[];
  /** How often a node ended itself because of its disk or its clock. */
  readonly stops: number;
  /** Crashes that lost or tore something that was not synced. */
  readonly lossyCrashes: number;
  /** Under faults and after them, whoever asked for it: how many, by name. */
  readonly rangeOperations: Readonly<Record<string, number>>;
  readonly ranges: number;
  readonly events: number;
  readonly simulatedSeconds: number;
  readonly configuration: string;
}

const startLimitMs = 60_000;
const convergeLimitMs = 60_000;
/** From one replica of each range to three: on slow disks and in tiny ranges that is much work, and nobody has asked yet how long it takes. */
const firstRestLimitMs = 300_000;
/** How often the invariants are looked at, and those of the states. */
const lookMs = 100;
const looksPerState = 20;

/** Must be called outside of any promise job (see WorldOptions.drainMicrotasks). */
export function runSimulation(options: SimOptions): SimResult {
  const run = new Run(options);
  run.go();
  return run.result();
}

class Run {
  readonly #options: SimOptions;
  readonly #world: World;
  readonly #configuration: Omit<Configuration, 'workload'> & { readonly workload: string };
  readonly #described: string;
  readonly #schedule: readonly ScheduledFault[];
  readonly #cluster: SimCluster;
  readonly #workload: Workload;
  readonly #clients: Clients;
  readonly #injector: Injector;
  readonly #invariants: Invariants;
  #operations: RangeOperations | undefined;
  readonly #coreRandom: SeededRandom;
  readonly #problems: string[] = [];
  #vacuous: string | undefined;
  #looks = 0;
  #ranges = 0;

  constructor(options: SimOptions) {
    this.#options = options;
    const world = new World(options);
    this.#world = world;
    const drawn = drawConfiguration(world.random.fork(), options.nodes);
    const given = typeof options.workload === 'object' ? options.workload : undefined;
    const named = typeof options.workload === 'string' ? options.workload : drawn.workload;
    const configuration = {
      ...drawn,
      workload: given?.name ?? named,
      clients: given?.clients ?? drawn.clients,
      faults: options.faults ?? drawn.faults,
    };
    this.#configuration = configuration;
    this.#described = JSON.stringify(configuration, (_key, value: unknown) =>
      typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
    );
    world.story(`seed ${options.seed}: ${this.#described}`);
    const durationMs = options.faultSeconds * 1000;
    const drawnFaults = drawSchedule(world.random.fork(), {
      scene: { machines: options.nodes, lateMachines: configuration.lateNodes },
      durationMs,
      everyMs: Math.min(configuration.faultEveryMs, durationMs / 4),
      classes: configuration.faults,
    });
    this.#schedule = select(drawnFaults, options.onlyFaults);
    this.#coreRandom = world.random.fork();
    this.#cluster = new SimCluster(world, {
      maxOffsetMs: 500,
      ...configuration,
      nodes: options.nodes + configuration.lateNodes,
      sql: given?.sql ?? false,
      ...(options.wrapDisk === undefined ? {} : { wrapDisk: options.wrapDisk }),
      ...(options.log === undefined ? {} : { log: options.log }),
    });
    const context = {
      world,
      clients: configuration.clients,
      closedAfterMs: configuration.closedAfterMs,
      violation: (text: string) => {
        world.story(`VIOLATION ${text}`);
        this.#problems.push(text);
      },
    };
    const workloadRandom = world.random.fork();
    const workload =
      given?.make(context, workloadRandom, this.#cluster) ??
      createWorkload(named, context, workloadRandom);
    this.#workload = workload;
    this.#clients = new Clients(world, this.#workload, {
      clients: configuration.clients,
      pauseMs: configuration.pauseMs,
      connect: (random) => {
        const nodes = this.#cluster.serving();
        if (nodes.length === 0) return undefined;
        const { node, gone, turn } = random.pick(nodes);
        const never = new Promise<void>(() => undefined);
        return { db: node.db, gone: workload.hasOwnConnections === true ? never : gone, turn };
      },
    });
    const clients = this.#clients;
    this.#injector = new Injector(world, this.#cluster, {
      splitKeys: () => this.#workload.splitKeys(),
      get writing() {
        return clients.writing;
      },
    });
    this.#invariants = new Invariants(this.#cluster);
  }

  result(): SimResult {
    return {
      seed: this.#options.seed,
      workload: this.#configuration.workload,
      traceHash: this.#world.traceHash,
      problems: [...this.#problems, ...this.#cluster.failures],
      vacuous: this.#vacuous,
      counts: this.#clients.counts,
      faults: Object.fromEntries(this.#injector.counts),
      schedule: this.#schedule.map((fault) => ({ id: fault.id, text: describeFault(fault) })),
      stops: this.#cluster.stops,
      lossyCrashes: this.#cluster.lossyCrashes,
      rangeOperations: this.#operations?.counts ?? {},
      ranges: this.#ranges,
      events: this.#world.events,
      simulatedSeconds: this.#world.nowMs / 1000,
      configuration: this.#described,
    };
  }

  get #failed(): boolean {
    return this.#problems.length + this.#cluster.failures.length > 0;
  }

  /** Ends early at the first problem. */
  go(): void {
    const phases = [
      () => this.#start(),
      () => this.#load(),
      () => this.#disturb(),
      () => this.#healCore(),
      () => this.#healAll(),
      () => this.#conclude(),
    ];
    for (const phase of phases) {
      phase();
      if (this.#failed) return;
    }
  }

  /** Loss and faults begin once the cluster stands. */
  #start(): void {
    this.#cluster.setLoss(0);
    const { nodes } = this.#options;
    for (let i = 0; i < nodes; i++) this.#cluster.start(i);
    const founders = Array.from({ length: nodes }, (_, i) => i);
    const stands = (): boolean => this.#cluster.areWhole(founders);
    if (!this.#world.run(startLimitMs, stands)) this.#problems.push('the cluster did not start');
  }

  #load(): void {
    const db = this.#cluster.serving()[0]?.node.db;
    if (db === undefined) return;
    this.#within('loading', prepare(this.#workload, db, this.#configuration.firstSplits));
    if (this.#failed || !this.#configuration.replicatedFirst) return;
    const { problems } = this.#settle(firstRestLimitMs);
    if (problems.length === 0) return;
    this.#problems.push('the cluster did not come to rest before the faults', ...problems);
  }

  #disturb(): void {
    const { faultSeconds } = this.#options;
    this.#cluster.setLoss(this.#configuration.loss);
    this.#clients.start();
    this.#operations = new RangeOperations(this.#cluster);
    this.#injector.start(this.#schedule);
    this.#advance(this.#world.nowMs + faultSeconds * 1000, () => false);
    this.#injector.stop();
    const { writes } = this.#clients.counts;
    if (writes < faultSeconds / 4) this.#vacuous = `only ${writes} writes in ${faultSeconds} s`;
    else if (this.#injector.overlapping === 0) this.#vacuous = 'no fault met a write';
  }

  #healCore(): void {
    // Nodes with SQL wait for the catalog, and its ranges need not have a quorum in the core.
    if (this.#cluster.size < 3 || this.#cluster.hasSql) return;
    this.#cluster.setLoss(0);
    this.#problems.push(...healCore(this.#world, this.#cluster, this.#coreRandom, this.#advance));
  }

  /** The cluster must serve, and all replicas must become equal. */
  #healAll(): void {
    const cluster = this.#cluster;
    cluster.release();
    cluster.setLoss(0);
    cluster.heal();
    for (let i = 0; i < cluster.size; i++) cluster.start(i);
    const healedMs = this.#world.nowMs;
    // Whoever has seen a time that lies ahead is believed once it has come.
    const servesAgain = (): boolean =>
      cluster.areWhole() &&
      cluster.serving().every(({ node }) => !node.clock.isTooFarAhead(node.clock.now())) &&
      this.#clients.lastSuccessMs > healedMs;
    if (!this.#advance(healedMs + convergeLimitMs, servesAgain)) {
      this.#problems.push('the healed cluster did not serve within 60 s');
      return;
    }
    this.#clients.stop();
    const ended = (): boolean => this.#clients.running === 0;
    if (!this.#advance(this.#world.nowMs + convergeLimitMs, ended)) {
      this.#problems.push('clients of the healed cluster did not finish within 60 s');
      return;
    }
    this.#within('the end of decommissions', recommission(cluster));
    const { problems, ranges } = this.#settle(convergeLimitMs);
    this.#problems.push(...problems);
    this.#ranges = ranges;
  }

  /** Every node is read, and then the history is checked. */
  #conclude(): void {
    for (const { index, node } of this.#cluster.serving()) {
      const what = `the final read on m${index + 1}`;
      this.#within(what, this.#workload.checkNode(node.db, what));
    }
    this.#within(
      'the check of meta',
      checkMeta(this.#cluster).then((problems) => void this.#problems.push(...problems)),
    );
    this.#within(
      'the check of memberships',
      checkMemberships(this.#cluster).then((problems) => void this.#problems.push(...problems)),
    );
    const last = this.#workload.conclude?.(this.#cluster);
    if (last !== undefined) this.#within('the last check', last);
  }

  #settle(limitMs: number): ReplicaPicture {
    return settle(this.#world, this.#cluster, {
      replicas: Math.min(3 + this.#configuration.nonVoters, this.#options.nodes),
      limitMs: limitMs + (this.#configuration.settings.timeUntilStoreDeadMs ?? 0),
      advance: this.#advance,
    });
  }

  readonly #advance: Advance = (untilMs, done) => {
    while (this.#world.nowMs < untilMs && !this.#failed) {
      if (this.#world.run(Math.min(untilMs, this.#world.nowMs + lookMs), done)) return true;
      this.#problems.push(...this.#invariants.check());
      this.#operations?.look();
      if (++this.#looks % looksPerState !== 0) continue;
      this.#problems.push(...(now(this.#world, this.#invariants.checkStates()) ?? []));
    }
    return done();
  };

  #within(what: string, work: Promise<void>): void {
    let isDone = false;
    work.then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        const reason = error instanceof KvFailure ? error.kvError.kind : String(error);
        this.#problems.push(`${what} failed: ${reason}`);
        isDone = true;
      },
    );
    if (!this.#world.run(this.#world.nowMs + convergeLimitMs, () => isDone)) {
      this.#problems.push(`${what} did not end within 60 s`);
    }
  }
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
