/**
 * Changes of a range's replicas. The descriptor leads, raft follows: each step commits a descriptor,
 * its trigger sets it on every replica, and the leaseholder makes raft's configuration equal to it.
 *
 *   1. new replicas become learners; raft sends them a snapshot and the log
 *   2. once they have caught up, and so have the non-voters that are to vote: one descriptor with everybody on the
 *      way to the new role (raft passes through a joint configuration when more than one vote changes, trap R4)
 *   3. once raft has left it: everybody has the new role, those that go leave the descriptor
 *
 * A new leaseholder finds a descriptor in the middle of this and finishes step 3, or removes learners
 * that nobody promotes: `finishChange`. Non-voters are at rest and stay.
 */
import { type AllocatorTarget, type ChangePurpose } from '../../allocator/index.ts';
import {
  decodeMemberships,
  KvFailure,
  leavingAt,
  memberName,
  membershipOf,
  membershipsKey,
  replicaById,
  type CommitTrigger,
  type Db,
  type KvError,
  type RangeDescriptor,
  type ReplicaDescriptor,
  type StoreId,
  type Txn,
} from '../../kv/index.ts';
import { isConfigured, reconcileConfiguration } from './configuration.ts';
import { commitDescriptors } from './descriptor-txn.ts';
import {
  changedPlacement,
  entering,
  finished,
  withLearners,
  type Placement,
  type ReplicaChange,
} from './placement.ts';
import { type PeerAddress, type Replica } from './replica.ts';
import { transferLease } from './transfer.ts';

export interface ChangeDeps {
  readonly db: Db;
  readonly tellRemoved: (to: PeerAddress, replica: Replica) => void;
}

/** Entries a replica may be behind when it gets a vote. */
const lagMax = 1000;

/** Undefined on success. To be run under `replica.exclusively`. */
export async function changeReplicas(
  replica: Replica,
  deps: ChangeDeps,
  change: ReplicaChange,
): Promise<KvError | undefined> {
  const unfinished = await finishJoint(replica, deps);
  if (unfinished !== undefined) return unfinished;
  const placement = changedPlacement(replica.descriptor, change);
  if (typeof placement === 'string') return { kind: 'invalid-request', reason: placement };
  return place(replica, deps, placement, { purpose: change.purpose });
}

/**
 * Undefined once the range is placed like this. A leaseholder that is not to vote any more hands the lease to a voter that
 * stays, to `heir` rather than to another, and answers 'not-leaseholder': it is asked again there.
 */
export async function place(
  replica: Replica,
  deps: ChangeDeps,
  placement: Placement,
  options: { readonly purpose: ChangePurpose; readonly heir?: StoreId | undefined },
): Promise<KvError | undefined> {
  if (!placement.voters.some(({ storeId }) => storeId === replica.storeId)) {
    return leave(replica, placement.voters, options.heir);
  }
  const { leaseSequence } = replica;
  const unfinished = await finishChange(replica, deps, placement);
  if (unfinished !== undefined) return unfinished;
  const copied = await replica.admin.copying(options.purpose, () => copy(replica, deps, placement));
  if (copied !== undefined) return copied;
  // Under another lease somebody else may have begun something.
  if (replica.leaseSequence !== leaseSequence) return replica.notLeaseholder();
  const entered = await commit(replica, deps, entering(replica.descriptor, placement));
  return entered ?? finishJoint(replica, deps);
}

/** Brings a descriptor that was left in the middle of a change to rest; learners on stores of `keep` stay. */
export async function finishChange(
  replica: Replica,
  deps: ChangeDeps,
  keep: Placement = { voters: [], nonVoters: [] },
): Promise<KvError | undefined> {
  const joint = await finishJoint(replica, deps);
  return joint ?? removeLearners(replica, deps, [...keep.voters, ...keep.nonVoters]);
}

/** A range is not left to voters of whom too few are alive. */
async function awaitMajority(
  replica: Replica,
  { voters }: Placement,
): Promise<KvError | undefined> {
  const { host, rangeId } = replica;
  const isAlive = ({ storeId }: AllocatorTarget): boolean =>
    storeId === replica.storeId || host.liveness.supportedBy(storeId);
  const met = await replica.waitUntil(
    () => !replica.holdsLease || voters.filter(isAlive).length * 2 > voters.length,
    host.settings.livenessSupportMs,
  );
  if (!replica.holdsLease) return replica.notLeaseholder();
  if (met) return undefined;
  const stores = voters.map(({ storeId }) => storeId).join(', ');
  return {
    kind: 'unavailable',
    reason: `range ${rangeId}: too few of its voters on stores ${stores} would be alive`,
  };
}

/** The leaseholder never removes itself. */
async function leave(
  replica: Replica,
  voters: readonly AllocatorTarget[],
  heir: StoreId | undefined,
): Promise<KvError> {
  const { rangeId, storeId, descriptor } = replica;
  const isThere = (target: AllocatorTarget): boolean =>
    descriptor.replicas.some((each) => each.kind === 'voter' && each.storeId === target.storeId);
  const heirs = voters
    .filter((each) => each.storeId !== storeId && isThere(each))
    .sort((a, b) => Number(b.storeId === heir) - Number(a.storeId === heir));
  let failure: KvError = {
    kind: 'unavailable',
    reason: `range ${rangeId}: the leaseholder is to go and no other voter stays`,
  };
  for (const to of heirs) {
    const { transferTimeoutMs } = replica.host.settings;
    const result = await transferLease(replica, to.storeId, transferTimeoutMs);
    if (result === undefined || result.kind === 'not-leaseholder') return replica.notLeaseholder();
    failure = result;
  }
  return failure;
}

/** Everybody of the placement has a replica, and those who get a vote are not far behind. */
async function copy(
  replica: Replica,
  deps: ChangeDeps,
  placement: Placement,
): Promise<KvError | undefined> {
  const learned = await commit(replica, deps, withLearners(replica.descriptor, placement));
  if (learned !== undefined) return learned;
  const caughtUp =
    (await awaitCopies(replica, placement)) ?? (await awaitMajority(replica, placement));
  if (caughtUp === undefined) return undefined;
  return (
    (await removeLearners(replica, deps, [])) ?? (await finishJoint(replica, deps)) ?? caughtUp
  );
}

/** A store that was silent for so long gets no copy: whatever else is to be done to the range would wait for it. */
const lostMs = 5_000;

async function awaitCopies(replica: Replica, { voters }: Placement): Promise<KvError | undefined> {
  const { host, rangeId } = replica;
  const isPromoted = (storeId: StoreId): boolean => voters.some((each) => each.storeId === storeId);
  const copies = replica.descriptor.replicas.filter(
    ({ kind, storeId }) => kind === 'learner' || (kind === 'non-voter' && isPromoted(storeId)),
  );
  if (copies.length === 0) return undefined;
  const timeoutMs = host.settings.changeReplicasTimeoutMs;
  const haveCaughtUp = (): boolean => {
    if (!replica.holdsLease) return true;
    reconcileConfiguration(replica);
    const progress = replica.raft.progress();
    return copies.every((copied) => {
      const at = progress.find((each) => each.id === copied.replicaId);
      return at?.state === 'replicate' && at.match + lagMax >= replica.raft.commitIndex;
    });
  };
  const lost = (): ReplicaDescriptor | undefined =>
    copies.find(({ storeId }) => (host.liveness.silentMs(storeId) ?? 0) > lostMs);
  for (;;) {
    const met = await replica.waitUntil(() => haveCaughtUp() || lost() !== undefined, timeoutMs);
    if (!replica.holdsLease) return replica.notLeaseholder();
    if (haveCaughtUp()) return undefined;
    const away = lost();
    if (away !== undefined) {
      const reason = `range ${rangeId}: store ${away.storeId}, which was to get a replica, is away`;
      return { kind: 'unavailable', reason };
    }
    if (met) continue;
    // However long a snapshot takes at the rate it is allowed, as long as it gets ahead.
    if (!copies.some((each) => host.snapshotAdvances(rangeId, each.replicaId, timeoutMs))) break;
  }
  return {
    kind: 'unavailable',
    reason: `range ${rangeId}: a new replica did not catch up in time`,
  };
}

/** Waits until raft has what the descriptor asks for, then says so in the descriptor. */
async function finishJoint(replica: Replica, deps: ChangeDeps): Promise<KvError | undefined> {
  const met = await replica.waitUntil(() => {
    if (!replica.holdsLease) return true;
    reconcileConfiguration(replica);
    return isConfigured(replica);
  }, replica.host.settings.changeReplicasTimeoutMs);
  if (!replica.holdsLease) return replica.notLeaseholder();
  if (!met) {
    return {
      kind: 'unavailable',
      reason: `range ${replica.rangeId}: the change of its members is not decided yet`,
    };
  }
  return commit(replica, deps, finished(replica.descriptor));
}

async function removeLearners(
  replica: Replica,
  deps: ChangeDeps,
  keep: readonly AllocatorTarget[],
): Promise<KvError | undefined> {
  const range = replica.descriptor;
  const replicas = range.replicas.filter(
    ({ kind, storeId }) => kind !== 'learner' || keep.some((target) => target.storeId === storeId),
  );
  return commit(replica, deps, { ...range, replicas });
}

/** Makes `wanted` the descriptor, unless nothing changes, and tells those that it does not name any more. */
async function commit(
  replica: Replica,
  deps: ChangeDeps,
  wanted: RangeDescriptor,
): Promise<KvError | undefined> {
  const expected = replica.descriptor;
  const { replicas } = wanted;
  const isSame =
    replicas.length === expected.replicas.length &&
    replicas.every((each, at) => each === expected.replicas[at]);
  if (isSame) return undefined;
  const held = replica.checkLease(replica.clock.now());
  if (held !== undefined) return held;
  const range: RangeDescriptor = { ...wanted, generation: expected.generation + 1 };
  const newcomers = missingIn(expected, range);
  const trigger: CommitTrigger = { kind: 'change-replicas', range };
  const failed = await commitDescriptors(deps.db, {
    name: 'change-replicas',
    expected,
    descriptors: [range],
    trigger:
      newcomers.length === 0
        ? trigger
        : async (txn) => {
            await refuseLeaving(txn, newcomers);
            return trigger;
          },
  });
  if (failed !== undefined) return failed;
  for (const each of missingIn(range, expected)) deps.tellRemoved(each, replica);
  return undefined;
}

/** Replicas of `other` that `range` does not name. */
function missingIn(range: RangeDescriptor, other: RangeDescriptor): ReplicaDescriptor[] {
  return other.replicas.filter(({ replicaId }) => replicaById(range, replicaId) === undefined);
}

/**
 * Gossip may be late with the news that a store is to leave. Read in the transaction that names the replica, so that a store
 * is never found to be empty while one comes to it (`txn/memberships.ts`).
 */
async function refuseLeaving(txn: Txn, newcomers: readonly ReplicaDescriptor[]): Promise<void> {
  const memberships = decodeMemberships(await txn.get(membershipsKey));
  for (const newcomer of newcomers) {
    const leaving = leavingAt(newcomer, (member) => membershipOf(memberships, member));
    if (leaving === undefined) continue;
    const reason = `${memberName(leaving.member)} is ${leaving.membership}`;
    throw new KvFailure({ kind: 'invalid-request', reason });
  }
}
