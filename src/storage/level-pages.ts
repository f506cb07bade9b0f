/**
 * Pages of a LevelDB iterator. Each page is one trip to a worker thread, so pages grow as a scan goes on:
 * a scan that wants one row reads few, a long one pays few trips.
 */
import { type EngineIterator } from './engine.ts';
import { openSealed } from './sealed-value.ts';

/** What is needed of a LevelDB iterator. */
export interface LevelIterator {
  nextv(size: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

const pageMax = 1024;

export class LevelPages implements EngineIterator {
  readonly #iterator: LevelIterator;
  readonly #failed: (error: unknown) => Error;
  #pageSize = 0;
  #ended = false;

  /** `failed` is told of every error and returns the one to throw. */
  constructor(iterator: LevelIterator, failed: (error: unknown) => Error) {
    this.#iterator = iterator;
    this.#failed = failed;
  }

  /** `max` is what the caller would like; the page may be larger. Empty at the end only. */
  async next(max: number): Promise<[key: Buffer, value: Buffer][]> {
    if (this.#ended) return [];
    this.#pageSize = Math.min(Math.max(max, this.#pageSize * 2), pageMax);
    try {
      const page = await this.#iterator.nextv(this.#pageSize);
      for (const row of page) row[1] = openSealed(row[0], row[1]);
      if (page.length === 0) {
        this.#ended = true;
        await this.#iterator.close();
      }
      return page;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async close(): Promise<void> {
    this.#ended = true;
    await this.#iterator.close();
  }
}
