/**
 * Pusher: asks the anchor of a transaction that is in the way what became of it, waits there, and
 * settles what it left behind on this range.
 */
import {
  asRangeId,
  type BatchHeader,
  type BatchRequest,
  type BatchResponse,
  type FinishedTxn,
  type KvError,
  type KvRequest,
  type KvResult,
  type Span,
  type Timestamp,
  type TxnMeta,
  type TxnRecord,
} from '../../kv/index.ts';
import { type ReplicaPort } from '../ports.ts';
import { type FinishedTxns } from './finished-txns.ts';
import { finishedFrom } from './txn-wait-queue.ts';

export type PushOutcome =
  /** Committed, aborted, or pending with a moved timestamp. */
  | { readonly kind: 'known'; readonly pushee: FinishedTxn }
  | { readonly kind: 'failed'; readonly error: KvError };

export class Pusher {
  readonly #port: ReplicaPort;
  readonly #finished: FinishedTxns;
  readonly #runHere: (batch: BatchRequest) => Promise<BatchResponse>;

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
      readonly pusher: TxnMeta | undefined;
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
    const recovered =
      result.pushee.status === 'staging' && result.record !== undefined
        ? await this.#recover(anchor, result.record)
        : result.pushee;
    if (recovered === undefined) return unexpected;
    this.#finished.add(recovered);
    return { kind: 'known', pushee: recovered };
  }

  /** Resolves the intents of a finished or pushed transaction in `spans` of this range. */
  async resolveHere(spans: readonly Span[], txn: FinishedTxn): Promise<void> {
    await this.#runHere({
      header: this.#header(),
      requests: spans.map((span) => ({ kind: 'resolve-locks', span, txn })),
    });
  }

  async waitersOf(txn: TxnMeta): Promise<readonly TxnMeta[]> {
    if (txn.anchor === undefined) return [];
    const answer = await this.#ask({ kind: 'query-txn', anchor: txn.anchor, txnId: txn.id });
    if (answer.kind === 'failed' || answer.result.kind !== 'query-txn') return [];
    return answer.result.waiting ?? [];
  }

  /**
   * A parallel commit whose coordinator is gone is committed when all its writes have landed. Asking
   * for a write keeps it from landing later (trap X4).
   */
  async #recover(anchor: Buffer, record: TxnRecord): Promise<FinishedTxn | undefined> {
    let implicitlyCommitted = true;
    for (const { key, sequence } of record.inFlightWrites) {
      const answer = await this.#ask({ kind: 'query-intent', key, txn: record.meta, sequence });
      if (answer.kind === 'failed' || answer.result.kind !== 'query-intent') return undefined;
      if (!answer.result.found) implicitlyCommitted = false;
    }
    const txnId = record.meta.id;
    const answer = await this.#ask({ kind: 'recover-txn', anchor, txnId, implicitlyCommitted });
    if (answer.kind === 'failed' || answer.result.kind !== 'recover-txn') return undefined;
    const after = answer.result.record;
    return finishedFrom(after.meta, after.status);
  }

  async #ask(
    request: KvRequest,
  ): Promise<
    | { readonly kind: 'ok'; readonly result: KvResult }
    | { readonly kind: 'failed'; readonly error: KvError }
  > {
    const response = await this.#port.sender.send({ header: this.#header(), requests: [request] });
    this.#port.clock.observe(response.now);
    if (response.kind === 'error') return { kind: 'failed', error: response.error };
    const result = response.results[0];
    return result === undefined ? unexpected : { kind: 'ok', result };
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
