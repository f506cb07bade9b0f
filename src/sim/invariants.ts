/**
 * What must hold of a cluster at every moment, whatever fails; looked at every so often:
 *
 *   - a range at rest has one replica on a node, whatever stores that has;
 *   - at most one replica of a range would serve (lease disjointness), and at most one range a key;
 *   - a term of a range has one leader, in all of a run (election safety, Raft paper 5.2);
 *   - an index of a range's log is committed with one content only (state-machine safety, 5.4.3);
 *   - replicas that have applied the same index hold the same bytes;
 *   - a node's clock never goes back, restarts included;
 *   - nodes do not go on after their disk failed.
 */
import { crc32 } from 'node:zlib';
import {
  compareTimestamps,
  isChanging,
  type RangeDescriptor,
  type RangeId,
  type StoreId,
  type Timestamp,
} from '../kv/index.ts';
import { type Replica, type Store } from '../range/index.ts';
import { contentHash } from './checks.ts';
import { type SimCluster } from './cluster.ts';
import { ranges, replicasOf, storesOf } from './picture.ts';

/** Log entries that are compared in one look, per replica. */
const entryBytesMax = 1 << 20;

export class Invariants {
  readonly #cluster: SimCluster;
  readonly #leaders = new Map<string, string>();
  /** Per range, what is committed at an index: its term and the checksum of its data. */
  readonly #committed = new Map<RangeId, Map<number, string>>();
  /** Per store's life and range: up to which index its log has been compared. */
  readonly #compared = new WeakMap<Store, Map<RangeId, number>>();
  /** Per store's life and range: what was committed when it was first looked at. */
  readonly #replayed = new WeakMap<Store, Map<RangeId, number>>();
  /** Of each store that ever was: its clock bound is what a restart knows. */
  readonly #clocks = new Map<
    StoreId,
    { readonly store: Store; readonly seen: Timestamp; readonly issued: Timestamp }
  >();

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** What is wrong now. */
  check(): string[] {
    return [
      ...checkPlaces(this.#cluster),
      ...checkLeases(this.#cluster),
      ...this.#checkLeaders(),
      ...this.#checkLogs(),
      ...this.#checkClocks(),
      ...this.#cluster.checkDisks(),
    ];
  }

  /** Costly: replicas that have applied as much as another one of their range are compared with it. */
  async checkStates(): Promise<string[]> {
    const looks = replicasOf(this.#cluster).map(({ name, store, replica }) => ({
      name,
      rangeId: replica.rangeId,
      range: replica.descriptor,
      applied: replica.applier.appliedIndex,
      isBusy: isInstalling(replica) || !this.#hasReplayed(store, replica),
      snapshot: store.engine.snapshot(),
    }));
    const problems: string[] = [];
    const seen = new Map<string, { readonly hash: string; readonly name: string }>();
    const twice = new Map<string, number>();
    for (const { rangeId, applied } of looks) {
      const state = `r${rangeId}@${applied}`;
      twice.set(state, (twice.get(state) ?? 0) + 1);
    }
    for (const { name, rangeId, range, applied, isBusy, snapshot } of looks) {
      const state = `r${rangeId}@${applied}`;
      if (!isBusy && (twice.get(state) ?? 0) > 1) {
        const hash = await contentHash(snapshot, range);
        const known = seen.get(state);
        if (known === undefined) seen.set(state, { hash, name });
        else if (known.hash !== hash) {
          problems.push(`${state} differs: ${known.name} ${known.hash}, ${name} ${hash}`);
        }
      }
      snapshot.close();
    }
    return problems;
  }

  /** After a restart the engine may hold more than is applied, until the replay has passed what was committed then. */
  #hasReplayed(store: Store, { rangeId, raft }: Replica): boolean {
    const floors = this.#replayed.get(store) ?? new Map<RangeId, number>();
    this.#replayed.set(store, floors);
    const floor = floors.get(rangeId);
    if (floor !== undefined) return raft.appliedIndex > floor;
    floors.set(rangeId, Math.max(0, ...(this.#committed.get(rangeId)?.keys() ?? [])));
    return false;
  }

  #checkLeaders(): string[] {
    const problems: string[] = [];
    for (const { name, replica } of replicasOf(this.#cluster)) {
      const { raft, rangeId } = replica;
      if (raft.role !== 'leader') continue;
      const reign = `r${rangeId} in term ${raft.term}`;
      const known = this.#leaders.get(reign);
      if (known === undefined) this.#leaders.set(reign, name);
      else if (known !== name) problems.push(`${reign} has two leaders: ${known} and ${name}`);
    }
    return problems;
  }

  #checkLogs(): string[] {
    const problems: string[] = [];
    for (const { name, store, replica } of replicasOf(this.#cluster)) {
      const { rangeId } = replica;
      const log = store.raftLog.range(rangeId);
      const compared = this.#compared.get(store) ?? new Map<RangeId, number>();
      this.#compared.set(store, compared);
      const from = Math.max((compared.get(rangeId) ?? 0) + 1, log.firstIndex);
      // What is applied is in the own log; what is committed may be on its way to it.
      const to = Math.min(replica.raft.appliedIndex, log.lastIndex);
      if (from > to) continue;
      const committed = this.#committed.get(rangeId) ?? new Map<number, string>();
      this.#committed.set(rangeId, committed);
      const entries = log.entries(from, to + 1, entryBytesMax);
      for (const entry of entries) {
        const content = `term ${entry.term}, ${entry.data.length} bytes, crc ${crc32(entry.data)}`;
        const known = committed.get(entry.index);
        if (known === undefined) committed.set(entry.index, content);
        else if (known !== content) {
          problems.push(
            `r${rangeId} index ${entry.index} is committed twice: ${known}; on ${name} ${content}`,
          );
        }
      }
      compared.set(rangeId, entries.at(-1)?.index ?? from - 1);
    }
    return problems.slice(0, 3);
  }

  /** A process that ended may have looked at times beyond its durable bound, but has issued none. */
  #checkClocks(): string[] {
    const problems: string[] = [];
    for (const { name, node, store } of storesOf(this.#cluster)) {
      const known = this.#clocks.get(store.storeId);
      const before = known?.store === store ? known.seen : known?.issued;
      const seen = node.clock.now();
      const { upperBound } = store.bound;
      const issued = seen.wall < upperBound ? seen : { wall: upperBound, logical: 0 };
      this.#clocks.set(store.storeId, { store, seen, issued });
      if (before === undefined || compareTimestamps(before, seen) < 0) continue;
      problems.push(`the clock of ${name} went back from ${before.wall} to ${seen.wall}`);
    }
    return problems;
  }
}

/** It takes over a snapshot: raft has accepted it, the engine does not hold all of it yet. */
function isInstalling({ suspended, raft, applier }: Replica): boolean {
  return suspended > 0 || raft.appliedIndex !== applier.appliedIndex;
}

/**
 * Two replicas on one node die together. A replica that moves from one of its stores to another is on both while the range is
 * changing; the only voter also while it hands its lease over.
 */
function checkPlaces(cluster: SimCluster): string[] {
  return ranges(cluster).flatMap((range) => {
    const voters = range.replicas.filter(({ kind }) => kind === 'voter');
    if (isChanging(range) || voters.length <= 2) return [];
    const nodes = range.replicas.map(({ nodeId }) => nodeId);
    const twice = nodes.find((nodeId, at) => nodes.indexOf(nodeId) !== at);
    return twice === undefined ? [] : [`r${range.rangeId} has two replicas on n${twice}`];
  });
}

/**
 * No two replicas would serve now, and so no two may ever serve the same timestamp (their intervals [lease start, lease
 * expiration) do not overlap).
 */
function checkLeases(cluster: SimCluster): string[] {
  const holders = new Map<RangeId, string>();
  const problems: string[] = [];
  const served: RangeDescriptor[] = [];
  for (const { name, node, replica } of replicasOf(cluster)) {
    if (replica.checkLease(node.clock.now()) !== undefined) continue;
    served.push(replica.descriptor);
    const { rangeId, leaseStart } = replica;
    const held = `${name} [${leaseStart.wall}, ${replica.lease.expiration()})`;
    const other = holders.get(rangeId);
    if (other !== undefined) {
      problems.push(`r${rangeId} has two leaseholders: ${other} and ${held}`);
    }
    holders.set(rangeId, held);
  }
  return [...problems, ...checkServed(served)];
}

function checkServed(served: readonly RangeDescriptor[]): string[] {
  const inOrder = [...served].sort((a, b) => a.startKey.compare(b.startKey));
  return inOrder.flatMap((range, i) => {
    const next = inOrder[i + 1];
    const overlap =
      next !== undefined &&
      next.rangeId !== range.rangeId &&
      range.endKey.compare(next.startKey) > 0;
    return overlap ? [`r${range.rangeId} and r${next.rangeId} serve the same keys`] : [];
  });
}
