/**
 * The background queues of a store: a pass looks at ranges and does what is due, one range at a time;
 * followers only ask whether they still belong to their range. It looks at those that were written to or have
 * changed, and goes on around the others: around all of them in a small store, around a bounded number in one
 * with thousands of ranges, so that ranges that nobody uses cost next to nothing.
 */
import { type RangeId, type RelocationTarget } from '../../kv/index.ts';
import { type LogFields, type TimerHandle } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';
import { ClusterView } from './cluster-view.ts';
import { ConsistencyQueue } from './consistency-queue.ts';
import { publish } from './publishers.ts';
import { MergeQueue } from './merge-queue.ts';
import { checkMetaRecords } from './meta-check-queue.ts';
import { collectGarbage } from './mvcc-gc-queue.ts';
import { reconcileProtection } from './protection-queue.ts';
import { checkMembership, doubtOf } from './replica-gc-queue.ts';
import { ReplicateQueue } from './replicate-queue.ts';
import { SplitQueue } from './split-queue.ts';
import { TxnRemainsQueue } from './txn-remains-queue.ts';

/** A look at a range with nothing to do takes a microsecond or two. */
const looksPerPass = 1_000;
/** So many replicas of quiet ranges ask in one pass whether they still belong to them, however many there are. */
const quietAsksPerPass = 2;

export class Queues {
  readonly #store: Store;
  readonly #view: ClusterView;
  readonly #splits: SplitQueue;
  readonly #replicas: ReplicateQueue;
  readonly #merges: MergeQueue;
  readonly #consistency: ConsistencyQueue;
  readonly #txnRemains: TxnRemainsQueue;
  /** Where the way around all replicas has got to; it meets those that are added meanwhile. */
  #walk: Iterator<Replica>;
  /** Ranges to look at first: something about them changed. */
  readonly #urgent = new Set<RangeId>();
  readonly #membership = new Set<RangeId>();
  #quietAsks = 0;
  #timer: TimerHandle | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(store: Store) {
    this.#store = store;
    this.#view = new ClusterView(store);
    this.#splits = new SplitQueue(store, () => this.#view.lookAtLoadSoon());
    this.#replicas = new ReplicateQueue(store, this.#view, store.decisions.allocator, (replica) =>
      this.add(replica),
    );
    this.#merges = new MergeQueue(store);
    this.#consistency = new ConsistencyQueue(store);
    this.#txnRemains = new TxnRemainsQueue(store);
    this.#walk = store.replicas.values();
  }

  start(): void {
    if (this.#store.settings.queueIntervalMs > 0) this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  add(replica: Replica): void {
    this.#urgent.add(replica.rangeId);
  }

  /** What holds for all ranges has changed. */
  addAll(): void {
    for (const rangeId of this.#store.replicas.keys()) this.#urgent.add(rangeId);
    this.#startSoon();
  }

  /** As `add`, and at once. */
  hurry(replica: Replica): void {
    this.#urgent.add(replica.rangeId);
    this.#startSoon();
  }

  /** Where the range could be as well as where it is; see `Db.scatter`. */
  drawPlacement(replica: Replica): RelocationTarget | undefined {
    return this.#replicas.drawPlacement(replica);
  }

  /** No split makes this range smaller. */
  cannotSplit(replica: Replica): boolean {
    return this.#splits.isFutile(replica);
  }

  /** The replica may have been removed from its range. */
  checkMembership(replica: Replica): void {
    this.#membership.add(replica.rangeId);
    this.#urgent.add(replica.rangeId);
    this.#startSoon();
  }

  /** One pass; passes do not overlap. */
  pass(): Promise<void> {
    this.#running ??= this.#pass().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** A pass and all that it began. */
  async passToEnd(): Promise<void> {
    await this.pass();
    await this.#replicas.idle();
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer = this.#store.env.timers.after(this.#store.settings.queueIntervalMs, () => {
      // A pass may take long: nobody waits that long to hear that a node has to end.
      if (this.#store.running) publish(this.#store);
      this.#start();
      this.#arm();
    });
  }

  #startSoon(): void {
    if (this.#store.settings.queueIntervalMs > 0) {
      this.#store.env.timers.immediate(() => this.#start());
    }
  }

  #start(): void {
    if (this.#stopped) return;
    this.pass().catch((error: unknown) => this.#store.fatal(error));
  }

  async #pass(): Promise<void> {
    const store = this.#store;
    publish(store);
    this.#view.beginPass();
    this.#quietAsks = 0;
    for (const replica of this.#next()) {
      if (this.#stopped || !store.running) return;
      if (replica.destroyed || !replica.initialised) continue;
      await this.#attempt({ range: replica.rangeId }, () => this.#look(replica));
    }
    if (!this.#stopped && store.running && store.deps.zonesKnown()) {
      await this.#attempt({}, () => this.#merges.pass());
    }
  }

  async #attempt(about: LogFields, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      const reason = String(error);
      this.#store.env.log.warn({ ...about, reason }, 'a background task failed');
    }
  }

  /** Those that something happened to, then as many of the others as are due. */
  #next(): Set<Replica> {
    const { replicas } = this.#store;
    const next = new Set<Replica>();
    for (const rangeId of this.#urgent) {
      const replica = replicas.get(rangeId);
      if (replica !== undefined) next.add(replica);
    }
    this.#urgent.clear();
    for (let left = Math.min(looksPerPass, replicas.size); left > 0; left--) {
      let at = this.#walk.next();
      if (at.done === true) {
        this.#walk = replicas.values();
        at = this.#walk.next();
      }
      if (at.done !== true) next.add(at.value);
    }
    return next;
  }

  async #look(replica: Replica): Promise<void> {
    const store = this.#store;
    replica.retireExecutor();
    if (replica.holdsLease) {
      this.#membership.delete(replica.rangeId);
      this.#txnRemains.visit(replica);
      if (!store.deps.zonesKnown()) return;
      if (await this.#splits.visit(replica)) this.#urgent.add(replica.rangeId);
      this.#replicas.visit(replica);
      this.#consistency.visit(replica);
      await checkMetaRecords(store, replica);
      await collectGarbage(store, replica);
      await reconcileProtection(store, replica);
      return;
    }
    if (this.#membership.delete(replica.rangeId) || this.#mayAsk(replica)) {
      await checkMembership(store, replica);
    }
  }

  #mayAsk(replica: Replica): boolean {
    const doubt = doubtOf(this.#store, replica);
    return doubt === 'leaderless' || (doubt === 'quiet' && this.#quietAsks++ < quietAsksPerPass);
  }
}
