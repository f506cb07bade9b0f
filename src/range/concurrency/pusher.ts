/**
 * Pusher: asks the anchor of a transaction that is in the way what became of it, waits there, and
 * settles what it left behind on this range.
 */
import {
  allLanded,
  asRangeId,
  queriesOf,
  type BatchHeader,
  type BatchRequest,
  type BatchResponse,
  type FinishedTxn,
  type KvError,
  type KvRequest,
  type KvResult,
  type Span,
  type Timestamp,
  type TxnId,
  type TxnMeta,
  type TxnSibling,
  type TxnRecord,
  type TxnWaiter,
} from '../../kv/index.ts';
import { type ReplicaPort } from '../ports.ts';
import { type FinishedTxns } from './finished-txns.ts';
import { finishedFrom } from './txn-wait-queue.ts';

const spansPerBatch = 256;

export type PushOutcome =
  /** Committed, aborted, or pending with a moved timestamp. */
  | { readonly kind: 'known'; readonly pushee: FinishedTxn }
  | { readonly kind: 'failed'; readonly error: KvError };

export class Pusher {
  readonly #port: ReplicaPort;
  readonly #finished: FinishedTxns;
  readonly #runHere: (batch: BatchRequest) => Promise<BatchResponse>;
  readonly #recoveries = new Map<TxnId, Promise<FinishedTxn | undefined>>();

  constructor(
    port: ReplicaPort,
    finished: FinishedTxns,
    runHere: (batch: BatchRequest) => Promise<BatchResponse>,
  ) {
    this.#port = port;
    this.#finished = finished;
    this.#runHere = runHere;
  }

  async push(
    pushee: TxnMeta,
    how: {
      readonly pusher: TxnWaiter | undefined;
      readonly kind: 'abort' | 'timestamp' | 'touch';
      readonly to: Timestamp;
      readonly wait: boolean;
    },
  ): Promise<PushOutcome> {
    const known = this.#finished.get(pushee.id);
    if (known !== undefined) return { kind: 'known', pushee: known };
    const { anchor } = pushee;
    if (anchor === undefined) {
      return { kind: 'known', pushee: finishedFrom(pushee, 'pending') };
    }
    const answer = await this.#ask({
      kind: 'push-txn',
      anchor,
      pushee,
      pusher: how.pusher,
      pushKind: how.kind,
      pushTo: how.to,
      wait: how.wait,
    });
    if (answer.kind === 'failed') return answer;
    const { result } = answer;
    if (result.kind !== 'push-txn') return unexpected;
    const after =
      result.staged === undefined ? result.pushee : await this.#recoverOnce(anchor, result.staged);
    if (after === undefined) return unexpected;
    this.#finished.add(after);
    return { kind: 'known', pushee: after };
  }

  /** Resolves the intents of a finished or pushed transaction in `spans` of this range. */
  async resolveHere(spans: readonly Span[], txn: FinishedTxn): Promise<void> {
    await this.#runHere({
      header: this.#header(),
      requests: spans.map((span) => ({ kind: 'resolve-locks', span, txn })),
    });
  }

  async waitersOf(txn: TxnSibling): Promise<readonly TxnWaiter[]> {
    if (txn.anchor === undefined) return [];
    const answer = await this.#ask({ kind: 'query-txn', anchor: txn.anchor, txnId: txn.id });
    if (answer.kind === 'failed' || answer.result.kind !== 'query-txn') return [];
    return answer.result.waiters;
  }

  /** For `blocker`, or another transaction of its client. False also when that cannot be learnt. */
  async isWaiting({ txn, key }: TxnWaiter, blocker: TxnMeta): Promise<boolean> {
    const blockers = [blocker.id, ...(blocker.siblings ?? []).map(({ id }) => id)];
    const answer = await this.#ask({ kind: 'query-wait', key, txnId: txn.id, blockers });
    return answer.kind === 'ok' && answer.result.kind === 'query-wait' && answer.result.isWaiting;
  }

  /** Whoever waits here for the same transaction learns of the one recovery under way. */
  #recoverOnce(anchor: Buffer, record: TxnRecord): Promise<FinishedTxn | undefined> {
    const { id } = record.meta;
    const underWay = this.#recoveries.get(id);
    if (underWay !== undefined) return underWay;
    const recovery = this.#recover(anchor, record).finally(() => this.#recoveries.delete(id));
    this.#recoveries.set(id, recovery);
    return recovery;
  }

  /**
   * A parallel commit whose coordinator is gone is committed when all its writes have landed. Asking
   * for a write keeps it from landing later (trap X4). The ranges that are asked hear of a clock at or above the commit
   * timestamp, as they would from the coordinator (trap X3).
   */
  async #recover(anchor: Buffer, record: TxnRecord): Promise<FinishedTxn | undefined> {
    const staged = record.meta;
    const found = await this.#send(queriesOf(staged, record.inFlightWrites));
    if (found.kind === 'error') return undefined;
    const implicitlyCommitted = allLanded(found.results);
    const answer = await this.#ask({ kind: 'recover-txn', anchor, staged, implicitlyCommitted });
    if (answer.kind === 'failed' || answer.result.kind !== 'recover-txn') return undefined;
    const { meta, status, lockSpans } = answer.result.record;
    const finished = finishedFrom(meta, status);
    if (status === 'committed' || status === 'aborted') {
      this.#resolveBehind(lockSpans, finished);
    }
    return finished;
  }

  /**
   * Nobody else is left to do it. The record stays: its coordinator, which may be only slow, must not find nothing
   * where it has committed (trap X5).
   */
  #resolveBehind(spans: readonly Span[], txn: FinishedTxn): void {
    this.resolveEverywhere(spans, txn).catch((error: unknown) =>
      this.#unresolved(txn, String(error)),
    );
  }

  /** On whatever ranges; true when all of it is replicated (trap T5). */
  async resolveEverywhere(spans: readonly Span[], txn: FinishedTxn): Promise<boolean> {
    for (let i = 0; i < spans.length; i += spansPerBatch) {
      const requests = spans
        .slice(i, i + spansPerBatch)
        .map((span): KvRequest => ({ kind: 'resolve-locks', span, txn }));
      const response = await this.#send(requests);
      if (response.kind === 'error') {
        this.#unresolved(txn, response.error.kind);
        return false;
      }
    }
    return true;
  }

  #unresolved({ id }: FinishedTxn, error: string): void {
    this.#port.env.log.warn({ txn: id, error }, 'intents of a transaction that has ended remain');
  }

  async #ask(
    request: KvRequest,
  ): Promise<
    | { readonly kind: 'ok'; readonly result: KvResult }
    | { readonly kind: 'failed'; readonly error: KvError }
  > {
    const response = await this.#send([request]);
    if (response.kind === 'error') return { kind: 'failed', error: response.error };
    const result = response.results[0];
    return result === undefined ? unexpected : { kind: 'ok', result };
  }

  async #send(requests: readonly KvRequest[]): Promise<BatchResponse> {
    const response = await this.#port.sender.send({ header: this.#header(), requests });
    this.#port.clock.observe(response.now);
    return response;
  }

  #header(): BatchHeader {
    return {
      rangeId: asRangeId(this.#port.rangeId),
      generation: this.#port.descriptor.generation,
      timestamp: this.#port.clock.now(),
      txn: undefined,
      gatewayNodeId: this.#port.nodeId,
      waitPolicy: 'block',
      lockTimeoutMs: 0,
      consistency: 'txn',
      canForwardReadTimestamp: false,
    };
  }
}

const unexpected = {
  kind: 'failed',
  error: { kind: 'unavailable', reason: 'the state of a transaction could not be learnt' },
} as const;
