/** Sizes of the data in a span of keys. All are sums. */

/** What a span of keys holds. */
export interface SpanStats {
  /** Live and dead versions of its keys. */
  readonly sizeBytes: number;
  readonly liveBytes: number;
  /** Keys that have a live value. */
  readonly liveCount: number;
  /** The part of `sizeBytes` that is keys, once per version; the rest is values. */
  readonly keyBytes: number;
  /** Keys, those with nothing but dead versions too. */
  readonly keyCount: number;
  /** Committed versions, deletions too, and intents. */
  readonly versionCount: number;
  /** Keys and values. */
  readonly intentBytes: number;
  readonly intentCount: number;
  /** What has no versions: records of transactions, the range's own notes. Not part of `sizeBytes`. */
  readonly systemBytes: number;
  readonly systemCount: number;
}

export const zeroSpanStats: SpanStats = {
  sizeBytes: 0,
  liveBytes: 0,
  liveCount: 0,
  keyBytes: 0,
  keyCount: 0,
  versionCount: 0,
  intentBytes: 0,
  intentCount: 0,
  systemBytes: 0,
  systemCount: 0,
};

export function addSpanStats(a: SpanStats, b: SpanStats): SpanStats {
  return {
    sizeBytes: a.sizeBytes + b.sizeBytes,
    liveBytes: a.liveBytes + b.liveBytes,
    liveCount: a.liveCount + b.liveCount,
    keyBytes: a.keyBytes + b.keyBytes,
    keyCount: a.keyCount + b.keyCount,
    versionCount: a.versionCount + b.versionCount,
    intentBytes: a.intentBytes + b.intentBytes,
    intentCount: a.intentCount + b.intentCount,
    systemBytes: a.systemBytes + b.systemBytes,
    systemCount: a.systemCount + b.systemCount,
  };
}
