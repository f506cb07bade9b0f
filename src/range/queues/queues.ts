/**
 * The background queues of a store: one pass looks at every range this store leads and does what is due,
 * one range at a time; followers only ask whether they still belong to their range. A pass costs a few
 * comparisons per range when nothing is due.
 */
import { type RangeId } from '../../kv/index.ts';
import { type TimerHandle } from '../../util/index.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';
import { ClusterView } from './cluster-view.ts';
import { checkMetaRecords } from './meta-check-queue.ts';
import { collectGarbage } from './mvcc-gc-queue.ts';
import { checkMembership, mayBeRemoved } from './replica-gc-queue.ts';
import { replicateOnce } from './replicate-queue.ts';
import { splitIfLarge } from './split-queue.ts';

export class Queues {
  readonly #store: Store;
  readonly #view: ClusterView;
  /** Ranges to look at first: something about them changed. */
  readonly #urgent = new Set<RangeId>();
  readonly #membership = new Set<RangeId>();
  #timer: TimerHandle | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(store: Store) {
    this.#store = store;
    this.#view = new ClusterView(store);
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

  /** The replica may have been removed from its range. */
  checkMembership(replica: Replica): void {
    this.#membership.add(replica.rangeId);
    if (this.#store.settings.queueIntervalMs > 0) {
      this.#store.env.timers.immediate(() => this.#start());
    }
  }

  /** One pass over everything; passes do not overlap. */
  pass(): Promise<void> {
    this.#running ??= this.#pass().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer = this.#store.env.timers.after(this.#store.settings.queueIntervalMs, () => {
      this.#start();
      this.#arm();
    });
  }

  #start(): void {
    if (this.#stopped) return;
    this.pass().catch((error: unknown) => this.#store.fatal(error));
  }

  async #pass(): Promise<void> {
    const store = this.#store;
    this.#view.refresh();
    for (const replica of this.#inOrder()) {
      if (this.#stopped || !store.running) return;
      if (replica.destroyed || !replica.initialised) continue;
      try {
        await this.#look(replica);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        store.env.log.warn({ range: replica.rangeId, reason }, 'a background task failed');
      }
    }
  }

  #inOrder(): Replica[] {
    const urgent: Replica[] = [];
    const others: Replica[] = [];
    for (const replica of this.#store.replicas.values()) {
      (this.#urgent.has(replica.rangeId) ? urgent : others).push(replica);
    }
    this.#urgent.clear();
    return [...urgent, ...others];
  }

  async #look(replica: Replica): Promise<void> {
    const store = this.#store;
    if (replica.holdsLease) {
      this.#membership.delete(replica.rangeId);
      if (await splitIfLarge(store, replica)) this.#urgent.add(replica.rangeId);
      if (await replicateOnce(store, this.#view, replica)) this.#urgent.add(replica.rangeId);
      await checkMetaRecords(store, replica);
      await collectGarbage(store, replica);
      return;
    }
    if (this.#membership.delete(replica.rangeId) || mayBeRemoved(store, replica)) {
      await checkMembership(store, replica);
    }
  }
}
