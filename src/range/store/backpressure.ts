/**
 * Writes that come faster than the store can bear wait before they are proposed. Only rows of tables wait: what a split and
 * the cluster itself write goes on.
 */
import { tablesStart } from '../../encoding/index.ts';
import { kvSettings, type BatchRequest } from '../../kv/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from './store.ts';

/** A range that is not split after so long takes writes again: it is slow, and not lost. */
const waitMs = 10_000;

/** Resolves when the batch may go on; undefined: at once. Whatever was known of the replica may have changed by then. */
export function waitForRoom(
  store: Store,
  replica: Replica,
  batch: BatchRequest,
): Promise<unknown> | undefined {
  const key = firstRow(batch);
  return key === undefined ? undefined : (waitForDisk(store) ?? waitForSplit(store, replica, key));
}

/**
 * What is applied and not yet on disk stands in memory, and goes there in one piece: whoever writes faster than the disk
 * takes it would need all memory, and the piece would be so large that the disk seemed to answer no more.
 */
function waitForDisk(store: Store): Promise<void> | undefined {
  const room = store.engine.waitForRoom();
  if (room !== undefined) store.counters.writesHeldBackByDisk++;
  return room;
}

/**
 * For a range that has grown far beyond its limit: whoever writes faster than ranges split would make ranges that are too
 * large to move.
 */
function waitForSplit(store: Store, replica: Replica, key: Buffer): Promise<boolean> | undefined {
  const settings = store.deps.clusterSettings;
  const multiplier = settings.get(kvSettings.backpressureMultiplier);
  const { rangeMaxBytes } = store.deps.zoneConfigFor(key);
  const limit = Math.min(
    multiplier === 0 ? Number.POSITIVE_INFINITY : rangeMaxBytes * multiplier,
    settings.get(kvSettings.rangeSizeHardCap),
  );
  const mustWait = (): boolean =>
    replica.stats.sizeBytes > limit &&
    replica.holdsLease &&
    !replica.destroyed &&
    !store.queues.cannotSplit(replica);
  if (!mustWait()) return undefined;
  store.counters.writesHeldBack++;
  store.queues.hurry(replica);
  return replica.waitUntil(() => !mustWait(), waitMs);
}

/** The first row of a table that the batch writes. */
function firstRow({ requests }: BatchRequest): Buffer | undefined {
  for (const request of requests) {
    switch (request.kind) {
      case 'put':
      case 'insert':
      case 'conditional-put':
        return request.key.compare(tablesStart) >= 0 ? request.key : undefined;
      default:
    }
  }
  return undefined;
}
