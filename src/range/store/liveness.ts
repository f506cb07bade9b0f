/**
 * Store liveness: who promises to whom. Pure bookkeeping; `liveness-driver.ts` sends the heartbeats.
 *
 * Store V promises store A support until E: "no replica of mine that follows a leader on A will
 * campaign, or vote for another one, before my clock has passed E". The promise is about stores, while
 * leadership is about ranges, so each promise has an *epoch*: when V's clock has passed E and one of
 * its replicas makes use of that, V withdraws, and its next promise to A is of a new epoch. A leader on
 * A counts V only while V's promise is of the epoch under which V's replica acknowledged that leader
 * in this term: otherwise a promise renewed after a lapse would also cover a replica that has
 * meanwhile voted for somebody else.
 *
 * INVARIANT 1: within an epoch a promised expiration never decreases.
 * INVARIANT 2: an epoch that was withdrawn is never promised again, not even after a restart (epochs
 *   start at the store's clock, which never goes backwards).
 */
import { type StoreId } from '../../kv/index.ts';

/** `expiration` in HLC wall microseconds; 0 = none. */
export interface Support {
  readonly epoch: number;
  readonly expiration: number;
}

interface Promised {
  epoch: number;
  expiration: number;
  withdrawn: boolean;
  /** `lapsedPromises` has said that it ran out. */
  told: boolean;
}

const noSupport: Support = { epoch: 0, expiration: 0 };

export class SupportLedger {
  readonly #promised = new Map<StoreId, Promised>();
  readonly #received = new Map<StoreId, Support>();
  #maxPromised = 0;
  #version = 0;

  /** Changes whenever support that this store receives has changed. */
  get version(): number {
    return this.#version;
  }

  /** No promise of this store reaches beyond it. */
  get maxPromised(): number {
    return this.#maxPromised;
  }

  /** Store `to` asks for support until `expiration`; the answer may say less, never less than before. */
  promise(to: StoreId, expiration: number, nowWall: number): Support {
    let entry = this.#promised.get(to);
    if (entry === undefined) {
      entry = { epoch: nowWall, expiration: 0, withdrawn: true, told: true };
      this.#promised.set(to, entry);
    }
    if (expiration > nowWall) {
      if (entry.withdrawn) {
        entry.epoch = Math.max(entry.epoch + 1, nowWall);
        entry.expiration = 0;
        entry.withdrawn = false;
      }
      entry.expiration = Math.max(entry.expiration, expiration);
      entry.told = false;
      this.#maxPromised = Math.max(this.#maxPromised, entry.expiration);
    }
    return entry.withdrawn ? noSupport : { epoch: entry.epoch, expiration: entry.expiration };
  }

  /**
   * True while this store's promise to `store` binds it. False withdraws the promise: from now on
   * replicas may vote against leaders on `store`, so it cannot be renewed in this epoch.
   */
  supports(store: StoreId, nowWall: number): boolean {
    const entry = this.#promised.get(store);
    if (entry === undefined || entry.withdrawn) return false;
    if (nowWall <= entry.expiration) return true;
    entry.withdrawn = true;
    return false;
  }

  /** The epoch that an acknowledgement sent now falls under; 0 when nothing is promised. */
  promisedEpoch(store: StoreId): number {
    const entry = this.#promised.get(store);
    return entry === undefined || entry.withdrawn ? 0 : entry.epoch;
  }

  /**
   * Stores whose promise by this store has run out since it was last asked, each once: also one that somebody's
   * question has withdrawn meanwhile, since quiet replicas sleep until they are told.
   */
  lapsedPromises(nowWall: number): StoreId[] {
    const lapsed: StoreId[] = [];
    for (const [store, entry] of this.#promised) {
      if (entry.told || (!entry.withdrawn && nowWall <= entry.expiration)) continue;
      entry.told = true;
      lapsed.push(store);
    }
    return lapsed;
  }

  /** `from` answered a heartbeat. Returns true when the epoch changed: its acknowledgements are void. */
  receive(from: StoreId, support: Support): boolean {
    if (support.epoch === 0) return false;
    const known = this.#received.get(from);
    if (known !== undefined && support.epoch < known.epoch) return false;
    if (known !== undefined && support.epoch === known.epoch) {
      if (support.expiration <= known.expiration) return false;
      this.#received.set(from, support);
      this.#version++;
      return false;
    }
    this.#received.set(from, support);
    this.#version++;
    return true;
  }

  /** What `store` last promised to this store. */
  supportFrom(store: StoreId): Support {
    return this.#received.get(store) ?? noSupport;
  }

  supportedBy(store: StoreId, nowWall: number): boolean {
    return nowWall < this.supportFrom(store).expiration;
  }

  peers(): StoreId[] {
    return [...this.#received.keys()];
  }
}
