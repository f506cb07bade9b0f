/**
 * Removes versions that nobody may read any more: older than the zone's TTL and replaced by a newer one
 * that is older than the TTL too. The deletions go through raft like any other write.
 */
import { type Timestamp } from '../../kv/index.ts';
import { keySpans, mvccGarbage } from '../../storage/index.ts';
import { encodeThreshold, gcThresholdKey } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

const keysPerCommand = 1000;
/** Share of dead bytes above which a range is worth a pass, and how often a range is looked at. */
const deadShareMin = 0.1;
const intervalMs = 600_000;
const lastPassMs = new WeakMap<Replica, number>();

export async function collectGarbage(store: Store, replica: Replica): Promise<void> {
  if (replica.destroyed || !replica.holdsLease) return;
  const nowMs = store.env.clock.monotonicMs();
  const last = lastPassMs.get(replica);
  if (last === undefined) {
    lastPassMs.set(replica, nowMs);
    return;
  }
  const { totalBytes, liveBytes } = replica.stats;
  if (nowMs - last < intervalMs || totalBytes - liveBytes < totalBytes * deadShareMin) return;
  lastPassMs.set(replica, nowMs);
  const zone = store.deps.zoneConfigFor(replica.descriptor.startKey);
  const now = store.clock.now();
  await collectBelow(store, replica, {
    wall: Math.max(0, now.wall - zone.gcTtlSeconds * 1e6),
    logical: 0,
  });
}

/** Removes everything that no read at or above `threshold` can see. */
export async function collectBelow(
  store: Store,
  replica: Replica,
  threshold: Timestamp,
): Promise<void> {
  for (const span of keySpans(replica.descriptor)) {
    let start: Buffer | undefined = span.start;
    while (start !== undefined && replica.holdsLease && !replica.destroyed) {
      start = await collectPage(store, replica, { start, end: span.end }, threshold);
    }
  }
}

async function collectPage(
  store: Store,
  replica: Replica,
  span: { readonly start: Buffer; readonly end: Buffer },
  threshold: Timestamp,
): Promise<Buffer | undefined> {
  // Nothing may write between reading what is garbage and deleting it.
  const resumeRequests = await replica.executor().quiesce();
  try {
    if (!replica.holdsLease || replica.destroyed) return undefined;
    const { leaseSequence } = replica;
    const garbage = await mvccGarbage(store.engine, span, threshold, keysPerCommand);
    if (garbage.keys.length > 0) {
      replica.raiseGcThreshold(threshold);
      const raised = { key: gcThresholdKey(replica.descriptor), value: encodeThreshold(threshold) };
      const outcome = await replica.propose(
        {
          writes: [raised, ...garbage.keys.map((key) => ({ key, value: undefined }))],
          statsDelta: garbage.stats,
          trigger: undefined,
          clears: [],
          timestamp: store.clock.now(),
        },
        leaseSequence,
      );
      if (outcome.kind !== 'applied') return undefined;
      store.counters.versionsCollected += garbage.keys.length;
    }
    return garbage.resume;
  } finally {
    resumeRequests();
  }
}
