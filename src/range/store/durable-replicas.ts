/**
 * One store asks another: has your replica of this range applied its log up to an index, and is that durable? The answer
 * comes when it is so, or when it does not come to that in time. Merges stand on it (`replica/merge.ts`).
 */
import {
  asRangeId,
  KvFailure,
  storeMethod,
  TransportFailure,
  type RangeDescriptor,
  type ReplicaDescriptor,
} from '../../kv/index.ts';
import { isCount } from '../../util/index.ts';
import { type Store } from './store.ts';

const method = 'replica-durable';

export class DurableReplicas {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
    const { transport } = store.deps;
    transport.onCall(storeMethod(method, store.storeId), (payload) => this.#serve(payload));
  }

  /** Throws KvFailure 'unavailable' unless the replica says so. */
  async await(at: ReplicaDescriptor, of: RangeDescriptor, index: number): Promise<void> {
    const { deps, settings } = this.#store;
    const { rangeId } = of;
    const question = { rangeId, replicaId: at.replicaId, index };
    let isDurable: unknown;
    try {
      isDurable = await deps.transport.call(
        at.nodeId,
        storeMethod(method, at.storeId),
        question,
        // The other store waits for a second or so, and then for its disk.
        { timeoutMs: 5 * settings.transferTimeoutMs, traffic: 'system' },
      );
    } catch (error) {
      if (!(error instanceof TransportFailure)) throw error;
    }
    if (isDurable === true) return;
    const reason = `range ${rangeId}: store ${at.storeId} is behind`;
    throw new KvFailure({ kind: 'unavailable', reason });
  }

  async #serve(payload: unknown): Promise<boolean> {
    const store = this.#store;
    if (typeof payload !== 'object' || payload === null || !store.serving) return false;
    const rangeId: unknown = Reflect.get(payload, 'rangeId');
    const index: unknown = Reflect.get(payload, 'index');
    if (!isCount(rangeId) || !isCount(index)) return false;
    const replica = store.replicas.get(asRangeId(rangeId));
    if (replica?.initialised !== true) return false;
    if (replica.replicaId !== Reflect.get(payload, 'replicaId')) return false;
    const isThere = (): boolean => replica.applier.appliedIndex >= index && replica.suspended === 0;
    if (!(await replica.waitUntil(isThere, store.settings.transferTimeoutMs))) return false;
    await store.checkpointer.runTwice();
    return store.serving && !replica.destroyed && replica.suspended === 0;
  }
}
