/** Makes the faults of a schedule happen, and counts them. */
import { KvFailure } from '../../kv/index.ts';
import { type SkeinNode } from '../../server/index.ts';
import { type SimCluster } from '../cluster.ts';
import { type World } from '../world.ts';
import { type FaultName } from './classes.ts';
import { type Target } from './fault.ts';
import { describeFault, type ScheduledFault } from './schedule.ts';

/** What the faults have to know of the load. */
export interface FaultLoad {
  splitKeys(): Buffer[];
  /** Writes under way. */
  readonly writing: number;
}

export class Injector {
  /** How often each class happened. */
  readonly counts = new Map<FaultName, number>();
  /** Faults that came while a write was under way. */
  overlapping = 0;
  readonly #world: World;
  readonly #cluster: SimCluster;
  readonly #load: FaultLoad;
  #over = false;

  constructor(world: World, cluster: SimCluster, load: FaultLoad) {
    this.#world = world;
    this.#cluster = cluster;
    this.#load = load;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  start(schedule: readonly ScheduledFault[]): void {
    const target = this.#target();
    for (const scheduled of schedule) {
      target.after(scheduled.atMs, () => {
        const { name, fault, shrunk } = scheduled;
        this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
        if (this.#load.writing > 0) this.overlapping++;
        this.#world.story(describeFault(scheduled));
        fault.inject(target, shrunk);
      });
    }
  }

  /** Nothing more happens. */
  stop(): void {
    this.#over = true;
  }

  #target(): Target {
    const isOver = (): boolean => this.#over;
    return {
      world: this.#world,
      cluster: this.#cluster,
      keyAt: (place) => {
        const keys = this.#load.splitKeys();
        return keys[Math.floor(place * keys.length)] ?? Buffer.alloc(0);
      },
      after: (delayMs, action) => {
        this.#world.after(Math.max(0, delayMs), () => {
          if (!this.#over) action();
        });
      },
      get isOver() {
        return isOver();
      },
      run: (what, work) => {
        work().catch((error: unknown) => this.#cluster.noteFailure(`${what}: ${String(error)}`));
      },
      operate: (what, place, operation) => this.#operate(what, place, operation),
    };
  }

  async #operate(
    what: string,
    place: number,
    operation: (node: SkeinNode) => Promise<unknown>,
  ): Promise<boolean> {
    const nodes = this.#cluster.serving();
    const via = nodes[Math.floor(place * nodes.length)];
    if (via === undefined) return false;
    const { node, index, gone } = via;
    this.#world.story(`${what} through m${index + 1}`);
    const died = gone.then(() => 'died with its node');
    const ended = operation(node).then(
      () => 'done',
      (error: unknown) => {
        // Whatever a killed process still throws is heard by nobody.
        if (this.#cluster.node(index) !== node) return 'died with its node';
        if (error instanceof KvFailure) return `failed: ${error.kvError.kind}`;
        this.#cluster.noteFailure(`${what} through m${index + 1}: ${String(error)}`);
        return 'threw';
      },
    );
    const end = await Promise.race([ended, died]);
    this.#world.story(`${what} ${end}`);
    return end === 'done';
  }
}
