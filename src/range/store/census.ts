/**
 * What a store knows of its replicas together: their key order, how many there are, which stores they are
 * shared with. Looking at all of them is work for a store with thousands, so the answers are kept
 * until one of them changes.
 *
 * INVARIANT: initialised replicas are filed under their start keys, which never change; their spans do not overlap.
 */
import {
  replicaOnStore,
  SortedMap,
  type RangeDescriptor,
  type RangeId,
  type StoreId,
} from '../../kv/index.ts';
import { compareBytes, nextKey } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type StoreAddress } from './liveness-driver.ts';

export interface ReplicaCounts {
  /** Replicas that take part in their range (none that waits for its first snapshot). */
  readonly ranges: number;
  readonly leases: number;
}

export class Census {
  readonly #storeId: StoreId;
  readonly #replicas: ReadonlyMap<RangeId, Replica>;
  readonly #byStart = new SortedMap<Replica>();
  #counts: ReplicaCounts | undefined;
  #members: ReadonlyMap<StoreId, StoreAddress> | undefined;

  constructor(storeId: StoreId, replicas: ReadonlyMap<RangeId, Replica>) {
    this.#storeId = storeId;
    this.#replicas = replicas;
  }

  /** The replica is new, or has another descriptor than before. */
  note(replica: Replica): void {
    if (replica.initialised && !replica.destroyed) {
      this.#byStart.set(replica.descriptor.startKey, replica);
    }
    this.#counts = undefined;
    this.#members = undefined;
  }

  noteLease(): void {
    this.#counts = undefined;
  }

  remove(replica: Replica): void {
    this.#counts = undefined;
    this.#members = undefined;
    if (!replica.initialised) return;
    const { startKey } = replica.descriptor;
    if (this.#byStart.get(startKey) === replica) this.#byStart.delete(startKey);
  }

  /** Descriptors that hold some of [start, end), in key order. */
  overlapping(start: Buffer, end: Buffer): RangeDescriptor[] {
    const found: RangeDescriptor[] = [];
    const first = this.#byStart.floor(start)?.value.descriptor;
    if (first !== undefined && compareBytes(start, first.endKey) < 0) found.push(first);
    this.#byStart.visit(nextKey(start), end, (_startKey, replica) => {
      found.push(replica.descriptor);
    });
    return found;
  }

  get counts(): ReplicaCounts {
    this.#counts ??= this.#count();
    return this.#counts;
  }

  /** Stores that hold a replica of some range of this store; itself, too. */
  get members(): ReadonlyMap<StoreId, StoreAddress> {
    this.#members ??= this.#findMembers();
    return this.#members;
  }

  #count(): ReplicaCounts {
    let ranges = 0;
    let leases = 0;
    for (const replica of this.#replicas.values()) {
      if (!replica.initialised) continue;
      if (replicaOnStore(replica.descriptor, this.#storeId) !== undefined) ranges++;
      if (replica.holdsLease) leases++;
    }
    return { ranges, leases };
  }

  #findMembers(): Map<StoreId, StoreAddress> {
    const members = new Map<StoreId, StoreAddress>();
    for (const replica of this.#replicas.values()) {
      if (!replica.initialised) continue;
      for (const { nodeId, storeId } of replica.descriptor.replicas) {
        if (!members.has(storeId)) members.set(storeId, { nodeId, storeId });
      }
    }
    return members;
  }
}
