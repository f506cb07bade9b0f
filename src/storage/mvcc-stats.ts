/**
 * Sizes of a range's MVCC data. Every figure is a sum over records, so the effect of a command is a delta
 * and the halves of a split add up to the whole:
 *
 *   liveBytes     key and value of every key whose newest version (the intent, if there is one) is no deletion
 *   liveCount     number of such keys
 *   sizeBytes     engine keys and values of heads and older versions
 *   keyBytes      of these, the engine keys
 *   keyCount      heads: keys of which anything is known, deletions too
 *   versionCount  committed versions (deletions too) and intents
 *   intentBytes   key and newest value of every intent
 *   intentCount   intents
 *   systemBytes   engine keys and values of what has no versions: transaction records, the GC threshold
 *   systemCount   number of those
 *
 * A replica's own state (`r`) is not counted.
 */
import { addSpanStats, zeroSpanStats } from '../kv/index.ts';
import { type EngineReader, type EngineWrite } from './engine.ts';
import { engineSpans, isHeadKey, isUnversionedKey } from './engine-keys.ts';
import { HeadReader } from './head-record.ts';
import { type MvccStats } from './mvcc-types.ts';

const page = 512;

export { addSpanStats as addStats, zeroSpanStats as zeroStats };

export function subtractStats(a: MvccStats, b: MvccStats): MvccStats {
  return {
    liveBytes: a.liveBytes - b.liveBytes,
    liveCount: a.liveCount - b.liveCount,
    sizeBytes: a.sizeBytes - b.sizeBytes,
    keyBytes: a.keyBytes - b.keyBytes,
    keyCount: a.keyCount - b.keyCount,
    versionCount: a.versionCount - b.versionCount,
    intentBytes: a.intentBytes - b.intentBytes,
    intentCount: a.intentCount - b.intentCount,
    systemBytes: a.systemBytes - b.systemBytes,
    systemCount: a.systemCount - b.systemCount,
  };
}

export function areSameStats(a: MvccStats, b: MvccStats): boolean {
  return (
    a.liveBytes === b.liveBytes &&
    a.liveCount === b.liveCount &&
    a.sizeBytes === b.sizeBytes &&
    a.keyBytes === b.keyBytes &&
    a.keyCount === b.keyCount &&
    a.versionCount === b.versionCount &&
    a.intentBytes === b.intentBytes &&
    a.intentCount === b.intentCount &&
    a.systemBytes === b.systemBytes &&
    a.systemCount === b.systemCount
  );
}

/** What writes to keys without versions change, over what `reader` holds now. No key twice. */
export function unversionedDelta(
  reader: Pick<EngineReader, 'get'>,
  writes: readonly EngineWrite[],
): MvccStats {
  const sum = new StatsSum();
  for (const { key, value } of writes) {
    const before = reader.get(key);
    if (before !== undefined) sum.unversioned(key, before, -1);
    if (value !== undefined) sum.unversioned(key, value, 1);
  }
  return sum.result();
}

/** A sum under construction. */
export class StatsSum {
  liveBytes = 0;
  liveCount = 0;
  sizeBytes = 0;
  keyBytes = 0;
  keyCount = 0;
  versionCount = 0;
  intentBytes = 0;
  intentCount = 0;
  systemBytes = 0;
  systemCount = 0;
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
    this.sizeBytes += sign * (engineKey.length + record.length);
    this.keyBytes += sign * engineKey.length;
    this.keyCount += sign;
    if (head.committed) this.versionCount += sign;
    if (intent !== undefined) {
      this.versionCount += sign;
      this.intentCount += sign;
      this.intentBytes += sign * (engineKey.length - 1 + (intent.value?.length ?? 0));
    }
  }

  version(engineKey: Buffer, stored: Buffer, sign: 1 | -1): void {
    this.sizeBytes += sign * (engineKey.length + stored.length);
    this.keyBytes += sign * engineKey.length;
    this.versionCount += sign;
  }

  unversioned(engineKey: Buffer, stored: Buffer, sign: 1 | -1): void {
    this.systemBytes += sign * (engineKey.length + stored.length);
    this.systemCount += sign;
  }

  /** Any record of a range's data: the engine key tells what it is. */
  record(engineKey: Buffer, stored: Buffer, sign: 1 | -1): void {
    if (isHeadKey(engineKey)) this.head(engineKey, stored, sign);
    else if (isUnversionedKey(engineKey)) this.unversioned(engineKey, stored, sign);
    else this.version(engineKey, stored, sign);
  }

  result(): MvccStats {
    return {
      sizeBytes: this.sizeBytes,
      liveBytes: this.liveBytes,
      liveCount: this.liveCount,
      keyBytes: this.keyBytes,
      keyCount: this.keyCount,
      versionCount: this.versionCount,
      intentBytes: this.intentBytes,
      intentCount: this.intentCount,
      systemBytes: this.systemBytes,
      systemCount: this.systemCount,
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
  for (const span of engineSpans(start, end)) {
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
