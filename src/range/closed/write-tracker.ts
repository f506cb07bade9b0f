/**
 * The writes that are being evaluated or replicated, as far as closing timestamps needs to know them: a time that
 * is not above the timestamp of any of them. In the way of CockroachDB's closed timestamp tracker: two buckets. A write joins the
 * older one when it stands at or below its time, and the newer one otherwise; when the older one is empty the newer one takes its
 * place. So the lower bound costs nothing to keep, lags a little behind the true minimum, and rises as long as every write ends.
 *
 * INVARIANT: what `lowerBound` says is at or below every write that was begun and has not ended.
 */

/** Writes that end together as far as the bound is concerned. */
export interface WriteBucket {
  /** HLC wall microseconds of the lowest write that has joined. */
  lowest: number;
  writes: number;
}

export class WriteTracker {
  #older: WriteBucket | undefined;
  /** Every write in it stands above `#older.lowest`. */
  #newer: WriteBucket | undefined;

  /** HLC wall microseconds; undefined without writes. */
  get lowerBound(): number | undefined {
    return this.#older?.lowest;
  }

  /** A write at `wall` or above it begins; its end is reported with the result. */
  begin(wall: number): WriteBucket {
    const bucket = this.#bucketFor(wall);
    bucket.lowest = Math.min(bucket.lowest, wall);
    bucket.writes++;
    return bucket;
  }

  end(bucket: WriteBucket): void {
    bucket.writes--;
    if (bucket.writes > 0) return;
    if (bucket === this.#older) this.#older = this.#newer;
    this.#newer = undefined;
  }

  #bucketFor(wall: number): WriteBucket {
    if (this.#older === undefined) return (this.#older = { lowest: wall, writes: 0 });
    if (wall <= this.#older.lowest) return this.#older;
    return (this.#newer ??= { lowest: wall, writes: 0 });
  }
}
