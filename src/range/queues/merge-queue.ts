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
 *
 * What was decided about small ranges is kept with its reason (`skein_internal.merge_decisions`).
 */
import { keyMax, metaEnd } from '../../encoding/index.ts';
import {
  compareTimestamps,
  isChanging,
  kvSettings,
  type KvError,
  type MergeDecision,
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

type Measured = Pick<MergeDecision, 'rightRangeId' | 'sizeBytes' | 'queriesPerSecond'>;

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
    if (right?.range.startKey.equals(left.descriptor.endKey) !== true || !isOwnedLeft(left)) return;
    const together = addedUp(left, right);
    const obstacle = this.#obstacleOf(left) ?? this.#obstacleBetween(right, together);
    if (obstacle !== undefined) {
      this.#note(left, { isMerged: false, reason: obstacle, ...together });
      return;
    }
    const error = await this.#merge(left, right.range);
    const isMerged = error === undefined;
    const reason = isMerged ? `${together.sizeBytes} bytes together` : `failed: ${error.kind}`;
    this.#note(left, { isMerged, reason, ...together });
    const log = { range: left.rangeId, right: right.range.rangeId, reason };
    if (isMerged) env.log.info(log, 'two small ranges were merged');
    else env.log.debug(log, 'a merge is tried again');
  }

  #nextSmall(): Replica | undefined {
    const { replicas } = this.#store;
    for (let left = Math.min(looksPerPass, replicas.size); left > 0; left--) {
      let at = this.#walk.next();
      if (at.done === true) {
        this.#walk = replicas.values();
        at = this.#walk.next();
      }
      if (at.done === true || !isOwnedLeft(at.value) || !this.#isSmall(at.value)) continue;
      const obstacle = this.#obstacleOf(at.value);
      if (obstacle === undefined) return at.value;
      this.#note(at.value, { isMerged: false, reason: obstacle, ...measured(at.value) });
    }
    return undefined;
  }

  #isSmall({ stats, descriptor }: Replica): boolean {
    return stats.sizeBytes < this.#store.deps.zoneConfigFor(descriptor.startKey).rangeMinBytes;
  }

  /** Why the range is merged with no right neighbour, whatever that one is like. */
  #obstacleOf(left: Replica): string | undefined {
    const { startKey, endKey } = left.descriptor;
    if (!this.#isSmall(left)) return 'it has grown';
    if (isChanging(left.descriptor)) return 'its replicas are changing';
    if (left.queriesPerSecond >= this.#loadMax) return this.#busy(left.queriesPerSecond);
    const boundaries = this.#store.deps.zoneBoundariesIn(startKey, nextKey(endKey));
    return boundaries.length > 0 ? 'another zone configuration begins behind it' : undefined;
  }

  #obstacleBetween({ range, sizeBytes }: RangeInfo, together: Measured): string | undefined {
    const { clock, deps } = this.#store;
    const { rangeMinBytes, rangeMaxBytes } = deps.zoneConfigFor(range.startKey);
    if (isChanging(range)) return 'the replicas of its neighbour are changing';
    if (deps.zoneBoundariesIn(range.startKey, range.endKey).length > 0) {
      return 'another zone configuration begins inside of its neighbour';
    }
    if (compareTimestamps(range.stickyUntil, clock.now()) > 0) {
      return 'the time for which its neighbour was to stay apart has not passed';
    }
    if (sizeBytes >= rangeMinBytes) {
      return `its neighbour has ${sizeBytes} bytes, not less than range_min_bytes, ${rangeMinBytes}`;
    }
    if (together.sizeBytes >= rangeMaxBytes) {
      return `${together.sizeBytes} bytes together are not less than range_max_bytes, ${rangeMaxBytes}`;
    }
    if (together.queriesPerSecond < this.#loadMax) return undefined;
    return this.#busy(together.queriesPerSecond);
  }

  #busy(queriesPerSecond: number): string {
    return `${Math.round(queriesPerSecond)} requests per second are not less than ${this.#loadMax}`;
  }

  get #loadMax(): number {
    return this.#store.deps.clusterSettings.get(kvSettings.splitLoadQps) * loadShare;
  }

  /** A refusal takes the place of the former one. */
  #note(
    { rangeId }: Replica,
    decision: Pick<MergeDecision, 'isMerged' | 'reason'> & Measured,
  ): void {
    const { env, storeId, decisions } = this.#store;
    const subject = decision.isMerged ? `${rangeId} ${decision.rightRangeId}` : `${rangeId}`;
    decisions.merges.add(subject, { at: env.clock.wallMicros(), rangeId, storeId, ...decision });
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

/** This store may decide about a merge of it: it leads the range, which has a right neighbour and keeps data. */
function isOwnedLeft(replica: Replica): boolean {
  // Without a lease it may not even know its keys.
  if (replica.destroyed || !replica.holdsLease) return false;
  const { startKey, endKey } = replica.descriptor;
  return startKey.compare(metaEnd) >= 0 && !endKey.equals(keyMax);
}

function measured({ stats, queriesPerSecond }: Replica): Measured {
  return { rightRangeId: undefined, sizeBytes: stats.sizeBytes, queriesPerSecond };
}

function addedUp({ stats, queriesPerSecond }: Replica, right: RangeInfo): Measured {
  return {
    rightRangeId: right.range.rangeId,
    sizeBytes: stats.sizeBytes + right.sizeBytes,
    queriesPerSecond: queriesPerSecond + right.queriesPerSecond,
  };
}

function placementOf({ replicas }: RangeDescriptor): RelocationTarget {
  const storesOf = (role: ReplicaKind): StoreId[] =>
    replicas.filter(({ kind }) => kind === role).map(({ storeId }) => storeId);
  return { voters: storesOf('voter'), nonVoters: storesOf('non-voter') };
}
