/** The receiving end of the router: batches from other nodes go to this node's stores. */
import { isTimestamp, type BatchRequest, type Sender, type Transport } from '../kv/index.ts';

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
    // The clock of this node takes it over.
    isTimestamp(Reflect.get(Object(payload.header), 'timestamp'))
  ) {
    return payload as BatchRequest;
  }
  throw new TypeError('a batch has the wrong shape');
}
