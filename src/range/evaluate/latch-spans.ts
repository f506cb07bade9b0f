/** Which latches a batch needs. */
import {
  isAdminRequest,
  maxTimestamp,
  recordKeyOf,
  zeroTimestamp,
  type KvRequest,
  type Timestamp,
  type TxnMeta,
} from '../../kv/index.ts';
import { emptyBytes, unreachable } from '../../util/index.ts';
import { settlesAtEnd } from './end-txn.ts';
import { afterEverything, type LatchSpan } from '../concurrency/latches.ts';

export function latchSpans(
  requests: readonly KvRequest[],
  txn: TxnMeta | undefined,
  now: Timestamp,
): LatchSpan[] {
  const spans: LatchSpan[] = [];
  const readAt = txn?.readTimestamp ?? now;
  const writeAt = txn?.writeTimestamp ?? now;
  for (const request of requests) addSpans(spans, request, { txn, readAt, writeAt });
  return spans;
}

function addSpans(
  spans: LatchSpan[],
  request: KvRequest,
  at: {
    readonly txn: TxnMeta | undefined;
    readonly readAt: Timestamp;
    readonly writeAt: Timestamp;
  },
): void {
  const read = (start: Buffer, end: Buffer | undefined, timestamp: Timestamp): void => {
    spans.push({ start, end, write: false, timestamp });
  };
  const write = (
    start: Buffer,
    end: Buffer | undefined,
    timestamp: Timestamp | undefined,
  ): void => {
    spans.push({ start, end, write: true, timestamp });
  };
  const record = (anchor: Buffer, txnId: string): void => {
    write(recordKeyOf(anchor, txnId), undefined, zeroTimestamp);
  };
  switch (request.kind) {
    case 'get':
      read(request.key, undefined, request.lock === 'none' ? at.readAt : maxTimestamp);
      return;
    case 'scan':
      read(request.start, request.end, request.lock === 'none' ? at.readAt : maxTimestamp);
      return;
    case 'put':
    case 'insert':
    case 'delete':
    case 'conditional-put':
    case 'increment':
      write(request.key, undefined, at.writeAt);
      return;
    case 'refresh':
      // The target may still move up: no write in flight may be overlooked, wherever it stands.
      read(request.span.start, request.span.end, maxTimestamp);
      return;
    case 'end-txn':
      if (request.trigger !== undefined && request.trigger.kind !== 'change-replicas') {
        // A split or merge hands over everything: nobody else is inside meanwhile.
        write(emptyBytes, afterEverything, zeroTimestamp);
        return;
      }
      if (at.txn !== undefined) record(request.anchor, at.txn.id);
      if (request.inFlightWrites.length > 0) return;
      if (!request.onePhase && settlesAtEnd(request.lockSpans)) {
        for (const span of request.lockSpans) write(span.start, span.end, zeroTimestamp);
      }
      return;
    case 'heartbeat-txn':
      if (request.txn.anchor !== undefined) record(request.txn.anchor, request.txn.id);
      return;
    case 'push-txn':
      record(request.anchor, request.pushee.id);
      return;
    case 'query-txn':
      record(request.anchor, request.txnId);
      return;
    case 'recover-txn':
      record(request.anchor, request.staged.id);
      return;
    case 'query-wait':
      // Of what stands in memory.
      return;
    case 'query-intent':
      write(request.key, undefined, zeroTimestamp);
      return;
    case 'query-key':
      read(request.key, undefined, maxTimestamp);
      return;
    case 'resolve-locks': {
      // Reads take the intents of a committed transaction for what this makes of them.
      const { status } = request.txn;
      write(
        request.span.start,
        request.span.end,
        status === 'committed' ? undefined : zeroTimestamp,
      );
      return;
    }
    case 'release-locks':
    case 'announce-commit':
      return;
    case 'clear-range':
      write(request.start, request.end, zeroTimestamp);
      return;
    default:
      if (!isAdminRequest(request)) unreachable(request);
  }
}
