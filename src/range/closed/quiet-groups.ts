/**
 * Ranges at rest are closed together. A leaseholder whose replica falls asleep joins the group of the ranges that have their replicas on the
 * same stores, whose leases rest on the same promises, and that are closed as far; closing the group closes them all, without a look at any
 * of them. Whatever wakes a range takes it out again, in the same step, before anything else happens to it. Pure; `side-transport.ts` feeds it.
 *
 * What is closed for a group is below the expiration of the lease of each of its ranges: the promises of stores are renewed for
 * all ranges alike while they are asleep, and one of a new epoch wakes those that it concerns.
 *
 * INVARIANT: while a range is in a group no write to it is under way, and all its log is applied.
 */
import { type RangeId, type StoreId } from '../../kv/index.ts';
import { type PeerAddress } from '../replica/replica.ts';

export interface GroupPlace {
  /** Where the other replicas are. */
  readonly peers: readonly PeerAddress[];
  /** Of them, those of voters whose promise to this store counts for the lease. */
  readonly promising: readonly StoreId[];
  /** All voters, this store's replica among them. */
  readonly voters: number;
  /** They are closed ahead of the clock. */
  readonly ahead: boolean;
}

export class QuietGroup {
  readonly id: number;
  readonly place: GroupPlace;
  /** HLC wall microseconds: all its ranges are closed up to here. */
  closed: number;
  /** The last index of each range's log. */
  readonly members = new Map<RangeId, number>();
  /** What has changed since peers were told: the index of a range that came, undefined for one that went. */
  readonly changes = new Map<RangeId, number | undefined>();

  constructor(id: number, place: GroupPlace, closed: number) {
    this.id = id;
    this.place = place;
    this.closed = closed;
  }
}

export class QuietGroups {
  readonly #groups = new Map<string, QuietGroup>();
  #lastId = 0;

  get all(): Iterable<QuietGroup> {
    return this.#groups.values();
  }

  join(rangeId: RangeId, lastIndex: number, place: GroupPlace): QuietGroup {
    const name = nameOf(place);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new QuietGroup(++this.#lastId, place, 0);
      this.#groups.set(name, group);
    }
    group.members.set(rangeId, lastIndex);
    group.changes.set(rangeId, lastIndex);
    return group;
  }

  leave(rangeId: RangeId, group: QuietGroup): void {
    group.members.delete(rangeId);
    group.changes.set(rangeId, undefined);
  }

  /** Peers have been told of all changes. */
  told(): void {
    for (const [name, group] of this.#groups) {
      group.changes.clear();
      if (group.members.size === 0) this.#groups.delete(name);
    }
  }
}

/** As far as the leases of a group's ranges reach: what a quorum of voters has promised. */
export function leaseReach(place: GroupPlace, promisedBy: (store: StoreId) => number): number {
  const promised = place.promising.map(promisedBy).sort((a, b) => b - a);
  // This store is the first of the quorum.
  const others = Math.floor(place.voters / 2);
  return others === 0 ? Number.POSITIVE_INFINITY : (promised[others - 1] ?? 0);
}

function nameOf({ peers, promising, voters, ahead }: GroupPlace): string {
  const stores = peers.map(({ storeId }) => storeId).sort((a, b) => a - b);
  return `${stores.join()}/${promising.toSorted((a, b) => a - b).join()}/${voters}${ahead ? '+' : ''}`;
}
