/**
 * system.rangelog: what happened to ranges. The layers below say so without waiting; rows are written in batches, behind. More
 * than fit into the queue (nothing can be written now) get lost, and are counted. Rows older than `server.rangelog.ttl` go.
 */
import {
  KvFailure,
  kvSettings,
  type ClusterSettings,
  type Db,
  type NodeId,
  type RangeEvent,
  type RangeEvents,
  type StoreId,
} from '../../kv/index.ts';
import { type Env, type TimerHandle } from '../../util/index.ts';
import { deleteRow, oldestRows, putRow, rangelogTable } from '../catalog/index.ts';
import { type Datum, timestampOfWall } from '../types/index.ts';

const queueMax = 1_000;
const batchMax = 100;
const gatherMs = 200;
const retryMs = 2_000;
const cleanUpMs = 3_600_000;
const cleanUpRows = 500;
/** Bits of an event's id below the count: the node that wrote it. */
const nodeBits = 15n;

export class RangeLog implements RangeEvents {
  readonly #env: Env;
  readonly #db: Db;
  readonly #nodeId: NodeId;
  readonly #settings: ClusterSettings;
  readonly #queue: Datum[][] = [];
  #count = 0n;
  #writeTimer: TimerHandle | undefined;
  #cleanUpTimer: TimerHandle | undefined;
  #isStopped = false;
  /** Events that got lost. */
  dropped = 0;

  constructor(parts: {
    readonly env: Env;
    readonly db: Db;
    readonly nodeId: NodeId;
    readonly settings: ClusterSettings;
  }) {
    this.#env = parts.env;
    this.#db = parts.db;
    this.#nodeId = parts.nodeId;
    this.#settings = parts.settings;
  }

  start(): void {
    this.#cleanUpTimer = this.#env.timers.after(cleanUpMs, () => {
      this.#behind(this.#cleanUp(), 'old events were not removed');
      this.start();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cleanUpTimer?.cancel();
    this.#writeTimer?.cancel();
  }

  note({ kind, rangeId, otherRangeId, info }: RangeEvent, storeId: StoreId): void {
    if (this.#isStopped || !this.#settings.get(kvSettings.logRangeEvents)) return;
    if (this.#queue.length >= queueMax) {
      this.dropped++;
      return;
    }
    const id = (++this.#count << nodeBits) | BigInt(this.#nodeId % 32_768);
    this.#queue.push([
      timestampOfWall(this.#env.clock.wallMicros()),
      BigInt(rangeId),
      BigInt(storeId),
      kind,
      otherRangeId === undefined ? null : BigInt(otherRangeId),
      JSON.stringify(info),
      id,
    ]);
    this.#writeSoon(gatherMs);
  }

  #writeSoon(delayMs: number): void {
    this.#writeTimer ??= this.#env.timers.after(delayMs, () => {
      this.#behind(this.#write(), 'the range log is not written');
    });
  }

  async #write(): Promise<void> {
    const rows = this.#queue.slice(0, batchMax);
    let delayMs = retryMs;
    try {
      await this.#db.run({ name: 'range log', priority: 'low' }, async (txn) => {
        for (const row of rows) putRow(txn, rangelogTable, row);
      });
      this.#queue.splice(0, rows.length);
      delayMs = gatherMs;
    } finally {
      this.#writeTimer = undefined;
      if (this.#queue.length > 0 && !this.#isStopped) this.#writeSoon(delayMs);
    }
  }

  /** Every node does it: there is little to do, and nothing to agree on. */
  async #cleanUp(): Promise<void> {
    const ttlMicros = this.#settings.get(kvSettings.rangelogTtl) * 1000;
    const before = timestampOfWall(this.#env.clock.wallMicros() - ttlMicros);
    for (let isMore = ttlMicros > 0; isMore && !this.#isStopped;) {
      isMore = await this.#db.run({ name: 'old range events', priority: 'low' }, async (txn) => {
        const rows = await oldestRows(txn, rangelogTable, cleanUpRows);
        const old = rows.filter(([at]) => typeof at === 'bigint' && at < before);
        for (const row of old) deleteRow(txn, rangelogTable, row);
        return old.length === cleanUpRows;
      });
    }
  }

  #behind(work: Promise<void>, failure: string): void {
    work.catch((error: unknown) => {
      if (!(error instanceof KvFailure)) throw error;
      this.#env.log.debug({ error: error.kvError.kind }, failure);
    });
  }
}
