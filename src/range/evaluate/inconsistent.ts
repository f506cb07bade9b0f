/**
 * Reads for range lookups: no latches, no locks, no lease, on any replica. The answer may be old or
 * ahead of its commit (intents count as values), and whoever uses it is corrected by the range itself.
 */
import {
  requestSpan,
  containsKey,
  type BatchRequest,
  type BatchResponse,
  type KvResult,
} from '../../kv/index.ts';
import { mvccGet, mvccScan } from '../../storage/index.ts';
import { type ReplicaPort } from '../ports.ts';

export async function evaluateInconsistent(
  port: ReplicaPort,
  batch: BatchRequest,
): Promise<BatchResponse> {
  const results: KvResult[] = [];
  for (const [index, request] of batch.requests.entries()) {
    const now = port.clock.now();
    if (!containsKey(port.descriptor, requestSpan(request).start)) {
      const error = { kind: 'range-key-mismatch', ranges: [port.descriptor] } as const;
      return { kind: 'error', now, error, index };
    }
    const options = { timestamp: now, txn: undefined, failOnNewer: false, ignoreIntents: true };
    if (request.kind === 'get') {
      const got = await mvccGet(port.engine, request.key, options);
      const value = got.kind === 'value' ? (got.skippedIntent?.value ?? got.value) : undefined;
      results.push({ kind: 'get', value });
    } else if (request.kind === 'scan') {
      results.push(await scan(port, request, options));
    } else {
      const reason = 'only reads can be inconsistent';
      return { kind: 'error', now, error: { kind: 'invalid-request', reason }, index };
    }
  }
  return { kind: 'ok', now: port.clock.now(), txn: undefined, results };
}

async function scan(
  port: ReplicaPort,
  request: Extract<BatchRequest['requests'][number], { kind: 'scan' }>,
  options: Parameters<typeof mvccGet>[2],
): Promise<KvResult> {
  const rows: { key: Buffer; value: Buffer }[] = [];
  const { start, end, reverse, maxRows } = request;
  const ended = await mvccScan(port.engine, { start, end, reverse, ...options }, (key, value) => {
    rows.push({ key, value });
    return maxRows > 0 && rows.length >= maxRows;
  });
  const skipped = ended.kind === 'done' ? (ended.skippedIntents ?? []) : [];
  // Both states of a record that is being changed are of use: the newer one first.
  for (const { key, intent } of skipped) {
    if (intent.value !== undefined) rows.unshift({ key, value: intent.value });
  }
  rows.sort((a, b) => (reverse ? b.key.compare(a.key) : a.key.compare(b.key)));
  return {
    kind: 'scan',
    keys: rows.map((row) => row.key),
    values: rows.map((row) => row.value),
    resume: ended.kind === 'done' ? ended.resume : undefined,
  };
}
