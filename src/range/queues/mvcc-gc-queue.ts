/**
 * Removes versions that nobody may read any more: older than the zone's TTL and replaced by a newer one that is older than
 * the TTL too. The deletions go through raft like any other write, a page at a time; only requests for the keys of a page
 * wait, and only while it is deleted.
 *
 * A range has one threshold, below which nothing is read or written (trap T13). Where its keys have different TTLs, the longest
 * one counts (ranges end where zones change, so that is a matter of moments), and no threshold passes a protected timestamp.
 *
 * A pass looks at all versions, so it is made when there is something to gain: enough of the range is dead, and the threshold would
 * move by a good part of the TTL. A TTL that was shortened moves it by far: then the pass comes with the next look.
 */
import {
  compareTimestamps,
  type RangeDescriptor,
  type Timestamp,
  type ZoneConfig,
} from '../../kv/index.ts';
import { dropGarbage, keySpans, mvccGarbage, type MvccStats } from '../../storage/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

const entriesPerPage = 1000;
/** Share of dead versions or bytes above which a range is worth a pass. */
const deadShareMin = 0.1;
/** Roughly what the record of a version holds beside key and value. */
const bytesPerVersion = 64;
/** The threshold moves by this share of the TTL, at least so far, and by so many times the duration of the last pass. */
const ttlShareMin = 0.1;
const stepMinMs = 5_000;
const restFactor = 20;

interface Pass {
  /** HLC wall microseconds. */
  readonly threshold: number;
  readonly tookMs: number;
}

const lastPass = new WeakMap<Replica, Pass>();

/** Whether a pass up to `threshold` is worth its cost. */
export function isPassDue(
  { sizeBytes, liveBytes, versionCount, liveCount }: MvccStats,
  ttlSeconds: number,
  threshold: number,
  last: Pass,
): boolean {
  const deadVersions = versionCount - liveCount;
  const deadBytes = sizeBytes - liveBytes - versionCount * bytesPerVersion;
  const isWorthIt =
    deadVersions > 0 &&
    (deadVersions >= versionCount * deadShareMin || deadBytes >= sizeBytes * deadShareMin);
  return isWorthIt && threshold - last.threshold >= stepMicros(ttlSeconds, last.tookMs);
}

/** How far the threshold has to move. */
function stepMicros(ttlSeconds: number, tookMs: number): number {
  return 1000 * Math.max(ttlSeconds * 1000 * ttlShareMin, stepMinMs, tookMs * restFactor);
}

export async function collectGarbage(store: Store, replica: Replica): Promise<void> {
  if (replica.destroyed || !replica.holdsLease) return;
  const { descriptor } = replica;
  const ttlSeconds = longestTtl(descriptor, store.deps);
  const wanted = store.clock.now().wall - ttlSeconds * 1e6;
  let last = lastPass.get(replica);
  if (last === undefined) {
    // Half-way to the next pass: a store that was restarted does not look through all its ranges at once.
    last = { threshold: wanted - stepMicros(ttlSeconds, 0) / 2, tookMs: 0 };
    lastPass.set(replica, last);
  }
  if (!isPassDue(replica.stats, ttlSeconds, wanted, last)) return;
  const threshold = await store.protectedTimes.limit(descriptor, { wall: wanted, logical: 0 });
  if (threshold === undefined || threshold.wall <= last.threshold) return;
  if (replica.destroyed || !replica.holdsLease) return;
  const startedAtMs = store.env.clock.monotonicMs();
  await collectBelow(store, replica, threshold);
  const tookMs = store.env.clock.monotonicMs() - startedAtMs;
  lastPass.set(replica, { threshold: threshold.wall, tookMs });
}

/** Of the zones of a range's keys. */
export function longestTtl(
  { startKey, endKey }: Pick<RangeDescriptor, 'startKey' | 'endKey'>,
  zones: {
    readonly zoneConfigFor: (key: Buffer) => ZoneConfig;
    readonly zoneBoundariesIn: (start: Buffer, end: Buffer) => readonly Buffer[];
  },
): number {
  const starts = [startKey, ...zones.zoneBoundariesIn(startKey, endKey)];
  return Math.max(...starts.map((key) => zones.zoneConfigFor(key).gcTtlSeconds));
}

/** Removes everything that no read at or above `threshold` can see. Nothing is read below it from this step on. */
export async function collectBelow(
  store: Store,
  replica: Replica,
  threshold: Timestamp,
): Promise<void> {
  replica.raiseGcThreshold(threshold);
  const { descriptor } = replica;
  for (const span of keySpans(descriptor)) {
    let start: Buffer | undefined = span.start;
    while (start !== undefined) {
      start = await collectPage(store, replica, descriptor, { start, end: span.end });
    }
  }
}

/** Where the next page begins; undefined at the end, or when the range is not what it was. */
async function collectPage(
  store: Store,
  replica: Replica,
  range: RangeDescriptor,
  span: { readonly start: Buffer; readonly end: Buffer },
): Promise<Buffer | undefined> {
  const isSame = (): boolean =>
    replica.holdsLease && replica.descriptor.generation === range.generation;
  if (!isSame()) return undefined;
  const threshold = replica.lease.gcThreshold;
  const { found, resume } = await mvccGarbage(store.engine, span, threshold, entriesPerPage);
  if (found.length === 0) return resume;
  // Reads below the threshold that began before it was raised have ended when this is granted.
  const release = await replica.executor().exclude(distinct(found.map(({ key }) => key)));
  try {
    // The keys may belong to another range by now, and another leaseholder may know of a lower threshold.
    if (!isSame() || compareTimestamps(replica.lease.gcThreshold, threshold) < 0) return undefined;
    const { keys, stats } = dropGarbage(store.engine, found);
    if (keys.length === 0) return resume;
    const outcome = await replica.propose(
      // A range deletion may have raised the threshold meanwhile.
      replica.effects.withThreshold({
        writes: keys.map((key) => ({ key, value: undefined })),
        statsDelta: stats,
        trigger: undefined,
        clears: [],
        timestamp: store.clock.now(),
      }),
      replica.leaseSequence,
    );
    if (outcome.kind !== 'applied') return undefined;
    store.counters.versionsCollected += keys.length;
    return resume;
  } finally {
    release();
  }
}

/** Of sorted keys. */
function distinct(keys: readonly Buffer[]): Buffer[] {
  return keys.filter((key, i) => keys[i - 1]?.equals(key) !== true);
}
