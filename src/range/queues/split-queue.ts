/** Splits ranges that have grown beyond their zone's limit, near the middle, at a row boundary. */
import { zeroTimestamp } from '../../kv/index.ts';
import { findSplitKey, splitAt } from '../replica/split.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

/** True when the range was split. */
export async function splitIfLarge(store: Store, replica: Replica): Promise<boolean> {
  const zone = store.deps.zoneConfigFor(replica.descriptor.startKey);
  if (replica.stats.totalBytes <= zone.rangeMaxBytes || !replica.holdsLease) return false;
  const bytesMin = zone.rangeMaxBytes / 2;
  const key = await findSplitKey(store.engineSnapshot(), replica.descriptor, bytesMin);
  if (key === undefined || replica.destroyed) return false;
  const error = await replica.exclusively(() =>
    splitAt(replica, store.deps.db, key, zeroTimestamp),
  );
  if (error === undefined) {
    store.env.log.info({ range: replica.rangeId }, 'a range was split by its size');
    return true;
  }
  store.env.log.debug({ range: replica.rangeId, error: error.kind }, 'a split is tried again');
  return false;
}
