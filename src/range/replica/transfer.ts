/**
 * Lease transfers. The leaseholder makes requests wait, lets those under way finish, closes once more what was done ahead of the
 * clock, hands over locks and tombstones, stops serving for good in this term, and orders the target to campaign. Only a target whose log is complete is ordered
 * (trap T4); if it does not come up, the old leader stands again in a new term.
 */
import { type KvError, type StoreId } from '../../kv/index.ts';
import { type RaftId } from '../../raft/index.ts';
import { sleep } from '../../util/index.ts';
import { type Replica } from './replica.ts';

/** Entries the target may be behind when the transfer begins. */
const lagMax = 1000;

/** To the voter on store `to`; undefined: to the one that is furthest. Undefined on success. */
export async function transferLease(
  replica: Replica,
  to: StoreId | undefined,
  timeoutMs: number,
): Promise<KvError | undefined> {
  if (!replica.holdsLease) return replica.notLeaseholder();
  if (to === replica.storeId) return undefined;
  const target = chooseTarget(replica, to);
  if (target === undefined) {
    return {
      kind: 'unavailable',
      reason: `range ${replica.rangeId}: no voter can take the lease now`,
    };
  }
  const sequence = replica.leaseSequence;
  const quiet = await quiesce(replica, timeoutMs);
  if (quiet === undefined) {
    return { kind: 'unavailable', reason: `range ${replica.rangeId}: requests do not end` };
  }
  try {
    if (replica.leaseSequence !== sequence || !replica.holdsLease) return replica.notLeaseholder();
    const { term } = replica.raft;
    if (!(await replica.closing.seal(target))) return replica.notLeaseholder();
    replica.lease.beginTransfer(target);
    await replica.waitUntil(() => replica.raft.term > term && replica.raft.leader !== 0, timeoutMs);
    if (replica.raft.leader === target) {
      replica.host.counters.leaseTransfers++;
      return undefined;
    }
    return {
      kind: 'unavailable',
      reason: `range ${replica.rangeId}: the target did not take the lease`,
    };
  } finally {
    replica.closing.unseal();
    quiet();
  }
}

/** All leases among `replicas` that somebody else can take. */
export async function transferLeases(
  replicas: Iterable<Replica>,
  timeoutMs: number,
): Promise<void> {
  const transfers: Promise<unknown>[] = [];
  for (const replica of replicas) {
    if (replica.isLeader) transfers.push(transferLease(replica, undefined, timeoutMs));
  }
  await Promise.all(transfers);
}

function chooseTarget(replica: Replica, to: StoreId | undefined): RaftId | undefined {
  const { raft, host } = replica;
  const { voters, votersOutgoing } = raft.configuration;
  let best: { id: RaftId; match: number } | undefined;
  for (const follower of raft.progress()) {
    if (!voters.includes(follower.id)) continue;
    if (votersOutgoing.length > 0 && !votersOutgoing.includes(follower.id)) continue;
    const storeId = replica.address(follower.id)?.storeId;
    if (storeId === undefined || (to !== undefined && storeId !== to)) continue;
    if (follower.state !== 'replicate' || follower.match + lagMax < raft.commitIndex) continue;
    if (!host.liveness.supportedBy(storeId)) continue;
    if (to === undefined && host.isDraining(storeId)) continue;
    if (best === undefined || follower.match > best.match) best = follower;
  }
  return best?.id;
}

/** Undefined when requests under way do not end in time; whatever was blocked is let go then. */
export async function quiesce(
  replica: Replica,
  timeoutMs: number,
): Promise<(() => void) | undefined> {
  let late = false;
  const quiet = replica.executor().quiesce();
  const first = await Promise.race([quiet, sleep(replica.env, timeoutMs)]);
  if (first !== undefined) return first;
  late = true;
  void quiet.then((resume) => {
    if (late) resume();
  });
  return undefined;
}
