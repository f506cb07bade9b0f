/**
 * How far the leader of a term may serve: the smallest expiration that a quorum of its voters has
 * promised, counting only voters that acknowledged this leader in this term, under the promise that is
 * still in force (see `store/liveness.ts`). Pure; the replica feeds it.
 *
 * Intuition: whoever wants to replace the leader needs the votes of a quorum; one of those voters made
 * one of the promises counted here, and grants no vote before its clock has passed it.
 */
import { type StoreId } from '../../kv/index.ts';
import { type Configuration, type RaftId } from '../../raft/index.ts';
import { type SupportLedger } from '../store/liveness.ts';

interface Acknowledgement {
  readonly term: number;
  readonly epoch: number;
}

export class LeaseSupport {
  readonly #self: RaftId;
  readonly #ledger: SupportLedger;
  readonly #storeOf: (id: RaftId) => StoreId | undefined;
  readonly #acknowledged = new Map<RaftId, Acknowledgement>();
  #version = 0;
  #cached: {
    readonly ledgerVersion: number;
    readonly version: number;
    readonly term: number;
    readonly configuration: Configuration;
    readonly expiration: number;
  } = {
    ledgerVersion: -1,
    version: -1,
    term: -1,
    configuration: { voters: [], votersOutgoing: [], learners: [] },
    expiration: 0,
  };

  constructor(self: RaftId, ledger: SupportLedger, storeOf: (id: RaftId) => StoreId | undefined) {
    this.#self = self;
    this.#ledger = ledger;
    this.#storeOf = storeOf;
  }

  /** A response of follower `id` in `term`, given while its store's promise of `epoch` was in force. */
  acknowledge(id: RaftId, term: number, epoch: number): void {
    const known = this.#acknowledged.get(id);
    if (known !== undefined && known.term === term && known.epoch >= epoch) return;
    if (known !== undefined && known.term > term) return;
    this.#acknowledged.set(id, { term, epoch });
    this.#version++;
  }

  /** HLC wall microseconds; Infinity when this replica is a quorum by itself, 0 without a quorum. */
  expiration(term: number, configuration: Configuration): number {
    const cached = this.#cached;
    if (
      cached.ledgerVersion === this.#ledger.version &&
      cached.version === this.#version &&
      cached.term === term &&
      cached.configuration === configuration
    ) {
      return cached.expiration;
    }
    let expiration = this.#quorumExpiration(term, configuration.voters);
    if (configuration.votersOutgoing.length > 0) {
      expiration = Math.min(expiration, this.#quorumExpiration(term, configuration.votersOutgoing));
    }
    this.#cached = {
      ledgerVersion: this.#ledger.version,
      version: this.#version,
      term,
      configuration,
      expiration,
    };
    return expiration;
  }

  /** Every voter whose store supports this one has acknowledged this leader under that very promise. */
  settled(term: number, configuration: Configuration, nowWall: number): boolean {
    for (const id of configuration.voters) {
      const store = id === this.#self ? undefined : this.#storeOf(id);
      if (store === undefined || !this.#ledger.supportedBy(store, nowWall)) continue;
      if (this.#promisedBy(id, term) === 0) return false;
    }
    return true;
  }

  /** Stores of voters whose promise counts, this one aside. */
  promising(term: number, configuration: Configuration): StoreId[] {
    return configuration.voters.flatMap((id) => {
      const store = this.#storeOf(id);
      const counts = id !== this.#self && this.#promisedBy(id, term) > 0;
      return counts && store !== undefined ? [store] : [];
    });
  }

  #quorumExpiration(term: number, voters: readonly RaftId[]): number {
    const promised = voters.map((id) => this.#promisedBy(id, term)).sort((a, b) => b - a);
    return promised[Math.floor(voters.length / 2)] ?? 0;
  }

  #promisedBy(id: RaftId, term: number): number {
    if (id === this.#self) return Number.POSITIVE_INFINITY;
    const acknowledged = this.#acknowledged.get(id);
    if (acknowledged === undefined || acknowledged.term !== term) return 0;
    const store = this.#storeOf(id);
    if (store === undefined) return 0;
    const support = this.#ledger.supportFrom(store);
    return support.epoch === acknowledged.epoch ? support.expiration : 0;
  }
}
