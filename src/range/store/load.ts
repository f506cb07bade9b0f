/**
 * Opening a store: brings back its replicas from the state engine and the raft log.
 *
 * Each range's log is replayed from its floor (see `replica/range-state.ts`) through the ordinary
 * apply path. Ranges go in the order of their ids: a range is older than those split off from it, and
 * its replay must not overwrite what they wrote later.
 */
import {
  decodeDescriptor,
  keepDescriptor,
  replicaOnStore,
  type RangeDescriptor,
  type RangeId,
} from '../../kv/index.ts';
import { CorruptionError, allRangeStatesSpan, decodeRangeStateKey } from '../../storage/index.ts';
import { yieldTurn } from '../../util/index.ts';
import {
  decodeApplied,
  decodeFloor,
  initialLogIndex,
  type AppliedState,
  type ReplayFloor,
} from '../replica/range-state.ts';
import { Replica } from '../replica/replica.ts';
import { clearingName, decodeClearing } from './remover.ts';
import { recoveredHardState, startLog } from './right-side.ts';
import { type InstallRecord } from './snapshot-format.ts';
import { type Store } from './store.ts';

interface StoredRange {
  descriptor?: RangeDescriptor;
  applied?: AppliedState;
  floor?: ReplayFloor;
  clearing?: Buffer;
}

export async function loadReplicas(
  store: Store,
  installs: readonly InstallRecord[],
  finishInstall: (record: InstallRecord) => Promise<void>,
): Promise<void> {
  const finish = async (record: InstallRecord): Promise<void> => {
    const { rangeId } = record.header;
    // A merge may have had to wait for it.
    if (!store.installing.has(rangeId)) return;
    await finishInstall(record);
    for (const each of [record.header, ...record.subsumed]) store.installing.delete(each.rangeId);
    const state = (await readStates(store)).get(rangeId);
    if (state !== undefined) await load(store, rangeId, state);
  };
  for (const record of installs) {
    for (const { rangeId } of [record.header, ...record.subsumed]) {
      store.installing.set(rangeId, () => finish(record));
    }
  }
  const stored = await readStates(store);
  for (const [rangeId, state] of stored) {
    if (state.clearing !== undefined) {
      store.remover.resume(rangeId, decodeClearing(state.clearing));
    }
    if (!store.installing.has(rangeId)) await load(store, rangeId, state);
  }
  await replayAll(store);
  for (const record of installs) await finish(record);
  for (const replica of store.replicas.values()) {
    const mine = replicaOnStore(replica.descriptor, store.storeId);
    if (mine?.replicaId === replica.replicaId) continue;
    store.remover.remove(replica, replica.descriptor.nextReplicaId);
  }
}

async function readStates(store: Store): Promise<Map<RangeId, StoredRange>> {
  const states = new Map<RangeId, StoredRange>();
  const iterator = store.engine.iterate(allRangeStatesSpan());
  try {
    for (;;) {
      const rows = await iterator.next(256);
      if (rows.length === 0) return states;
      for (const [key, value] of rows) {
        const decoded = decodeRangeStateKey(key);
        if (decoded === undefined) continue;
        const state = states.get(decoded.rangeId) ?? {};
        states.set(decoded.rangeId, state);
        if (decoded.name === 'descriptor')
          state.descriptor = keepDescriptor(decodeDescriptor(value));
        else if (decoded.name === 'applied') state.applied = decodeApplied(value);
        else if (decoded.name === 'floor') state.floor = decodeFloor(value);
        else if (decoded.name === clearingName) state.clearing = value;
      }
    }
  } finally {
    await iterator.close();
  }
}

async function load(store: Store, rangeId: RangeId, state: StoredRange): Promise<void> {
  const { descriptor, applied, floor } = state;
  // Without a descriptor its batch was lost; the parent's replay brings it back.
  if (descriptor === undefined || applied === undefined || floor === undefined) return;
  const mine = replicaOnStore(descriptor, store.storeId);
  if (floor.index === initialLogIndex) await startLog(store, descriptor);
  const log = store.raftLog.range(rangeId);
  if (log.lastIndex < floor.index || log.firstIndex > floor.index + 1) {
    throw new CorruptionError(
      `the raft log of range ${rangeId} holds entries ${log.firstIndex} to ${log.lastIndex}, ` +
        `but the state of the range begins at ${floor.index}: something is lost`,
    );
  }
  store.addReplica(
    new Replica(store, {
      rangeId,
      // A replica that its own descriptor does not name is removed right after the replay.
      replicaId: mine?.replicaId ?? descriptor.nextReplicaId,
      descriptor,
      stats: applied.stats,
      floor,
      hardState: recoveredHardState(store, rangeId, floor, applied),
      statsIndex: Math.max(applied.index, floor.index),
    }),
  );
}

/** The smallest range id first; right sides that a replay brings to life join those that wait, once their logs are there. */
async function replayAll(store: Store): Promise<void> {
  const youngestFirst = (a: Replica, b: Replica): number => b.rangeId - a.rangeId;
  const waiting = Array.from(store.replicas.values()).sort(youngestFirst);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.destroyed || !next.initialised) continue;
    await replay(store, next);
    const born = await store.births();
    if (born.length === 0) continue;
    waiting.push(...born);
    waiting.sort(youngestFirst);
  }
}

async function replay(store: Store, replica: Replica): Promise<void> {
  const { raft } = replica;
  while (raft.appliedIndex < raft.commitIndex) {
    if (raft.hasReady()) replica.committed(raft.ready());
    await yieldTurn(store.env);
    if (replica.destroyed) return;
  }
}
