/**
 * The right side of a split on one store (traps R7, R8). What is found here decides:
 *
 *   nothing, or an uninitialised replica of the same id   the right replica is born in the split's batch;
 *                                                         a term and vote it gave before stay
 *   a tombstone, or a replica of a newer id               the right replica was removed while the left one
 *                                                         lagged: its data is dropped
 *   an initialised replica                                the split is being replayed: nothing to do
 */
import {
  encodeDescriptor,
  keepDescriptor,
  replicaOnStore,
  type RangeDescriptor,
} from '../../kv/index.ts';
import { type HardState } from '../../raft/index.ts';
import { rangeStateKey, type MvccStats } from '../../storage/index.ts';
import { decodeCommand } from '../replica/command-codec.ts';
import { type PreparedRight } from '../replica/host.ts';
import {
  encodeApplied,
  encodeFloor,
  initialLogIndex,
  initialLogTerm,
  type ReplayFloor,
} from '../replica/range-state.ts';
import { configurationOf } from '../replica/configuration.ts';
import { type ReplicaStart } from '../replica/replica-start.ts';
import { Replica } from '../replica/replica.ts';
import { type Store } from './store.ts';

const nothing: PreparedRight = {
  writes: [],
  finish() {},
};

export function prepareRight(
  store: Store,
  left: Replica,
  right: RangeDescriptor,
  stats: MvccStats,
): PreparedRight {
  const mine = replicaOnStore(right, store.storeId);
  const existing = store.replicas.get(right.rangeId);
  if (existing?.initialised === true || store.installing.has(right.rangeId)) return nothing;
  const gone =
    mine === undefined ||
    mine.replicaId < store.tombstone(right.rangeId) ||
    (existing !== undefined && existing.replicaId > mine.replicaId);
  if (gone) {
    const dropped = store.remover.prepareDiscard(right);
    return { writes: [dropped.write], finish: dropped.finish };
  }
  const floor: ReplayFloor = {
    index: initialLogIndex,
    term: initialLogTerm,
    configuration: configurationOf(right),
  };
  const former = left.descriptor;
  return {
    writes: [
      { key: rangeStateKey(right.rangeId, 'descriptor'), value: encodeDescriptor(right) },
      {
        key: rangeStateKey(right.rangeId, 'applied'),
        value: encodeApplied(floor.index, floor.term, stats),
      },
      { key: rangeStateKey(right.rangeId, 'floor'), value: encodeFloor(floor) },
    ],
    finish() {
      if (existing !== undefined) store.dropReplica(existing);
      const reset = startLog(store, right);
      const hardState = recoveredHardState(store, right.rangeId, floor, undefined);
      const replica = new Replica(store, {
        rangeId: right.rangeId,
        replicaId: mine.replicaId,
        descriptor: keepDescriptor(right, former, left.descriptor),
        stats,
        floor,
        hardState,
        leader: existing && leaderIn(hardState.term, existing),
        statsIndex: floor.index,
      });
      store.addReplica(replica);
      replica.inheritHistory(left);
      replica.closed.learn(left.closedTimestamp);
      replica.closed.inherit(left.closed);
      store.counters.splits++;
      const wasLeaseholder = left.holdsLease;
      replica.bornElsewhere = !wasLeaseholder;
      if (wasLeaseholder) left.executor().split(right.startKey, replica.executor());
      replica.suspended++;
      const ready = reset.then(
        () => {
          replica.suspended--;
          // The old leaseholder stands at once: the right side is away for one round trip.
          if (wasLeaseholder) replica.campaign();
          store.activate(replica);
        },
        (error: unknown) => store.fatal(error),
      );
      store.noteBirth(replica, ready);
    },
  };
}

/** It may have come to the range since the split: the descriptor of that time does not say where it is. */
function leaderIn(term: number, replica: Replica): ReplicaStart['leader'] {
  const { raft } = replica;
  const address = replica.address(raft.leader);
  return raft.term === term && address !== undefined ? { id: raft.leader, address } : undefined;
}

/** Begins the log of a new range; one that survived a crash is kept. */
export function startLog(store: Store, range: RangeDescriptor): Promise<void> {
  const log = store.raftLog.range(range.rangeId);
  if (log.lastIndex >= initialLogIndex) return Promise.resolve();
  const { term, vote } = log.hardState;
  return store.raftLog.reset(
    range.rangeId,
    { index: initialLogIndex, term: initialLogTerm },
    {
      term: Math.max(term, initialLogTerm),
      vote: term >= initialLogTerm ? vote : 0,
      commit: initialLogIndex,
    },
  );
}

/**
 * Term and vote as the log has them. What the engine has applied was committed, even if the commit index on
 * disk is older; but only an entry of the same term is that entry.
 */
export function recoveredHardState(
  store: Store,
  rangeId: RangeDescriptor['rangeId'],
  floor: ReplayFloor,
  applied: { readonly index: number; readonly term: number } | undefined,
): HardState {
  const log = store.raftLog.range(rangeId);
  const { term, vote, commit } = log.hardState;
  let known = Math.max(commit, floor.index);
  if (applied !== undefined && log.term(applied.index) === applied.term) {
    known = Math.max(known, applied.index);
  }
  known = Math.max(known, lastAppliedSplit(store, rangeId, known));
  return { term: Math.max(term, floor.term), vote, commit: Math.min(known, log.lastIndex) };
}

/**
 * The last split behind `commit` whose right side has a log here; 0 without one. That log began when the split was applied,
 * so the split is committed, whatever the commit index on disk says. It has to be applied again before anything else
 * happens to the left side: a snapshot of what the left side became would leave the right side's log without a replica.
 */
function lastAppliedSplit(
  store: Store,
  rangeId: RangeDescriptor['rangeId'],
  commit: number,
): number {
  const log = store.raftLog.range(rangeId);
  const from = Math.max(commit + 1, log.firstIndex);
  if (from > log.lastIndex) return 0;
  let found = 0;
  const rights = new Set<number>();
  for (const entry of log.entries(from, log.lastIndex + 1, Infinity)) {
    if (entry.kind !== 'normal' || entry.data.length === 0) continue;
    const { trigger } = decodeCommand(entry.data);
    if (trigger?.kind !== 'split') continue;
    const { rangeId: right } = trigger.right;
    // Of two entries with one right side only the first is known to be committed.
    if (rights.has(right) || store.raftLog.range(right).lastIndex < initialLogIndex) continue;
    rights.add(right);
    found = entry.index;
  }
  return found;
}
