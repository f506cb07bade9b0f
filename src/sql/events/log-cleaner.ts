/** Removes events of log tables that are older than their setting says. Every node does it: there is little to do, and nothing to agree on. */
import { KvFailure, kvSettings, type ClusterSettings, type Db } from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import {
  deleteRow,
  eventlogTable,
  oldestRows,
  rangelogTable,
  type TableDescriptor,
} from '../catalog/index.ts';
import { timestampOfWall } from '../types/index.ts';

const cleanUpMs = 3_600_000;
const cleanUpRows = 500;

export class LogCleaner {
  readonly #env: Env;
  readonly #db: Db;
  readonly #settings: ClusterSettings;
  #timer: TimerHandle | undefined;
  #isStopped = false;

  constructor(env: Env, db: Db, settings: ClusterSettings) {
    this.#env = env;
    this.#db = db;
    this.#settings = settings;
  }

  start(): void {
    this.#timer = this.#env.timers.after(cleanUpMs, () => {
      this.#cleanUp().catch((error: unknown) => {
        if (!(error instanceof KvFailure)) throw error;
        this.#env.log.debug({ error: error.kvError.kind }, 'old events were not removed');
      });
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #cleanUp(): Promise<void> {
    await this.#removeOld(eventlogTable, this.#settings.get(kvSettings.eventlogTtl));
    await this.#removeOld(rangelogTable, this.#settings.get(kvSettings.rangelogTtl));
  }

  /** Of a table whose key begins with a time. */
  async #removeOld(table: TableDescriptor, ttlMs: number): Promise<void> {
    const before = timestampOfWall(this.#env.clock.wallMicros() - ttlMs * 1000);
    for (let isMore = ttlMs > 0; isMore && !this.#isStopped;) {
      isMore = await this.#removeSome(table, before);
    }
  }

  /** True when there may be more of them. */
  #removeSome(table: TableDescriptor, before: bigint): Promise<boolean> {
    return this.#db.run({ name: 'old events', priority: 'low' }, async (txn) => {
      const rows = await oldestRows(txn, table, cleanUpRows);
      const old = rows.filter(([at]) => typeof at === 'bigint' && at < before);
      for (const row of old) deleteRow(txn, table, row);
      return old.length === cleanUpRows;
    });
  }
}
