/**
 * The right side of a merge, as long as nobody knows whether the merge is made (trap R9).
 *
 * The merge transaction lays down all its intents, the deletion of this range's own descriptor among them, before it
 * asks the leaseholder to freeze. From then on nothing is served here: not by this leaseholder, and not by one that
 * follows, because a new leaseholder has applied everything that was committed before it, and looks whether its
 * descriptor is about to be deleted (or is) before it uses its lease for the first time.
 *
 * What became of the merge stands in the meta record of the range's end, which the transaction replaces. Asking the
 * transaction's own record would not do: it is gone once its intents are resolved, and then a commit looks like an abort.
 *
 *   an intent of the merge    nobody knows: a locking read waits for it, and ends it when it was abandoned
 *   this range, still         the merge failed, or has not come to its freeze: the lease begins anew, in this very term, above
 *                             everything served before, with the locks and tombstones that it had
 *   another one               this range is no more; its replica goes when the left one on this store applies the merge, or
 *                             when it turns out that no left one ever will (`queues/replica-gc-queue.ts`)
 *
 * INVARIANT: it waits for nobody but the merge. Another transaction whose intent stands there may be anchored in this very range, a
 * change of its replicas, and nobody learns what became of that before this range serves again.
 *
 * A freezing leaseholder loses its lease as in a transfer: requests in its queues are answered with 'not-leaseholder', and
 * what is left of its memory is what the merge carries to the left side.
 */
import { metaRecordKeys, rangeDescriptorKey } from '../../encoding/index.ts';
import {
  decodeDescriptor,
  encodeDescriptor,
  KvFailure,
  laterTimestamp,
  type FrozenRange,
  type Handover,
  type KvError,
  type RangeDescriptor,
  type TxnId,
} from '../../kv/index.ts';
import { decodeHead, headKey, type HeadRecord } from '../../storage/index.ts';
import { must, sleep } from '../../util/index.ts';
import { type Replica } from './replica.ts';
import { quiesce } from './transfer.ts';

/** Pause before the outcome of a merge is asked for again. */
const retryMs = 500;

export class MergeWatch {
  readonly #replica: Replica;
  /** The term in which the replica last looked whether it may serve, and what it found. */
  #lookedInTerm = 0;
  #isBlocked = false;
  /** What the transaction that froze this range in this term was told. */
  #frozen: { readonly txnId: TxnId; readonly range: FrozenRange } | undefined;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The leader of this range serves nothing: nobody knows yet what becomes of a merge. */
  get isFrozen(): boolean {
    const { raft, isLeader } = this.#replica;
    return isLeader && this.#isBlocked && this.#lookedInTerm === raft.term;
  }

  /** To be asked when everything else of `term` speaks for the lease. */
  isBlocked(term: number): boolean {
    if (this.#lookedInTerm !== term) {
      this.#lookedInTerm = term;
      this.#frozen = undefined;
      this.#isBlocked = isLeaving(this.#ownRecord());
      if (this.#isBlocked) this.#watch(term);
    }
    return this.#isBlocked;
  }

  /** The merge of this term has failed, and nobody has served since it froze the range: the lease goes on with what it had. */
  takeBack(): Handover | undefined {
    const handover = this.#frozen?.range.handover;
    this.#frozen = undefined;
    return handover;
  }

  /** Stops serving for the merge of `txnId`. */
  async freeze(right: RangeDescriptor, txnId: TxnId): Promise<FrozenRange | KvError> {
    const replica = this.#replica;
    if (this.isFrozen && this.#frozen?.txnId === txnId) {
      return this.#frozen.range;
    }
    const held = replica.checkLease(replica.clock.now());
    if (held !== undefined) return held;
    const sequence = replica.leaseSequence;
    const resume = await quiesce(replica, replica.host.settings.transferTimeoutMs);
    if (resume === undefined) return unavailable(replica, 'requests do not end');
    try {
      if (replica.leaseSequence !== sequence || !replica.holdsLease)
        return replica.notLeaseholder();
      const { intent } = this.#ownRecord() ?? {};
      const isWanted = intent?.txnId === txnId && intent.value === undefined;
      const isSame = encodeDescriptor(replica.descriptor).equals(encodeDescriptor(right));
      if (!isWanted || !isSame) return unavailable(replica, 'changed meanwhile');
      if (replica.proposals.size > 0) return unavailable(replica, 'something is under way');
      const executor = replica.executor();
      const range: FrozenRange = {
        appliedIndex: replica.raft.appliedIndex,
        at: laterTimestamp(
          laterTimestamp(replica.clock.now(), executor.lowWater.reads),
          // At rest it was closed with others.
          { wall: Math.max(replica.closed.ceiling, replica.closedTimestamp), logical: 0 },
        ),
        handover: executor.handOver(),
      };
      // If the merge fails the lease begins anew in this term, at the clock.
      replica.closed.raiseFloor(range.at.wall + 1);
      this.#frozen = { txnId, range };
      this.#isBlocked = true;
      replica.lease.update();
      this.#watch(replica.raft.term);
      return range;
    } finally {
      resume();
    }
  }

  #ownRecord(): HeadRecord | undefined {
    const { engine, descriptor } = this.#replica;
    const stored = engine.get(headKey(rangeDescriptorKey(descriptor.startKey)));
    return stored && decodeHead(stored);
  }

  #watch(term: number): void {
    this.#untilDecided(term).catch((error: unknown) => this.#replica.host.fatal(error));
  }

  async #untilDecided(term: number): Promise<void> {
    const replica = this.#replica;
    const { host, rangeId } = replica;
    const isOver = (): boolean =>
      replica.destroyed || !replica.isLeader || replica.raft.term !== term;
    while (!isOver()) {
      const holder = await this.#holderOfEnd();
      if (isOver()) return;
      if (holder === rangeId) {
        this.#isBlocked = false;
        replica.activate();
        return;
      }
      if (holder !== undefined) host.checkMembership(replica);
      await sleep(host.env, retryMs);
    }
  }

  /** The range that ends where this one does, or used to (0: none); undefined when that cannot be learnt now. */
  async #holderOfEnd(): Promise<number | undefined> {
    const { host, descriptor } = this.#replica;
    const merge = this.#ownRecord()?.intent?.txnId;
    if (merge === undefined) return 0;
    const key = must(metaRecordKeys(descriptor).at(-1));
    try {
      const { committed, writer } = await host.db.stateOfKey(key);
      const stored = writer === merge ? await this.#readBehindMerge(key) : committed;
      return stored === undefined ? 0 : decodeDescriptor(stored).rangeId;
    } catch (error) {
      if (error instanceof KvFailure) return undefined;
      throw error;
    }
  }

  /** Not for long: others may be ahead in the queue for the key, see the invariant. */
  #readBehindMerge(key: Buffer): Promise<Buffer | undefined> {
    return this.#replica.host.db.run({ name: 'merge watch' }, (txn) =>
      txn.get(key, { lock: 'share', lockTimeoutMs: retryMs }),
    );
  }
}

/** The newest state of a range's own descriptor, committed or not, is that there is none. */
function isLeaving(own: HeadRecord | undefined): boolean {
  const newest = own?.intent === undefined ? own?.value : own.intent.value;
  return newest === undefined;
}

function unavailable({ rangeId }: Replica, why: string): KvError {
  return { kind: 'unavailable', reason: `range ${rangeId}: ${why}` };
}
