/**
 * Merges that nobody asked for: two neighbours that are both small become one range, if together they would not be
 * split again. A range and its right neighbour are merged when
 *
 *   - each is below range_min_bytes, and both together are below range_max_bytes
 *   - together they serve less than half of what would split a range by load
 *   - no zone configuration begins inside of the whole, and the left one holds no meta records
 *   - the time for which the right one was to stay apart has passed
 *
 * The right side's replicas move to the left side's stores first. One merge at a time per store, and one look at a
 * neighbour (a question to its leaseholder) per `kv.range_merge.queue_interval`: the queue goes around the store's
 * ranges by itself, so that those that stay apart do not keep others waiting.
 */
import { keyMax, metaEnd } from '../../encoding/index.ts';
import {
  compareTimestamps,
  isChanging,
  kvSettings,
  type KvError,
  type RangeDescriptor,
  type RangeInfo,
  type RelocationTarget,
  type ReplicaKind,
  type StoreId,
} from '../../kv/index.ts';
import { nextKey } from '../../util/index.ts';
import { mergeDeps } from '../replica/admin.ts';
import { haveSameStores, mergeRight } from '../replica/merge.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

/** Of the load that splits a range: together they stay well below it. */
const loadShare = 0.5;
/** Own ranges looked through in search of one that is small. */
const looksPerPass = 1_000;

export class MergeQueue {
  readonly #store: Store;
  #walk: Iterator<Replica>;
  #nextAtMs = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#walk = store.replicas.values();
  }

  /** Looks at one pair of neighbours, when it is time to. */
  async pass(): Promise<void> {
    const { env, deps, settings } = this.#store;
    const { clusterSettings } = deps;
    const nowMs = env.clock.monotonicMs();
    // Driven by hand, every pass looks.
    if (settings.queueIntervalMs > 0 && nowMs < this.#nextAtMs) return;
    if (!clusterSettings.get(kvSettings.rangeMergeQueueEnabled)) return;
    const left = this.#nextSmall();
    if (left === undefined) return;
    this.#nextAtMs = nowMs + clusterSettings.get(kvSettings.rangeMergeQueueInterval);
    const { endKey } = left.descriptor;
    const [right] = await deps.db.ranges(endKey, nextKey(endKey));
    if (right === undefined || !this.#fits(left, right)) return;
    const error = await this.#merge(left, right.range);
    const log = { range: left.rangeId, right: right.range.rangeId };
    if (error === undefined) env.log.info(log, 'two small ranges were merged');
    else env.log.debug({ ...log, error: error.kind }, 'a merge is tried again');
  }

  #nextSmall(): Replica | undefined {
    const { replicas } = this.#store;
    for (let left = Math.min(looksPerPass, replicas.size); left > 0; left--) {
      let at = this.#walk.next();
      if (at.done === true) {
        this.#walk = replicas.values();
        at = this.#walk.next();
      }
      if (at.done !== true && this.#isCandidate(at.value)) return at.value;
    }
    return undefined;
  }

  #isCandidate(replica: Replica): boolean {
    if (replica.destroyed || !replica.holdsLease || isChanging(replica.descriptor)) return false;
    const { startKey, endKey } = replica.descriptor;
    if (startKey.compare(metaEnd) < 0 || endKey.equals(keyMax)) return false;
    const { zoneConfigFor, zoneBoundariesIn } = this.#store.deps;
    return (
      replica.stats.totalBytes < zoneConfigFor(startKey).rangeMinBytes &&
      replica.queriesPerSecond < this.#loadMax &&
      zoneBoundariesIn(startKey, nextKey(endKey)).length === 0
    );
  }

  get #loadMax(): number {
    return this.#store.deps.clusterSettings.get(kvSettings.splitLoadQps) * loadShare;
  }

  #fits(left: Replica, right: RangeInfo): boolean {
    const { clock, deps } = this.#store;
    const { range, sizeBytes, queriesPerSecond } = right;
    const zone = deps.zoneConfigFor(range.startKey);
    return (
      this.#isCandidate(left) &&
      range.startKey.equals(left.descriptor.endKey) &&
      !isChanging(range) &&
      deps.zoneBoundariesIn(left.descriptor.startKey, range.endKey).length === 0 &&
      compareTimestamps(range.stickyUntil, clock.now()) <= 0 &&
      sizeBytes < zone.rangeMinBytes &&
      left.stats.totalBytes + sizeBytes < zone.rangeMaxBytes &&
      left.queriesPerSecond + queriesPerSecond < this.#loadMax
    );
  }

  async #merge(left: Replica, right: RangeDescriptor): Promise<KvError | undefined> {
    const { db } = this.#store;
    return left.exclusively(async () => {
      if (!haveSameStores(left.descriptor, right)) {
        await db.relocateRange(right.startKey, placementOf(left.descriptor));
      }
      return mergeRight(left, mergeDeps(this.#store));
    });
  }
}

function placementOf({ replicas }: RangeDescriptor): RelocationTarget {
  const storesOf = (role: ReplicaKind): StoreId[] =>
    replicas.filter(({ kind }) => kind === role).map(({ storeId }) => storeId);
  return { voters: storesOf('voter'), nonVoters: storesOf('non-voter') };
}
