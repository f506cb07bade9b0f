/**
 * Splits that nobody asked for, at a row boundary:
 *
 *   zone    another zone configuration begins inside it: there
 *   size    the range is larger than its zone allows: near the middle
 *   append  it grows at its end and is three quarters full: where it grows, so that the full left side is at rest
 *           and the empty right side may live elsewhere
 *   load    it serves more requests than the threshold, or they take more processor time: where the requests divide
 *
 * Every decision is kept with its reason (`skein_internal.split_decisions`).
 */
import { metaEnd } from '../../encoding/index.ts';
import { containsKey, zeroTimestamp, type SplitDecision, type ZoneConfig } from '../../kv/index.ts';
import { type SplitThreshold } from '../load/split-threshold.ts';
import { findSplitKey, splitAt } from '../replica/split.ts';
import { type Replica } from '../replica/replica.ts';
import { type StoreDeps } from '../store/store-deps.ts';
import { type Store } from '../store/store.ts';

/** A range that grows at its end is split when it is this full. */
const appendShare = 0.75;
/** A range in which no key could be found is looked through again when it has grown by this share. */
const againShare = 0.1;

type Cause = SplitDecision['cause'];
type Choice =
  | { readonly kind: 'split'; readonly cause: Cause; readonly key: Buffer; readonly reason: string }
  | { readonly kind: 'keep'; readonly cause: Cause; readonly reason: string };

export class SplitQueue {
  readonly #store: Store;
  /** Size at which a range had no key to be split at. */
  readonly #futile = new WeakMap<Replica, number>();
  /** A busy range was divided: its sides can be served by different stores now. */
  readonly #loadDivided: () => void;

  constructor(store: Store, loadDivided: () => void) {
    this.#store = store;
    this.#loadDivided = loadDivided;
  }

  /** True when the range was split. */
  async visit(replica: Replica): Promise<boolean> {
    if (replica.destroyed || !replica.holdsLease) return false;
    const store = this.#store;
    const zone = store.deps.zoneConfigFor(replica.descriptor.startKey);
    const choice =
      byZone(replica, store.deps.zoneBoundariesIn) ??
      (await this.#bySize(replica, zone)) ??
      byGrowth(replica, zone) ??
      byLoad(replica, store.splitThreshold);
    if (choice === undefined || replica.destroyed) return false;
    const { cause, reason } = choice;
    if (choice.kind === 'keep') {
      this.#note(replica, { cause, key: undefined, reason });
      return false;
    }
    const { key } = choice;
    const { sizeBytes, queriesPerSecond } = measured(replica);
    const error = await replica.exclusively(() =>
      splitAt(replica, store.deps.db, key, zeroTimestamp),
    );
    if (error !== undefined) {
      store.env.log.debug({ range: replica.rangeId, error: error.kind }, 'a split is tried again');
      return false;
    }
    store.env.log.info({ range: replica.rangeId, cause, reason }, 'a range was split');
    if (cause === 'load') store.counters.splitsByLoad++;
    this.#note(replica, { cause, key, reason, sizeBytes, queriesPerSecond });
    if (queriesPerSecond >= store.loadSplitThreshold) this.#loadDivided();
    return true;
  }

  /** There is no key at which the range could be split by its size. */
  isFutile(replica: Replica): boolean {
    const size = this.#futile.get(replica);
    return size !== undefined && replica.stats.sizeBytes < size * (1 + againShare);
  }

  async #bySize(replica: Replica, zone: ZoneConfig): Promise<Choice | undefined> {
    const { sizeBytes } = replica.stats;
    const cause = 'size';
    if (sizeBytes <= zone.rangeMaxBytes || this.isFutile(replica)) return undefined;
    const key = await findSplitKey(
      this.#store.engineSnapshot(),
      replica.descriptor,
      zone.rangeMaxBytes / 2,
    );
    const reason = `${sizeBytes} bytes are more than range_max_bytes, ${zone.rangeMaxBytes}`;
    if (key !== undefined) return { kind: 'split', cause, key, reason };
    this.#futile.set(replica, sizeBytes);
    return { kind: 'keep', cause, reason: `${reason}, but its rows cannot be divided` };
  }

  #note(
    replica: Replica,
    decision: Pick<SplitDecision, 'cause' | 'key' | 'reason'> & Partial<SplitDecision>,
  ): void {
    const { env, storeId, decisions } = this.#store;
    decisions.splits.add(`${replica.rangeId} ${decision.cause} ${decision.key !== undefined}`, {
      at: env.clock.wallMicros(),
      rangeId: replica.rangeId,
      storeId,
      ...measured(replica),
      ...decision,
    });
  }
}

function measured(replica: Replica): Pick<SplitDecision, 'sizeBytes' | 'queriesPerSecond'> {
  const { stats, queriesPerSecond } = replica;
  return { sizeBytes: stats.sizeBytes, queriesPerSecond };
}

function byZone(
  { descriptor }: Replica,
  boundariesIn: StoreDeps['zoneBoundariesIn'],
): Choice | undefined {
  const [key] = boundariesIn(descriptor.startKey, descriptor.endKey);
  if (key === undefined) return undefined;
  return { kind: 'split', cause: 'zone', key, reason: 'another zone configuration begins there' };
}

function byGrowth(replica: Replica, zone: ZoneConfig): Choice | undefined {
  const { sizeBytes } = replica.stats;
  if (sizeBytes < zone.rangeMaxBytes * appendShare) return undefined;
  const key = replica.load?.growsBehind();
  if (key === undefined || !isInside(replica, key)) return undefined;
  const reason = `${sizeBytes} bytes, and new rows are added behind the last one`;
  return { kind: 'split', cause: 'append', key, reason };
}

function byLoad(replica: Replica, threshold: SplitThreshold): Choice | undefined {
  const { load, queriesPerSecond } = replica;
  const finding = load?.splitFinding();
  if (load === undefined || finding === undefined) return undefined;
  const cause = 'load';
  const reason = threshold.describe(queriesPerSecond);
  if (finding.kind === 'key' && isInside(replica, finding.key)) {
    return { kind: 'split', cause, key: finding.key, reason };
  }
  if (finding.kind === 'key') return { kind: 'keep', cause, reason: `${reason}, at its first key` };
  // Requests that follow the end of the range: what is behind it can go on elsewhere.
  const growth = load.growsBehind();
  if (growth !== undefined && isInside(replica, growth)) {
    return {
      kind: 'split',
      cause: 'append',
      key: growth,
      reason: `${reason}, behind the last row`,
    };
  }
  return { kind: 'keep', cause, reason: `${reason}; ${finding.reason}` };
}

/** The range can be split there. */
function isInside({ descriptor }: Replica, key: Buffer): boolean {
  const isData = key.compare(metaEnd) >= 0 && !key.equals(descriptor.startKey);
  return isData && containsKey(descriptor, key);
}
