/**
 * Merges: a range absorbs its right neighbour (CockroachDB's design, in the terms of this layer). The left leaseholder:
 *
 *   1. both sides at rest, the same stores; every store makes durable what its right replica has applied
 *   2. a transaction anchored in the left side lays down its intents: the left descriptor and its meta record become those
 *      of the whole, the right descriptor and the record at the old boundary go
 *   3. the right leaseholder freezes (`merge-watch.ts`): nothing more is read, written or replicated there that matters
 *   4. every store has applied the right side's log up to where it froze, and has made that *durable*
 *   5. the commit carries the trigger: each replica of the left side absorbs the right one beside it (`store/absorb.ts`)
 *
 * Step 4 is what makes everything below raft simple. Once a merge is committed nobody ever needs the right side's log
 * again: a follower that applies the merge hours later, after crashes, has the right side's data on its disk, because the
 * replica that has it is neither removed nor replaced before the left one beside it has applied the merge or is gone
 * itself (its descriptor cannot change any more, and `queues/replica-gc-queue.ts` keeps to the order).
 *
 * Replay after a crash goes through the ranges in the order of their ids, because a split gives keys to a larger id
 * (`range-state.ts`). A merge gives keys to any id, but behind step 4: its checkpoint wrote the floors of *all* ranges of the
 * store at one moment, so whatever was written to the keys before it, by whomever, is below a floor and is not replayed.
 * Only what came after counts, and there again splits alone move keys: the order of ids is right for them. A split that
 * is replayed although its right side has been absorbed since finds the tombstone and leaves the data alone, because a replica of
 * the store holds the keys (`Remover`).
 *
 * The transaction reads nothing on the right side, and its commit does not visit it again: the right side is frozen and
 * could not answer. If it fails, at whatever point, its intents go and the right side serves again. If nobody knows how
 * it ended, the right side stays frozen until somebody does.
 */
import { keyMax, rangeDescriptorKey } from '../../encoding/index.ts';
import {
  asRangeId,
  decodeDescriptor,
  isChanging,
  KvFailure,
  replicaOnStore,
  type Db,
  type FrozenRange,
  type KvError,
  type RangeDescriptor,
  type ReplicaDescriptor,
  type TxnId,
} from '../../kv/index.ts';
import { commitDescriptors } from './descriptor-txn.ts';
import { type Replica } from './replica.ts';

export interface MergeDeps {
  readonly db: Db;
  /** The replica of that range there has applied its log up to `index`, durably. Throws KvFailure when it does not come to that. */
  readonly awaitDurable: (
    at: ReplicaDescriptor,
    of: RangeDescriptor,
    index: number,
  ) => Promise<void>;
}

/** Undefined on success. To be run under `replica.exclusively`. */
export async function mergeRight(replica: Replica, deps: MergeDeps): Promise<KvError | undefined> {
  const held = replica.checkLease(replica.clock.now());
  if (held !== undefined) return held;
  const left = replica.descriptor;
  if (left.endKey.equals(keyMax)) {
    return { kind: 'invalid-request', reason: 'the last range has no right neighbour' };
  }
  try {
    const right = await rangeFrom(deps.db, left.endKey);
    const refused = right === undefined ? 'is changing' : obstacle(left, right);
    if (right === undefined || refused !== undefined) {
      throw unavailable(`the right neighbour of range ${left.rangeId} ${refused}`);
    }
    await everywhere(right, deps, 0);
    return await commitMerge(replica, deps, left, right);
  } catch (error) {
    if (error instanceof KvFailure) return error.kvError;
    throw error;
  }
}

/** The range that starts at `key`, as of now; undefined when there is none. */
export async function rangeFrom(db: Db, key: Buffer): Promise<RangeDescriptor | undefined> {
  const stored = await db.readCurrent(rangeDescriptorKey(key));
  return stored && decodeDescriptor(stored);
}

/** What keeps two neighbours from being merged as they are. */
function obstacle(left: RangeDescriptor, right: RangeDescriptor): string | undefined {
  if (isChanging(left) || isChanging(right)) return 'waits for a change of replicas';
  if (!haveSameStores(left, right)) return 'has replicas on other stores';
  return undefined;
}

/** On the same stores, with the same role on each. */
export function haveSameStores(left: RangeDescriptor, right: RangeDescriptor): boolean {
  return (
    left.replicas.length === right.replicas.length &&
    left.replicas.every(({ storeId, kind }) => replicaOnStore(right, storeId)?.kind === kind)
  );
}

function commitMerge(
  replica: Replica,
  deps: MergeDeps,
  left: RangeDescriptor,
  right: RangeDescriptor,
): Promise<KvError | undefined> {
  const merged: RangeDescriptor = {
    ...left,
    endKey: right.endKey,
    generation: Math.max(left.generation, right.generation) + 1,
  };
  return commitDescriptors(deps.db, {
    name: 'merge',
    expected: left,
    descriptors: [merged],
    removed: [left, right],
    trigger: async (txn) => {
      // Whoever leads the right side from now on finds the intents.
      await txn.flush();
      const frozen = await freeze(replica, right, txn.meta.id);
      await everywhere(right, deps, frozen.appliedIndex);
      return { kind: 'merge', left: merged, right, frozen };
    },
  });
}

async function freeze(
  replica: Replica,
  right: RangeDescriptor,
  txnId: TxnId,
): Promise<FrozenRange> {
  const { clock, nodeId, sender } = replica;
  const response = await sender.send({
    header: {
      rangeId: asRangeId(0),
      generation: 0,
      timestamp: clock.now(),
      txn: undefined,
      gatewayNodeId: nodeId,
      waitPolicy: 'block',
      lockTimeoutMs: 0,
      consistency: 'current',
      canForwardReadTimestamp: false,
    },
    requests: [{ kind: 'admin-freeze', right, txnId }],
  });
  clock.observe(response.now);
  if (response.kind === 'error') throw new KvFailure(response.error);
  const [result] = response.results;
  if (result?.kind !== 'admin-freeze') throw unavailable('the answer to a freeze is missing');
  return result.frozen;
}

async function everywhere(right: RangeDescriptor, deps: MergeDeps, index: number): Promise<void> {
  await Promise.all(right.replicas.map((each) => deps.awaitDurable(each, right, index)));
}

function unavailable(reason: string): KvFailure {
  return new KvFailure({ kind: 'unavailable', reason });
}
