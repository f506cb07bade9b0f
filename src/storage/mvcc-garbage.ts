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

/** One entry that may go. */
export interface GarbageEntry {
  /** The MVCC key that it belongs to. */
  readonly key: Buffer;
  readonly engineKey: Buffer;
  /** As it was found. */
  readonly stored: Buffer;
}

export interface MvccGarbage {
  readonly found: readonly GarbageEntry[];
  /** Where to go on when `maxKeys` stopped the search; undefined at the end of the span. */
  readonly resume: Buffer | undefined;
}

const pageSize = 256;

/**
 * Garbage of the keys in [start, end), at most `maxKeys` entries. The caller has raised its GC threshold to `threshold` before, so
 * nobody reads or writes below it. Others may write above it meanwhile: `dropGarbage` says what may go in the end.
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
  const found: GarbageEntry[] = [];
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
            found.push({ key, engineKey: versionRow[0], stored: versionRow[1] });
            if (found.length >= maxKeys) return { found, resume: key };
          } else if (compareTimestamps(version.timestamp, threshold) <= 0) {
            covered = true;
            // The newest version at the threshold is still read, unless it only says "nothing here".
            if (decodeVersion(versionRow[1]) === undefined) deletion = versionRow;
          }
        }
        versionRow = await versions.take();
      }
      if (deletion !== undefined) {
        found.push({ key, engineKey: deletion[0], stored: deletion[1] });
      }
      if (found.length >= maxKeys) return { found, resume: nextKey(key) };
      headRow = await heads.take();
    }
    return { found, resume: undefined };
  } finally {
    await heads.close();
    await versions.close();
  }
}

export interface DroppedGarbage {
  /** Engine keys to delete. */
  readonly keys: readonly Buffer[];
  /** What deleting them does to the statistics (all figures zero or negative). */
  readonly stats: MvccStats;
}

/**
 * Of what was found, all that is still there as it was: a version that was replaced stays replaced, but a deletion may have got
 * another value on top of it. Nobody may write to these keys until the deletions are applied.
 */
export function dropGarbage(reader: EngineReader, found: readonly GarbageEntry[]): DroppedGarbage {
  const keys: Buffer[] = [];
  const sum = new StatsSum();
  for (const { engineKey, stored } of found) {
    if (reader.get(engineKey)?.equals(stored) !== true) continue;
    keys.push(engineKey);
    sum.record(engineKey, stored, -1);
  }
  return { keys, stats: sum.result() };
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
