/**
 * One simulated run: a cluster drawn from the seed (swarm: also the fault rates are drawn), a bank
 * workload, faults for a while, then everything is healed and must converge. Prints nothing itself.
 */
import { KvFailure } from '../kv/index.ts';
import { Bank, type BankCounts } from './bank.ts';
import { checkLeases, checkReplicas } from './checks.ts';
import { SimCluster } from './cluster.ts';
import { World } from './world.ts';

export interface SimOptions {
  readonly seed: number;
  readonly nodes: number;
  /** Simulated time under faults. */
  readonly faultSeconds: number;
  readonly drainMicrotasks: () => void;
  readonly trace: ((line: string) => void) | undefined;
  readonly log?: (node: number, line: string) => void;
}

export interface SimResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly problems: readonly string[];
  readonly counts: BankCounts;
  readonly faults: number;
  readonly crashes: number;
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
  const random = world.random.fork();
  const configuration = {
    delayMs: { min: random.float() * 2, mean: 0.2 + random.float() * 15 },
    loss: random.chance(0.3) ? 0 : random.float() * 0.04,
    diskMs: { min: 0.05, max: 0.2 + random.float() * 10 },
    skewMs: random.chance(0.3) ? 0 : random.float() * 200,
    driftPpm: random.float() * 200,
    rangeMaxBytes: random.between(2_000, 20_000),
    faultEveryMs: 500 + random.float() * 5_000,
    clients: random.between(4, 12),
    accounts: random.between(6, 16),
  };
  const described = JSON.stringify(configuration, (_key, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value,
  );
  world.story(`seed ${options.seed}: ${described}`);
  const cluster = new SimCluster(world, {
    nodes: options.nodes,
    maxOffsetMs: 500,
    ...configuration,
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
    ranges,
    events: world.events,
    simulatedSeconds: world.nowMs / 1000,
    configuration: described,
  });

  // Loss and faults begin once the cluster stands.
  cluster.setLoss(0);
  for (let i = 0; i < cluster.size; i++) cluster.start(i);
  if (!world.run(startLimitMs, () => cluster.serving().length === cluster.size)) {
    problems.push('the cluster did not start');
    return result(0, 0, 0);
  }
  const first = cluster.serving()[0];
  let loaded = false;
  if (first !== undefined) {
    bank.load(first.node.db).then(
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
  cluster.setLoss(configuration.loss);
  bank.start();

  const faults = new Faults(world, cluster, bank, configuration.faultEveryMs);
  faults.start();
  const endMs = world.nowMs + options.faultSeconds * 1000;
  while (world.nowMs < endMs && bank.violations.length + cluster.failures.length === 0) {
    world.run(Math.min(endMs, world.nowMs + 250));
    problems.push(...checkLeases(cluster));
    if (problems.length > 0) return result(faults.count, faults.crashes, 0);
  }
  if (bank.violations.length + cluster.failures.length > 0) {
    return result(faults.count, faults.crashes, 0);
  }

  // Everything heals; the cluster must serve, and all replicas must become equal.
  faults.stop();
  cluster.heal();
  cluster.setLoss(0);
  for (let i = 0; i < cluster.size; i++) {
    cluster.skew(i, 0);
    if (!cluster.isUp(i)) cluster.start(i);
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
  if (!world.run(world.nowMs + convergeLimitMs, () => bank.running === 0)) {
    problems.push('clients of the healed cluster did not finish within 60 s');
  }
  const { nodes } = options;
  const picture = settle(world, cluster, Math.min(3, nodes));
  problems.push(...picture.problems);
  problems.push(...finalReads(world, cluster, bank));
  return result(faults.count, faults.crashes, picture.ranges);
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
    bank.readAll(node.db).then(
      (balances) => {
        bank.check(balances, `final read on m${index + 1}`);
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

/** Draws faults, one about every `everyMs`; never takes more than a minority of machines down at once, except now and then all of them. */
class Faults {
  count = 0;
  crashes = 0;
  readonly #world: World;
  readonly #cluster: SimCluster;
  readonly #bank: Bank;
  readonly #everyMs: number;
  readonly #random;
  #stopped = false;

  constructor(world: World, cluster: SimCluster, bank: Bank, everyMs: number) {
    this.#world = world;
    this.#cluster = cluster;
    this.#bank = bank;
    this.#everyMs = everyMs;
    this.#random = world.random.fork();
  }

  start(): void {
    this.#world.after(this.#random.float() * 2 * this.#everyMs, () => {
      if (this.#stopped) return;
      this.count++;
      this.#one();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #one(): void {
    const random = this.#random;
    const cluster = this.#cluster;
    const all = Array.from({ length: cluster.size }, (_, i) => i);
    const victim = random.pick(all);
    const others = all.filter((i) => i !== victim);
    const kind = random.chance(0.6) ? 'process' : 'power';
    const draw = random.float();
    if (draw < 0.3) this.#crash([victim], kind);
    else if (draw < 0.33) this.#crash(all, kind);
    else if (draw < 0.38) this.#crash([victim, random.pick(others)], kind);
    else if (draw < 0.5) {
      cluster.partition([victim], others, random.chance(0.7) ? 'both' : 'one-way');
      this.#healLater();
    } else if (draw < 0.58) {
      const cut = random.between(1, all.length - 1);
      const shuffled = all.toSorted(() => random.float() - 0.5);
      cluster.partition(shuffled.slice(0, cut), shuffled.slice(cut), 'both');
      this.#healLater();
    } else if (draw < 0.68) {
      cluster.pause(victim, 50 + random.float() * 4_000);
    } else if (draw < 0.76) {
      cluster.skew(victim, (random.float() * 2 - 1) * 200);
    } else if (draw < 0.88) {
      this.#admin('split', (node) => node.db.split(random.pick(this.#bank.splitKeys())));
    } else {
      const target = cluster.node(victim)?.store.storeId;
      if (target === undefined) return;
      this.#admin('transfer', (node) =>
        node.db.transferLease(random.pick(this.#bank.splitKeys()), target),
      );
    }
  }

  #crash(victims: readonly number[], kind: 'process' | 'power'): void {
    for (const index of victims) {
      if (!this.#cluster.isUp(index)) continue;
      this.crashes++;
      this.#cluster.crash(index, kind);
      this.#world.after(100 + this.#random.float() * 8_000, () => {
        if (!this.#stopped) this.#cluster.start(index);
      });
    }
  }

  #healLater(): void {
    this.#world.after(500 + this.#random.float() * 8_000, () => this.#cluster.heal());
  }

  /** Range operations may fail under faults; they may not do harm. */
  #admin(
    what: string,
    run: (node: ReturnType<SimCluster['serving']>[number]['node']) => Promise<unknown>,
  ): void {
    const nodes = this.#cluster.serving();
    if (nodes.length === 0) return;
    const { node, index } = this.#random.pick(nodes);
    this.#world.story(`${what} through m${index + 1}`);
    run(node).then(
      () => this.#world.story(`${what} done`),
      (error: unknown) => {
        if (!(error instanceof KvFailure)) throw error;
        this.#world.story(`${what} failed: ${error.kvError.kind}`);
      },
    );
  }
}
