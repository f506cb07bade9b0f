/**
 * Draws faults and what operators do, one about every `everyMs`. Mostly a minority of machines is down, now
 * and then all of them. Whatever happens here may cost time; it may not cost data.
 */
import { containsKey, KvFailure, type NodeId, type StoreId } from '../kv/index.ts';
import { type SimCluster } from './cluster.ts';
import { type SeededRandom } from './random.ts';
import { skewMsMax } from './swarm.ts';
import { type World } from './world.ts';

export interface FaultOptions {
  /** Mean time between two. */
  readonly everyMs: number;
  /** Machines from this one on join while the faults go on. */
  readonly firstMachines: number;
  readonly diskFaults: boolean;
}

/** What the faults have to know of the load. */
export interface FaultLoad {
  splitKeys(): Buffer[];
  /** Writes under way. */
  readonly writing: number;
}

export class Faults {
  count = 0;
  crashes = 0;
  /** Faults that came while a write was under way. */
  overlapping = 0;
  readonly #world: World;
  readonly #cluster: SimCluster;
  readonly #load: FaultLoad;
  readonly #options: FaultOptions;
  readonly #random: SeededRandom;
  #machines: number;
  #stopped = false;

  constructor(world: World, cluster: SimCluster, load: FaultLoad, options: FaultOptions) {
    this.#world = world;
    this.#cluster = cluster;
    this.#load = load;
    this.#options = options;
    this.#machines = options.firstMachines;
    this.#random = world.random.fork();
  }

  start(): void {
    this.#world.after(this.#random.float() * 2 * this.#options.everyMs, () => {
      if (this.#stopped) return;
      this.count++;
      if (this.#load.writing > 0) this.overlapping++;
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
    if (this.#machines < cluster.size && random.chance(0.3)) {
      cluster.start(this.#machines++);
      return;
    }
    const all = Array.from({ length: this.#machines }, (_, i) => i);
    const victim = random.pick(all);
    const others = all.filter((i) => i !== victim);
    const kind = random.chance(0.6) ? 'process' : 'power';
    const draw = random.float();
    if (draw < 0.22) this.#crash([victim], kind);
    else if (draw < 0.27) this.#moveWhileAway(victim);
    else if (draw < 0.31) this.#strandLeaseholder(all, kind);
    else if (draw < 0.35) this.#crash(all, kind);
    else if (draw < 0.4) this.#crash([victim, random.pick(others)], kind);
    else if (draw < 0.5) {
      cluster.partition([victim], others, random.chance(0.7) ? 'both' : 'one-way');
      this.#healLater();
    } else if (draw < 0.58) {
      const cut = random.between(1, all.length - 1);
      const shuffled = this.#shuffled(all);
      cluster.partition(shuffled.slice(0, cut), shuffled.slice(cut), 'both');
      this.#healLater();
    } else if (draw < 0.68) {
      cluster.pause(victim, 50 + random.float() * 4_000);
    } else if (draw < 0.76) {
      cluster.skew(victim, (random.float() * 2 - 1) * skewMsMax);
    } else if (draw < 0.82) {
      if (this.#options.diskFaults) this.#failDisk(victim);
      else cluster.pause(victim, 50 + random.float() * 500);
    } else if (draw < 0.91) {
      this.#admin('split', (node) => node.db.split(random.pick(this.#load.splitKeys())));
    } else {
      const target = cluster.serving().find(({ index }) => index === victim)?.node.store.storeId;
      if (target === undefined) return;
      this.#admin('transfer', (node) =>
        node.db.transferLease(random.pick(this.#load.splitKeys()), target),
      );
    }
  }

  #shuffled(items: readonly number[]): number[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.#random.between(0, i);
      const a = out[i];
      const b = out[j];
      if (a === undefined || b === undefined) continue;
      out[i] = b;
      out[j] = a;
    }
    return out;
  }

  /** A leaseholder is cut off while all others restart: it still serves what they promised before. */
  #strandLeaseholder(all: readonly number[], kind: 'process' | 'power'): void {
    const key = this.#random.pick(this.#load.splitKeys());
    const holder = this.#cluster
      .serving()
      .find(({ node }) =>
        [...node.store.replicas.values()].some(
          (replica) =>
            replica.initialised && replica.holdsLease && containsKey(replica.descriptor, key),
        ),
      );
    if (holder === undefined) return;
    const others = all.filter((i) => i !== holder.index);
    this.#cluster.partition([holder.index], others, 'both');
    this.#healLater();
    this.#crash(others, kind, 'at-once');
  }

  /**
   * A range moves to two other stores, and somewhere on the way one of its replicas, mostly the leaseholder's, is
   * cut off from them. With luck it still meets those that have left the range: none of them may help it.
   */
  #moveWhileAway(victim: number): void {
    const random = this.#random;
    const serving = this.#cluster.serving();
    const key = random.pick(this.#load.splitKeys());
    const holds = ({ node }: (typeof serving)[number]): boolean =>
      [...node.store.replicas.values()].some(
        (replica) => replica.initialised && containsKey(replica.descriptor, key),
      );
    const members = serving.filter(holds);
    const others = serving.filter((each) => !members.includes(each));
    const away = members.find(({ index }) => index === victim) ?? members[0];
    if (away === undefined || members.length < 2 || others.length === 0) return;
    const leaving = members.filter((each) => each !== away).slice(0, others.length);
    const target = ({ node }: (typeof serving)[number]): { nodeId: NodeId; storeId: StoreId } => ({
      nodeId: node.nodeId,
      storeId: node.store.storeId,
    });
    const change = {
      add: others.slice(0, leaving.length).map(target),
      remove: leaving.map(target),
    };
    this.#admin('move', (node) => node.db.changeReplicas(key, change));
    this.#world.after(random.float() * (random.chance(0.5) ? 100 : 1_000), () => {
      const newer = others.map(({ index }) => index);
      const older = members.map(({ index }) => index).filter((index) => index !== away.index);
      const far = random.chance(0.5) ? newer : [...newer, ...older];
      this.#cluster.partition([away.index], far, 'both');
      if (random.chance(0.5)) this.#cluster.partition(older, newer, 'both');
      this.#healLater();
    });
  }

  #crash(
    victims: readonly number[],
    kind: 'process' | 'power',
    restart: 'at-once' | 'some-time' = 'some-time',
  ): void {
    for (const index of victims) {
      if (!this.#cluster.isUp(index)) continue;
      this.crashes++;
      this.#cluster.crash(index, kind);
      this.#restartLater(index, restart);
    }
  }

  #failDisk(index: number): void {
    this.#cluster.failDisk(index, this.#random.chance(0.5) ? 'EIO' : 'ENOSPC', () => {
      this.crashes++;
      this.#restartLater(index);
    });
  }

  #restartLater(index: number, when: 'at-once' | 'some-time' = 'some-time'): void {
    // At once, as a supervisor does, or after somebody has looked at it.
    const soon = when === 'at-once' || this.#random.chance(0.5);
    const downMs = soon ? 50 + this.#random.float() * 400 : 8_000;
    this.#world.after(downMs * (0.1 + 0.9 * this.#random.float()), () =>
      // Also after the end of the faults: a disk may have failed shortly before.
      this.#cluster.start(index),
    );
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
        // Whatever a killed process still threw was heard by nobody.
        if (this.#cluster.node(index) !== node) this.#world.story(`${what} died with its node`);
        else if (error instanceof KvFailure) {
          this.#world.story(`${what} failed: ${error.kvError.kind}`);
        } else throw error;
      },
    );
  }
}
