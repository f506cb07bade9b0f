/** The receiving end of the router: batches from other nodes go to this node's stores. */
import { type BatchRequest, type Sender, type Transport } from '../kv/index.ts';

export function serveBatches(transport: Transport, store: Sender): void {
  transport.onCall('batch', async (payload) => store.send(checkedBatch(payload)));
}

function checkedBatch(payload: unknown): BatchRequest {
  if (
    typeof payload === 'object' &&
    payload !== null &&
    'header' in payload &&
    'requests' in payload &&
    Array.isArray(payload.requests) &&
    isTimestamp(Reflect.get(Object(payload.header), 'timestamp'))
  ) {
    return payload as BatchRequest;
  }
  throw new TypeError('a batch has the wrong shape');
}

/** The clock of this node takes it over: it must be one. */
function isTimestamp(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const wall: unknown = Reflect.get(value, 'wall');
  const logical: unknown = Reflect.get(value, 'logical');
  return Number.isSafeInteger(wall) && Number(wall) >= 0 && isUint32(logical);
}

function isUint32(value: unknown): boolean {
  return typeof value === 'number' && value >>> 0 === value;
}
