/**
 * Asks the allocator what is due for a range and does it: one step per visit, so that every decision is made from a
 * fresh picture. Changes of several ranges go on at once, one per range; a pass begins them and does not wait. As many of
 * them copy data as snapshots may travel.
 *
 * Every decision is kept with its reason and its end (`skein_internal.allocator_decisions`).
 */
import {
  allocatorSettings,
  decide,
  type AllocatorAction,
  type PlacementAction,
  type RangePicture,
} from '../../allocator/index.ts';
import { type KvError, type RangeId, type RelocationTarget } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { changeDeps } from '../replica/admin.ts';
import { changeReplicas, finishChange } from '../replica/change-replicas.ts';
import { type ReplicaChange } from '../replica/placement.ts';
import { type Replica } from '../replica/replica.ts';
import { transferLease } from '../replica/transfer.ts';
import { type Store } from '../store/store.ts';
import { type ClusterView, type Expectation } from './cluster-view.ts';
import { describeAction, type DecisionLog } from './decision-log.ts';
import { drawPlacement } from './scatter.ts';

type DueAction = Exclude<AllocatorAction, { kind: 'none' | 'unavailable' }>;

/** Those that copy nothing are done within milliseconds, as a rule. */
const changesAtOnce = 8;
const waitingMax = 32;

interface Change {
  readonly copies: boolean;
  readonly ended: Promise<void>;
}

export class ReplicateQueue {
  readonly #store: Store;
  readonly #view: ClusterView;
  readonly #decisions: DecisionLog;
  /** To be visited soon. */
  readonly #again: (replica: Replica) => void;
  readonly #changes = new Map<RangeId, Change>();
  /** Ranges that come next; the others are met again on the way around all of them. */
  readonly #waiting = new Set<Replica>();

  constructor(
    store: Store,
    view: ClusterView,
    decisions: DecisionLog,
    again: (replica: Replica) => void,
  ) {
    this.#store = store;
    this.#view = view;
    this.#decisions = decisions;
    this.#again = again;
  }

  /** Decides, and begins what is due. */
  visit(replica: Replica): void {
    const store = this.#store;
    if (!store.running || store.stopping) return;
    if (replica.destroyed || !replica.holdsLease || replica.admin.isBusy) return;
    if (this.#changes.size >= changesAtOnce) {
      this.#wait(replica);
      return;
    }
    const range = this.#pictureOf(replica);
    const action = decide(
      this.#view.picture,
      range,
      store.deps.zoneConfigFor(replica.descriptor.startKey),
      allocatorSettings(store.deps.clusterSettings, store.settings.loadMovesMinQps),
    );
    switch (action.kind) {
      case 'none':
        if (action.blocked.length > 0) this.#decisions.note(range, action, 'blocked');
        return;
      case 'unavailable':
        this.#decisions.note(range, action, 'blocked');
        return;
      default:
        if (this.#hasRoomFor(action)) this.#begin(replica, range, action);
        else this.#wait(replica);
    }
  }

  #wait(replica: Replica): void {
    if (this.#waiting.size < waitingMax) this.#waiting.add(replica);
  }

  /** There is room again. */
  #visitWaiting(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const replica of waiting) this.visit(replica);
  }

  drawPlacement(replica: Replica): RelocationTarget | undefined {
    const range: RangePicture = { ...this.#pictureOf(replica), balancing: 'counts' };
    return drawPlacement(this.#store, this.#view, range, replica.descriptor.startKey);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#changes.size > 0) {
      await Promise.all([...this.#changes.values()].map(({ ended }) => ended));
    }
  }

  #pictureOf(replica: Replica): RangePicture {
    const { rangeId, descriptor, stats, queriesPerSecond, storeId } = replica;
    return {
      rangeId,
      replicas: descriptor.replicas,
      sizeBytes: stats.sizeBytes,
      leaseholder: storeId,
      qps: queriesPerSecond,
      balancing: this.#view.balancing(),
    };
  }

  #hasRoomFor(action: DueAction): boolean {
    if (!copiesData(action)) return true;
    const copying = [...this.#changes.values()].filter(({ copies }) => copies).length;
    return copying < this.#store.settings.snapshotsAtOnce;
  }

  #begin(replica: Replica, range: RangePicture, action: DueAction): void {
    const { rangeId } = replica;
    const expectation =
      action.kind === 'finish-change' ? undefined : this.#view.expect(range, action);
    this.#decisions.note(range, action, 'under way');
    const ended = this.#carryOut(replica, range, action, expectation).then(
      () => {
        this.#changes.delete(rangeId);
        this.#visitWaiting();
      },
      (error: unknown) => this.#store.fatal(error),
    );
    this.#changes.set(rangeId, { copies: copiesData(action), ended });
  }

  async #carryOut(
    replica: Replica,
    range: RangePicture,
    action: DueAction,
    expectation: Expectation | undefined,
  ): Promise<void> {
    const { log } = this.#store.env;
    const what = { range: replica.rangeId, action: describeAction(action) };
    const error = await this.#perform(replica, action);
    if (error === undefined) {
      expectation?.met();
      this.#decisions.note(range, action, 'done');
      if ('isForLoad' in action) this.#countLoadMove(action);
      log.info(what, 'replicas of a range were changed');
      this.#again(replica);
      return;
    }
    const why = failureText(error);
    expectation?.failed();
    this.#decisions.note(range, action, why);
    log.debug({ ...what, why }, 'a change is tried again');
  }

  #countLoadMove({ kind }: PlacementAction): void {
    const { counters } = this.#store;
    if (kind === 'transfer-lease') counters.leaseMovesByLoad++;
    else counters.replicaMovesByLoad++;
  }

  async #perform(replica: Replica, action: DueAction): Promise<KvError | undefined> {
    const deps = changeDeps(this.#store);
    try {
      return await replica.exclusively(() => {
        if (action.kind === 'finish-change') return finishChange(replica, deps);
        if (action.kind !== 'transfer-lease') {
          return changeReplicas(replica, deps, changeOf(action));
        }
        return transferLease(replica, action.to, this.#store.settings.transferTimeoutMs);
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#store.env.log.warn({ range: replica.rangeId, reason }, 'a background task failed');
      return { kind: 'unavailable', reason };
    }
  }
}

function changeOf(action: Exclude<PlacementAction, { kind: 'transfer-lease' }>): ReplicaChange {
  switch (action.kind) {
    case 'add':
      return {
        add: [{ ...action.target, role: action.role }],
        remove: [],
        purpose: 'recovery',
      };
    case 'remove':
      return { add: [], remove: [action.target], purpose: 'rebalance' };
    case 'replace':
      return {
        add: [{ ...action.add, role: action.role }],
        remove: [action.remove],
        purpose: action.purpose,
      };
    case 'promote':
      return { add: [{ ...action.target, role: 'voter' }], remove: [], purpose: 'rebalance' };
    case 'demote':
      return { add: [{ ...action.target, role: 'non-voter' }], remove: [], purpose: 'rebalance' };
    case 'swap':
      return {
        add: [
          { ...action.promote, role: 'voter' },
          { ...action.demote, role: 'non-voter' },
        ],
        remove: [],
        purpose: 'rebalance',
      };
    default:
      return unreachable(action);
  }
}

function failureText(error: KvError): string {
  // A leaseholder that is to go hands the lease over first, and its successor goes on.
  if (error.kind === 'not-leaseholder') return 'the lease went to another store';
  return 'reason' in error ? error.reason : error.kind;
}

function copiesData({ kind }: DueAction): boolean {
  return kind === 'add' || kind === 'replace';
}
