/**
 * Events that nobody waits for: rows of log tables, written in batches, behind. More than fit into the queue (nothing can
 * be written now) get lost, and are counted.
 */
import { KvFailure, type Db } from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import { putRow, type TableDescriptor } from '../catalog/index.ts';
import { type Datum } from '../types/index.ts';

const queueMax = 1_000;
const batchMax = 100;
const gatherMs = 200;
const retryMs = 2_000;

interface QueuedRow {
  readonly table: TableDescriptor;
  readonly row: readonly Datum[];
}

export class EventQueue {
  readonly #env: Env;
  readonly #db: Db;
  readonly #queue: QueuedRow[] = [];
  #timer: TimerHandle | undefined;
  #writing: Promise<void> | undefined;
  #isStopped = false;
  /** Events that got lost. */
  dropped = 0;

  constructor(env: Env, db: Db) {
    this.#env = env;
    this.#db = db;
  }

  add(table: TableDescriptor, row: readonly Datum[]): void {
    if (this.#isStopped) return;
    if (this.#queue.length >= queueMax) {
      this.dropped++;
      return;
    }
    this.#queue.push({ table, row });
    this.#writeIn(gatherMs);
  }

  /** Takes no more, and writes what waits, once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#writing;
    while (this.#queue.length > 0 && (await this.#write()));
  }

  #writeIn(delayMs: number): void {
    if (this.#writing !== undefined) return;
    this.#timer ??= this.#env.timers.after(delayMs, () => {
      this.#timer = undefined;
      this.#writing = this.#write().then((isWritten) => {
        this.#writing = undefined;
        if (this.#queue.length > 0 && !this.#isStopped)
          this.#writeIn(isWritten ? gatherMs : retryMs);
      });
    });
  }

  /** False when it failed: the rows still wait. */
  async #write(): Promise<boolean> {
    const rows = this.#queue.slice(0, batchMax);
    try {
      await this.#db.run({ name: 'event log', priority: 'low' }, async (txn) => {
        for (const { table, row } of rows) putRow(txn, table, row);
      });
      this.#queue.splice(0, rows.length);
      return true;
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      this.#env.log.debug({ error: error.kvError.kind }, 'events are not written');
      return false;
    }
  }
}
