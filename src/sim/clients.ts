/** Concurrent clients that run the operations of a workload, each through some node that is up, until stopped. */
import { type Db, KvFailure } from '../kv/index.ts';
import { sleep } from '../util/index.ts';
import { type SeededRandom } from './random.ts';
import { type Workload } from './workload.ts';
import { type World } from './world.ts';

/** A node a client is connected to. `gone` settles when its process dies: answers never come then. */
export interface Connection {
  readonly db: Db;
  readonly gone: Promise<void>;
  /** The next turn of the node's event loop: a request enters there. */
  readonly turn: () => Promise<void>;
}

export interface ClientOptions {
  readonly clients: number;
  /** Mean pause of a client between two operations. */
  readonly pauseMs: number;
  /** Some node that is up; undefined when none is. */
  readonly connect: (random: SeededRandom) => Connection | undefined;
}

export interface ClientCounts {
  writes: number;
  reads: number;
  /** Ended without anybody knowing how. */
  ambiguous: number;
  failed: number;
}

export class Clients {
  /** Operations by how they ended. */
  readonly counts: ClientCounts = { writes: 0, reads: 0, ambiguous: 0, failed: 0 };
  /** When something last succeeded, for availability checks. */
  lastSuccessMs = 0;
  readonly #world: World;
  readonly #workload: Workload;
  readonly #options: ClientOptions;
  #running = 0;
  #writing = 0;
  #stopped = false;

  constructor(world: World, workload: Workload, options: ClientOptions) {
    this.#world = world;
    this.#workload = workload;
    this.#options = options;
  }

  /** Clients that have not ended. */
  get running(): number {
    return this.#running;
  }

  /** Writes under way. */
  get writing(): number {
    return this.#writing;
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client++) {
      this.#running++;
      void this.#client(client, this.#world.random.fork()).finally(() => this.#running--);
    }
  }

  /** Every client ends its operation under way. */
  stop(): void {
    this.#stopped = true;
  }

  async #client(client: number, random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      await sleep(this.#world, random.float() * 2 * this.#options.pauseMs);
      const connection = this.#options.connect(random);
      if (connection === undefined) continue;
      const operation = this.#workload.next(client, random);
      if (operation.kind === 'write') this.#writing++;
      try {
        const broken = connection.gone.then(() => 'broken' as const);
        const done = connection.turn().then(() => operation.run(connection.db));
        const outcome = await Promise.race([done, broken]);
        if (outcome === 'broken') {
          this.counts.ambiguous++;
          continue;
        }
        this.counts[operation.kind === 'write' ? 'writes' : 'reads']++;
        this.lastSuccessMs = this.#world.nowMs;
      } catch (error) {
        if (!(error instanceof KvFailure)) throw error;
        if (error.kvError.kind === 'ambiguous-result') this.counts.ambiguous++;
        else this.counts.failed++;
      } finally {
        if (operation.kind === 'write') this.#writing--;
      }
    }
  }
}
