/** Concurrent clients of a workload, each with a connection to some node and another one when that is lost. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Outcome } from '../../src/sim/checkers/history.ts';
import { type SeededRandom } from '../../src/sim/random.ts';
import { type WorkloadRun } from '../../src/sim/workloads/sql/index.ts';
import { Connection, type Seen } from './connection.ts';

/** One try of an operation, as whoever measures sees it. */
export interface Attempt extends Seen {
  readonly beganMs: number;
  readonly endedMs: number;
  readonly outcome: Outcome;
}

export interface ClientsParts {
  readonly clients: number;
  readonly urls: readonly string[];
  readonly workload: WorkloadRun;
  readonly random: SeededRandom;
  readonly nowMs: () => number;
}

/** Mean pause between two operations of a client: the machine is shared by all nodes. */
const pauseMs = 40;
const reconnectMs = 100;

export class Clients {
  /** In the order in which they ended. */
  readonly attempts: Attempt[] = [];
  /** What a step threw that is no outcome: a mistake of the workload. */
  readonly mistakes: unknown[] = [];
  readonly #parts: ClientsParts;
  readonly #running: Promise<void>[];
  #stopped = false;

  /** Begins at once. */
  constructor(parts: ClientsParts) {
    this.#parts = parts;
    this.#running = Array.from({ length: parts.clients }, (_, client) =>
      this.#client(client, parts.random.fork()).catch((error: unknown) => {
        this.mistakes.push(error);
      }),
    );
  }

  /** Resolves when each has ended its operation under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #client(client: number, random: SeededRandom): Promise<void> {
    const { urls, workload, nowMs } = this.#parts;
    let connection: Connection | undefined;
    // Spread at first, then wherever chance leads.
    let url = urls[client % urls.length];
    while (!this.#stopped) {
      await pause(random.float() * 2 * pauseMs);
      connection ??= await Connection.open(url ?? random.pick(urls)).catch(() => undefined);
      url = undefined;
      if (connection === undefined) {
        await pause(reconnectMs);
        continue;
      }
      const beganMs = nowMs();
      const outcome = await workload.step(connection, random, client);
      this.attempts.push({ beganMs, endedMs: nowMs(), outcome, ...connection.takeSeen() });
      if (outcome !== 'info' && !connection.isBroken) continue;
      await connection.close();
      connection = undefined;
    }
    await connection?.close();
  }
}
