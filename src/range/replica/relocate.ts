/**
 * Brings the replicas of a range to named stores, and its lease too if that is wanted: in one change, or in as few as
 * there have to be when the leaseholder itself is to go and nobody who stays could take the lease:
 *
 *   from 1* 2 3 to 1 4 5     one joint change
 *   from 1* 2 3 to 3 4 5     the lease to 3, one joint change there
 *   from 1* 2 3 to 4 5 6     one joint change to 1 4 5 6, the lease to one of them, 1 goes
 *                            (6 on the node of 1: to 1 4 5, the lease to one of them, then to 4 5 6)
 *
 * The request names the end and not the way, so whoever holds the lease goes on with it.
 */
import { type AllocatorTarget } from '../../allocator/index.ts';
import { type KvError, type StoreId } from '../../kv/index.ts';
import { place, type ChangeDeps } from './change-replicas.ts';
import { refusalOf, type Placement } from './placement.ts';
import { type Replica } from './replica.ts';
import { transferLease } from './transfer.ts';

/** Undefined when all is done. To be run under `replica.exclusively`. */
export async function relocate(
  replica: Replica,
  deps: ChangeDeps,
  placement: Placement,
  leaseholder: StoreId | undefined,
): Promise<KvError | undefined> {
  const reason = refusalOf(replica.descriptor, placement);
  if (reason !== undefined) return { kind: 'invalid-request', reason };
  const options = { purpose: 'rebalance', heir: leaseholder } as const;
  if (!hasHeir(replica, placement)) {
    const first = await place(replica, deps, withSelf(replica, placement), options);
    if (first !== undefined) return first;
  }
  const failed = await place(replica, deps, placement, options);
  if (failed !== undefined || leaseholder === undefined) return failed;
  return transferLease(replica, leaseholder, replica.host.settings.transferTimeoutMs);
}

/** The leaseholder stays, or another voter does. */
function hasHeir({ descriptor }: Replica, { voters }: Placement): boolean {
  return descriptor.replicas.some(
    ({ kind, storeId }) => kind === 'voter' && voters.some((each) => each.storeId === storeId),
  );
}

/** Other stores of the leaseholder's node come when it has gone, unless nobody else could take the lease. */
function withSelf({ nodeId, storeId }: Replica, { voters, nonVoters }: Placement): Placement {
  const others = (targets: readonly AllocatorTarget[]): AllocatorTarget[] =>
    targets.filter((each) => each.nodeId !== nodeId);
  const self = { nodeId, storeId };
  const heirs = others(voters);
  return {
    voters: [...(heirs.length > 0 ? heirs : voters), self],
    nonVoters: others(nonVoters),
  };
}
