/**
 * Finds what no read at or above the threshold can see: versions that a newer committed version at or
 * below the threshold replaces, and deletions at or below the threshold that hide nothing any more.
 *
 * One pass: heads and older versions are two sorted runs in the same key order.
 */
import { compareTimestamps, type Timestamp } from '../kv/index.ts';
import { nextKey } from '../util/index.ts';
import { type EngineIterator, type EngineReader } from './engine.ts';
import { decodeVersionKey, headSpan, keyOfHead, versionSpan } from './engine-keys.ts';
import { HeadReader, decodeVersion } from './head-record.ts';
import { StatsSum } from './mvcc-stats.ts';
import { type MvccStats } from './mvcc-types.ts';

export interface MvccGarbage {
  /** Engine keys to delete. */
  readonly keys: readonly Buffer[];
  /** What deleting them does to the statistics (all figures zero or negative). */
  readonly stats: MvccStats;
  /** Where to go on when `maxKeys` stopped the search; undefined at the end of the span. */
  readonly resume: Buffer | undefined;
}

const pageSize = 256;

/**
 * Garbage of the keys in [start, end), at most `maxKeys` engine keys. The caller has raised its GC threshold to `threshold` before, so nobody reads below it, and
 * keeps writes off the span until the deletions are applied.
 */
export async function mvccGarbage(
  reader: EngineReader,
  span: { readonly start: Buffer; readonly end: Buffer },
  threshold: Timestamp,
  maxKeys: number,
): Promise<MvccGarbage> {
  const heads = new Paged(reader.iterate(headSpan(span.start, span.end)));
  const versions = new Paged(reader.iterate(versionSpan(span.start, span.end)));
  const head = new HeadReader();
  const keys: Buffer[] = [];
  const sum = new StatsSum();
  const drop = (engineKey: Buffer, stored: Buffer): void => {
    keys.push(engineKey);
    sum.record(engineKey, stored, -1);
  };
  try {
    let headRow = await heads.take();
    let versionRow = await versions.take();
    while (headRow !== undefined) {
      const [headEngineKey, record] = headRow;
      const key = keyOfHead(headEngineKey);
      head.read(record);
      let covered =
        head.timestamp !== undefined && compareTimestamps(head.timestamp, threshold) <= 0;
      // A deletion that covers older versions goes last, or they would come to light again.
      let deletion: [key: Buffer, value: Buffer] | undefined;
      if (covered && head.value === undefined && head.intent === undefined) deletion = headRow;
      while (versionRow !== undefined) {
        const version = decodeVersionKey(versionRow[0]);
        const order = version.key.compare(key);
        if (order > 0) break;
        if (order === 0) {
          if (covered) {
            drop(versionRow[0], versionRow[1]);
            if (keys.length >= maxKeys) return { keys, stats: sum.result(), resume: key };
          } else if (compareTimestamps(version.timestamp, threshold) <= 0) {
            covered = true;
            // The newest version at the threshold is still read, unless it only says "nothing here".
            if (decodeVersion(versionRow[1]) === undefined) deletion = versionRow;
          }
        }
        versionRow = await versions.take();
      }
      if (deletion !== undefined) drop(deletion[0], deletion[1]);
      if (keys.length >= maxKeys) return { keys, stats: sum.result(), resume: nextKey(key) };
      headRow = await heads.take();
    }
    return { keys, stats: sum.result(), resume: undefined };
  } finally {
    await heads.close();
    await versions.close();
  }
}

/** One row at a time over an iterator's pages. */
class Paged {
  readonly #iterator: EngineIterator;
  #page: [key: Buffer, value: Buffer][] = [];
  #at = 0;

  constructor(iterator: EngineIterator) {
    this.#iterator = iterator;
  }

  async take(): Promise<[key: Buffer, value: Buffer] | undefined> {
    if (this.#at === this.#page.length) {
      this.#page = await this.#iterator.next(pageSize);
      this.#at = 0;
    }
    return this.#page[this.#at++];
  }

  close(): Promise<void> {
    return this.#iterator.close();
  }
}
