/**
 * Changes of a range's replicas. The descriptor leads, raft follows: each step commits a descriptor,
 * its trigger sets it on every replica, and the leaseholder makes raft's configuration equal to it.
 *
 *   1. new replicas become learners; raft sends them a snapshot and the log
 *   2. once they have caught up: learners -> incoming voters, removed voters -> outgoing
 *      (raft passes through a joint configuration when more than one voter changes, trap R4)
 *   3. once raft has left it: incoming -> voters, outgoing ones leave the descriptor
 *
 * A new leaseholder finds a descriptor in the middle of this and finishes step 3, or removes learners
 * that nobody promotes: `finishChange`.
 */
import {
  asReplicaId,
  replicaOnStore,
  type Db,
  type KvError,
  type NodeId,
  type RangeDescriptor,
  type ReplicaDescriptor,
  type StoreId,
} from '../../kv/index.ts';
import { type ChangePurpose } from '../../allocator/index.ts';
import { commitDescriptors } from './descriptor-txn.ts';
import { configurationOf, type PeerAddress, type Replica } from './replica.ts';
import { transferLease } from './transfer.ts';

export interface Target {
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
}

export interface ReplicaChange {
  readonly add: readonly Target[];
  readonly remove: readonly Target[];
  readonly purpose: ChangePurpose;
}

export interface ChangeDeps {
  readonly db: Db;
  readonly tellRemoved: (to: PeerAddress, replica: Replica) => void;
}

/** Entries a learner may be behind when it is promoted. */
const lagMax = 1000;

/** Undefined on success. To be run under `replica.exclusively`. */
export async function changeReplicas(
  replica: Replica,
  deps: ChangeDeps,
  change: ReplicaChange,
): Promise<KvError | undefined> {
  const invalid = validate(replica.descriptor, change);
  if (invalid !== undefined) return { kind: 'invalid-request', reason: invalid };
  if (change.remove.some((target) => target.storeId === replica.storeId)) {
    return leave(replica, change);
  }
  replica.changePurpose = change.purpose;
  const unfinished = await finishChange(replica, deps, change.add);
  if (unfinished !== undefined) return unfinished;
  const learned = await addLearners(replica, deps, change.add);
  if (learned !== undefined) return learned;
  const caughtUp = await awaitLearners(replica);
  if (caughtUp !== undefined) {
    const undone = await removeLearners(replica, deps, () => true);
    return undone ?? caughtUp;
  }
  const promoted = await commit(replica, deps, promote(replica.descriptor, change));
  if (promoted !== undefined) return promoted;
  return finishJoint(replica, deps);
}

/** Brings a descriptor that was left in the middle of a change to rest; learners on `keep` stay. */
export async function finishChange(
  replica: Replica,
  deps: ChangeDeps,
  keep: readonly Target[],
): Promise<KvError | undefined> {
  const joint = await finishJoint(replica, deps);
  if (joint !== undefined) return joint;
  return removeLearners(
    replica,
    deps,
    (learner) => !keep.some((target) => target.storeId === learner.storeId),
  );
}

function validate(range: RangeDescriptor, change: ReplicaChange): string | undefined {
  const { add, remove } = change;
  const stores = [...add, ...remove].map((target) => target.storeId);
  if (stores.length === 0) return 'no replica to add or to remove';
  if (new Set(stores).size !== stores.length) return 'a store is named twice';
  for (const target of add) {
    const present = replicaOnStore(range, target.storeId);
    if (present !== undefined && present.kind !== 'learner') {
      return `store ${target.storeId} has a replica of range ${range.rangeId} already`;
    }
  }
  for (const target of remove) {
    if (replicaOnStore(range, target.storeId) === undefined) {
      return `store ${target.storeId} has no replica of range ${range.rangeId}`;
    }
  }
  const gone = (storeId: StoreId): boolean => remove.some((each) => each.storeId === storeId);
  const left = range.replicas.filter((each) => each.kind !== 'learner' && !gone(each.storeId));
  if (left.length + add.length === 0) return 'a range keeps at least one voter';
  return undefined;
}

/** The leaseholder never removes itself: it hands the lease to a voter that stays, which is asked again. */
async function leave(replica: Replica, change: ReplicaChange): Promise<KvError | undefined> {
  const stays = replica.descriptor.replicas.filter(
    (each) =>
      each.kind === 'voter' &&
      each.storeId !== replica.storeId &&
      !change.remove.some((target) => target.storeId === each.storeId),
  );
  let failure: KvError = {
    kind: 'unavailable',
    reason: `range ${replica.rangeId}: the leaseholder is to go and no other voter stays`,
  };
  for (const heir of stays) {
    const result = await transferLease(
      replica,
      heir.storeId,
      replica.host.settings.transferTimeoutMs,
    );
    if (result === undefined || result.kind === 'not-leaseholder') return replica.notLeaseholder();
    failure = result;
  }
  return failure;
}

async function addLearners(
  replica: Replica,
  deps: ChangeDeps,
  targets: readonly Target[],
): Promise<KvError | undefined> {
  const range = replica.descriptor;
  let { nextReplicaId } = range;
  const replicas = [...range.replicas];
  for (const { nodeId, storeId } of targets) {
    if (replicaOnStore(range, storeId) !== undefined) continue;
    replicas.push({ nodeId, storeId, replicaId: nextReplicaId, kind: 'learner' });
    nextReplicaId = asReplicaId(nextReplicaId + 1);
  }
  if (replicas.length === range.replicas.length) return undefined;
  return commit(replica, deps, { ...range, replicas, nextReplicaId });
}

async function awaitLearners(replica: Replica): Promise<KvError | undefined> {
  const learners = replica.descriptor.replicas.filter((each) => each.kind === 'learner');
  if (learners.length === 0) return undefined;
  const { host, rangeId } = replica;
  const timeoutMs = host.settings.changeReplicasTimeoutMs;
  const haveCaughtUp = (): boolean => {
    if (!replica.holdsLease) return true;
    const progress = replica.raft.progress();
    return learners.every((learner) => {
      const at = progress.find((each) => each.id === learner.replicaId);
      return at?.state === 'replicate' && at.match + lagMax >= replica.raft.commitIndex;
    });
  };
  for (;;) {
    const met = await replica.waitUntil(haveCaughtUp, timeoutMs);
    if (!replica.holdsLease) return replica.notLeaseholder();
    if (met) return undefined;
    // However long a snapshot takes at the rate it is allowed, as long as it gets ahead.
    if (!learners.some((each) => host.snapshotAdvances(rangeId, each.replicaId, timeoutMs))) break;
  }
  return {
    kind: 'unavailable',
    reason: `range ${replica.rangeId}: a new replica did not catch up in time`,
  };
}

function promote(range: RangeDescriptor, change: ReplicaChange): RangeDescriptor {
  const leaving = (each: ReplicaDescriptor): boolean =>
    change.remove.some((target) => target.storeId === each.storeId);
  const replicas: ReplicaDescriptor[] = [];
  for (const each of range.replicas) {
    if (leaving(each)) {
      if (each.kind === 'voter') replicas.push({ ...each, kind: 'voter-outgoing' });
    } else if (each.kind === 'learner') replicas.push({ ...each, kind: 'voter-incoming' });
    else replicas.push(each);
  }
  return { ...range, replicas };
}

/** Waits until raft has what the descriptor asks for, then says so in the descriptor. */
async function finishJoint(replica: Replica, deps: ChangeDeps): Promise<KvError | undefined> {
  const range = replica.descriptor;
  if (!range.replicas.some((each) => each.kind.startsWith('voter-'))) return undefined;
  const met = await replica.waitUntil(() => {
    if (!replica.holdsLease) return true;
    replica.reconcileConfiguration();
    return isConfigured(replica);
  }, replica.host.settings.changeReplicasTimeoutMs);
  if (!replica.holdsLease) return replica.notLeaseholder();
  if (!met) {
    return {
      kind: 'unavailable',
      reason: `range ${replica.rangeId}: the change of its voters is not decided yet`,
    };
  }
  const replicas: ReplicaDescriptor[] = [];
  const gone: ReplicaDescriptor[] = [];
  for (const each of replica.descriptor.replicas) {
    if (each.kind === 'voter-outgoing') gone.push(each);
    else replicas.push(each.kind === 'voter-incoming' ? { ...each, kind: 'voter' } : each);
  }
  const failed = await commit(replica, deps, { ...replica.descriptor, replicas });
  if (failed !== undefined) return failed;
  for (const each of gone) deps.tellRemoved(each, replica);
  return undefined;
}

async function removeLearners(
  replica: Replica,
  deps: ChangeDeps,
  which: (learner: ReplicaDescriptor) => boolean,
): Promise<KvError | undefined> {
  const range = replica.descriptor;
  const gone = range.replicas.filter((each) => each.kind === 'learner' && which(each));
  if (gone.length === 0) return undefined;
  const replicas = range.replicas.filter((each) => !gone.includes(each));
  const failed = await commit(replica, deps, { ...range, replicas });
  if (failed !== undefined) return failed;
  for (const each of gone) deps.tellRemoved(each, replica);
  return undefined;
}

function isConfigured(replica: Replica): boolean {
  const { voters, votersOutgoing } = replica.raft.configuration;
  const wanted = configurationOf(replica.descriptor).voters;
  return (
    votersOutgoing.length === 0 &&
    voters.length === wanted.length &&
    wanted.every((id) => voters.includes(id))
  );
}

async function commit(
  replica: Replica,
  deps: ChangeDeps,
  wanted: RangeDescriptor,
): Promise<KvError | undefined> {
  const held = replica.checkLease(replica.clock.now());
  if (held !== undefined) return held;
  const expected = replica.descriptor;
  const range: RangeDescriptor = { ...wanted, generation: expected.generation + 1 };
  return commitDescriptors(deps.db, {
    name: 'change-replicas',
    expected,
    descriptors: [range],
    trigger: { kind: 'change-replicas', range },
  });
}
