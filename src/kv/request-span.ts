/** What a request touches: its span of addresses, and whether it only reads there. */
import { addressOf, isLocalKey, txnRecordKey } from '../encoding/index.ts';
import {
  compareBytes,
  emptyBytes,
  isBetween,
  maxBytes,
  nextKey,
  unreachable,
} from '../util/index.ts';
import { type AdminRequest, type KvRequest } from './api.ts';
import { containsKey, type RangeDescriptor } from './descriptor.ts';
import { type Span } from './txn.ts';

/** Takes no locks. */
export function isPlainRead(request: KvRequest): boolean {
  return (request.kind === 'get' || request.kind === 'scan') && request.lock === 'none';
}

/** True when the range has all keys that the request touches. */
export function containsRequest(range: RangeDescriptor, request: KvRequest): boolean {
  if (isAcrossLocalKeys(request)) return false;
  const { start, end } = requestSpan(request);
  return containsKey(range, start) && (end === undefined || compareBytes(end, range.endKey) <= 0);
}

/** No range holds such a span: between the local keys of a range, and between those and its other keys, lie those of others. */
function isAcrossLocalKeys(request: KvRequest): boolean {
  return 'span' in request && request.span.end !== undefined && isLocalKey(request.span.start);
}

/** From the first to the end of both, `next` starting behind it. Undefined where no range would take that: see `isAcrossLocalKeys`. */
export function joinedSpan(first: Span, next: Span): Span | undefined {
  if (isLocalKey(first.start)) return undefined;
  const ends = [first, next].map(({ start, end }) => end ?? nextKey(start));
  return { start: first.start, end: ends.reduce(maxBytes) };
}

/** True when the span has the key. */
export function spanContains({ start, end }: Span, key: Buffer): boolean {
  return end === undefined ? key.equals(start) : isBetween(key, start, end);
}

/** The keys a request touches, by address: [start, end), or the single key `start`. */
export function requestSpan(request: KvRequest): Span {
  switch (request.kind) {
    case 'get':
    case 'put':
    case 'delete':
    case 'insert':
    case 'conditional-put':
    case 'increment':
    case 'query-wait':
    case 'query-intent':
    case 'query-key':
    case 'admin-unsplit':
    case 'admin-merge':
    case 'admin-transfer-lease':
    case 'admin-change-replicas':
    case 'admin-relocate':
    case 'admin-draw-placement':
    case 'range-info':
    case 'check-consistency':
      return point(addressOf(request.key));
    case 'admin-split':
      return point(request.splitKey);
    case 'admin-freeze':
      return point(request.right.startKey);
    case 'scan':
    case 'clear-range':
    case 'span-stats':
      return { start: request.start, end: request.end };
    case 'refresh':
    case 'resolve-locks':
    case 'release-locks':
    case 'announce-commit':
      return isLocalKey(request.span.start) ? point(addressOf(request.span.start)) : request.span;
    case 'end-txn':
    case 'push-txn':
    case 'query-txn':
    case 'recover-txn':
      return point(addressOf(request.anchor));
    case 'heartbeat-txn':
      return point(addressOf(request.txn.anchor ?? emptyBytes));
    default:
      return unreachable(request);
  }
}

/** Stands alone in its batch and is no business of latches and locks. */
export function isAdminRequest(request: KvRequest): request is AdminRequest {
  switch (request.kind) {
    case 'admin-split':
    case 'admin-unsplit':
    case 'admin-merge':
    case 'admin-freeze':
    case 'admin-transfer-lease':
    case 'admin-change-replicas':
    case 'admin-relocate':
    case 'admin-draw-placement':
    case 'range-info':
    case 'span-stats':
    case 'check-consistency':
      return true;
    default:
      return false;
  }
}

/** The key of a transaction's record, itself a local key of its anchor. */
export function recordKeyOf(anchor: Buffer, txnId: string): Buffer {
  return txnRecordKey(addressOf(anchor), txnId);
}

function point(start: Buffer): Span {
  return { start, end: undefined };
}
