/**
 * Sizes of a range's MVCC data. Every figure is a sum over records, so the effect of a command is a delta
 * and the halves of a split add up to the whole:
 *
 *   totalBytes    engine keys and values of heads and older versions
 *   liveBytes     key and value of every key whose newest version (the intent, if there is one) is no deletion
 *   liveCount     number of such keys
 *   versionCount  committed versions (deletions too) and intents
 *   intentCount   intents
 *
 * Unversioned values (transaction records, range state) are not counted.
 */
import { type EngineReader } from './engine.ts';
import { headSpan, isHeadKey, versionSpan } from './engine-keys.ts';
import { HeadReader } from './head-record.ts';
import { type MvccStats } from './mvcc-types.ts';

const page = 512;

export const zeroStats: MvccStats = {
  liveBytes: 0,
  liveCount: 0,
  totalBytes: 0,
  versionCount: 0,
  intentCount: 0,
};

export function addStats(a: MvccStats, b: MvccStats): MvccStats {
  return {
    liveBytes: a.liveBytes + b.liveBytes,
    liveCount: a.liveCount + b.liveCount,
    totalBytes: a.totalBytes + b.totalBytes,
    versionCount: a.versionCount + b.versionCount,
    intentCount: a.intentCount + b.intentCount,
  };
}

export function subtractStats(a: MvccStats, b: MvccStats): MvccStats {
  return {
    liveBytes: a.liveBytes - b.liveBytes,
    liveCount: a.liveCount - b.liveCount,
    totalBytes: a.totalBytes - b.totalBytes,
    versionCount: a.versionCount - b.versionCount,
    intentCount: a.intentCount - b.intentCount,
  };
}

/** A sum under construction. */
export class StatsSum {
  liveBytes = 0;
  liveCount = 0;
  totalBytes = 0;
  versionCount = 0;
  intentCount = 0;
  readonly #head = new HeadReader();

  /** Adds (`sign` 1) or takes away (-1) one head record. */
  head(engineKey: Buffer, record: Buffer, sign: 1 | -1): void {
    const head = this.#head;
    head.read(record);
    const intent = head.intent;
    const newest = intent === undefined ? head.value : intent.value;
    if (newest !== undefined) {
      this.liveCount += sign;
      this.liveBytes += sign * (engineKey.length - 1 + newest.length);
    }
    this.totalBytes += sign * (engineKey.length + record.length);
    if (head.committed) this.versionCount += sign;
    if (intent !== undefined) {
      this.versionCount += sign;
      this.intentCount += sign;
    }
  }

  version(engineKey: Buffer, stored: Buffer, sign: 1 | -1): void {
    this.totalBytes += sign * (engineKey.length + stored.length);
    this.versionCount += sign;
  }

  /** Any MVCC record: tells heads from versions by the engine key. */
  record(engineKey: Buffer, stored: Buffer, sign: 1 | -1): void {
    if (isHeadKey(engineKey)) this.head(engineKey, stored, sign);
    else this.version(engineKey, stored, sign);
  }

  result(): MvccStats {
    return {
      liveBytes: this.liveBytes,
      liveCount: this.liveCount,
      totalBytes: this.totalBytes,
      versionCount: this.versionCount,
      intentCount: this.intentCount,
    };
  }
}

/** Counts the records of the keys in [start, end). Reads all of them: for splits, snapshots and checks. */
export async function computeStats(
  reader: EngineReader,
  start: Buffer,
  end: Buffer,
): Promise<MvccStats> {
  const sum = new StatsSum();
  for (const span of [headSpan(start, end), versionSpan(start, end)]) {
    const iterator = reader.iterate(span);
    try {
      for (;;) {
        const rows = await iterator.next(page);
        if (rows.length === 0) break;
        for (const [key, value] of rows) sum.record(key, value, 1);
      }
    } finally {
      await iterator.close();
    }
  }
  return sum.result();
}
