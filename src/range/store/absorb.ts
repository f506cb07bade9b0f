/**
 * The right side of a merge on one store: its keys and its data stay where they are and belong to the left replica from
 * one batch on, in which the right one's state goes and a tombstone for all its ids comes. Its raft log is removed once
 * that batch is durable; until then a crash may bring the right replica back as it was, and the merge is applied once
 * more. What makes that right is argued in `replica/merge.ts`.
 *
 *   a replica that has applied all up to where it froze     absorbed
 *   the same, while it installs a snapshot                   waited for: the installation would overwrite what comes later
 *   nothing, in a replay                                     the batch that absorbed it survived the crash
 *   nothing, or one that is behind                           the store has lost something: it must not go on
 *
 * A left replica that is behind may get the merge as part of a snapshot that is wider than itself (traps R9, T6): see
 * `subsumedBy`. Nothing has to be said about reads then: who takes over a lease begins it above them all.
 */
import { type CommitTrigger, type RangeDescriptor, type RangeId } from '../../kv/index.ts';
import { CorruptionError } from '../../storage/index.ts';
import { compareBytes } from '../../util/index.ts';
import { type PreparedRight } from '../replica/host.ts';
import { type Replica } from '../replica/replica.ts';
import { type SnapshotHeader, type SubsumedRange } from './snapshot-format.ts';
import { type Store } from './store.ts';

const waitMs = 1_000;

export type MergeTrigger = Extract<CommitTrigger, { kind: 'merge' }>;

/** The right replica is in the middle of something; undefined when it can be absorbed at once. */
export function untilAbsorbable(store: Store, right: RangeId): Promise<void> | undefined {
  const finishInstall = store.installing.get(right);
  if (finishInstall !== undefined) return finishInstall();
  const replica = store.replicas.get(right);
  return replica !== undefined && !isAtRest(replica) ? untilAtRest(replica) : undefined;
}

/** No snapshot is being installed, no first durable write or deletion of a span is under way. */
export function isAtRest({ suspended, applier }: Replica): boolean {
  return suspended === 0 && applier.idle;
}

/** The replica is at rest, or gone. */
export async function untilAtRest(replica: Replica): Promise<void> {
  while (!isAtRest(replica) && !replica.destroyed) {
    await replica.waitUntil(() => isAtRest(replica), waitMs);
  }
}

/** `isReplayed`: this store applied the merge before it was restarted, as far as its engine remembers. */
export function prepareAbsorption(
  store: Store,
  { left, right, frozen }: MergeTrigger,
  isReplayed: boolean,
): PreparedRight {
  const { rangeId } = right;
  const replica = store.replicas.get(rangeId);
  const isHere = replica?.initialised === true;
  const isBehind = isHere && replica.applier.appliedIndex < frozen.appliedIndex;
  if (isBehind || (!isHere && !isReplayed)) {
    const state = isHere ? `is at ${replica.applier.appliedIndex}` : 'is not here';
    throw new CorruptionError(
      `range ${left.rangeId} absorbs range ${rangeId}, which ${state} and must be at ${frozen.appliedIndex}: something is lost`,
    );
  }
  const removal = store.remover.prepareAbsorption(rangeId);
  return {
    writes: removal.writes,
    finish() {
      if (replica !== undefined) dropAbsorbed(store, replica, left);
      removal.finish();
      store.counters.merges++;
    },
  };
}

function dropAbsorbed(store: Store, replica: Replica, successor: RangeDescriptor): void {
  replica.successor = successor;
  store.dropReplica(replica);
}

/**
 * Ranges with replicas here that `header`'s range has absorbed since its replica here was as it is. That replica is
 * initialised: its store took part in those merges. A range keeps its first key for as long as it lives, so whatever
 * began in the keys that the snapshot adds, and is older than the snapshot, is no more. It may have reached further than the
 * snapshot does: then the whole was split again, and the rest comes with a snapshot of its own.
 */
export function subsumedBy(store: Store, header: SnapshotHeader): SubsumedRange[] {
  const own = store.replicas.get(header.rangeId);
  if (own?.initialised !== true) return [];
  const { endKey, generation } = header.descriptor;
  const from = own.descriptor.endKey;
  if (compareBytes(from, endKey) >= 0) return [];
  return store.rangesOverlapping(from, endKey).filter((range) => {
    const isAbsorbed = compareBytes(range.startKey, from) >= 0 && range.generation < generation;
    return isAbsorbed && store.replicas.get(range.rangeId)?.suspended === 0;
  });
}

/** The installation of a snapshot that subsumes them is under way for good: they are out of sight. */
export function dropSubsumed(
  store: Store,
  subsumed: readonly SubsumedRange[],
  by: RangeDescriptor,
): void {
  for (const { rangeId } of subsumed) {
    const replica = store.replicas.get(rangeId);
    if (replica !== undefined) dropAbsorbed(store, replica, by);
  }
}

/** Goes with the last batch of such an installation. */
export function prepareSubsumption(
  store: Store,
  subsumed: readonly SubsumedRange[],
): PreparedRight {
  const removals = subsumed.map(({ rangeId }) => store.remover.prepareAbsorption(rangeId));
  return {
    writes: removals.flatMap(({ writes }) => writes),
    finish() {
      for (const removal of removals) removal.finish();
    },
  };
}
