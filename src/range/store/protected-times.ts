/**
 * The protected timestamps as one store knows them. Garbage is collected by records that were read a moment ago: whoever
 * writes one waits for that long (`kv/protected.ts`).
 */
import {
  compareTimestamps,
  KvFailure,
  protectionDelayMs,
  readProtected,
  releaseProtection,
  type Db,
  type ProtectedTimestamp,
  type RangeDescriptor,
  type Timestamp,
} from '../../kv/index.ts';
import { compareBytes, type Env } from '../../util/index.ts';

export class ProtectedTimes {
  readonly #env: Env;
  readonly #db: Db;
  #records: readonly ProtectedTimestamp[] = [];
  #readAtMs = -Infinity;

  constructor(env: Env, db: Db) {
    this.#env = env;
    this.#db = db;
  }

  /** Threshold or, where something older is protected, as much of it as is allowed; undefined when that cannot be told now. */
  async limit(
    range: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
    threshold: Timestamp,
  ): Promise<Timestamp | undefined> {
    if (!(await this.#refresh())) return undefined;
    let limit = threshold;
    for (const { spans, timestamp } of this.#records) {
      const concerns = spans.some(
        ({ start, end }) =>
          compareBytes(start, range.endKey) < 0 && compareBytes(range.startKey, end) < 0,
      );
      if (concerns && compareTimestamps(timestamp, limit) < 0) limit = timestamp;
    }
    return limit;
  }

  /** Removes the records of owners that are gone. */
  async reconcile(isGone: (owner: string) => Promise<boolean>): Promise<void> {
    await this.#read();
    for (const { id, owner } of this.#records) {
      if (!(await isGone(owner))) continue;
      await this.#db.run({ name: 'protected timestamps' }, async (txn) => {
        releaseProtection(txn, id);
      });
      this.#env.log.info(
        { record: id, owner },
        'a protected timestamp whose job is gone was removed',
      );
    }
  }

  /** False: they cannot be read at present. */
  async #refresh(): Promise<boolean> {
    if (this.#env.clock.monotonicMs() - this.#readAtMs < protectionDelayMs / 2) return true;
    try {
      await this.#read();
      // A reading that took too long is none.
      return this.#env.clock.monotonicMs() - this.#readAtMs < protectionDelayMs;
    } catch (error) {
      if (error instanceof KvFailure) return false;
      throw error;
    }
  }

  async #read(): Promise<void> {
    const startedAtMs = this.#env.clock.monotonicMs();
    this.#records = await this.#db.run({ name: 'protected timestamps' }, readProtected);
    this.#readAtMs = startedAtMs;
  }
}
