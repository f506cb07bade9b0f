/** A transport that spoils one call of a snapshot on its way, once. */
import { crc32 } from 'node:zlib';
import { type CallOptions, type NodeId, type Transport } from '../../../src/kv/index.ts';
import {
  snapshotMethod,
  type SnapshotRequest,
} from '../../../src/range/store/snapshot-protocol.ts';

/** `at` counts the calls of a snapshot: 0 is `begin`, then come the chunks, then `end`. */
export interface Tampering {
  readonly how: 'corrupt' | 'truncate' | 'duplicate' | 'skip' | 'late' | 'forge';
  readonly at: number;
}

export class TamperedTransport implements Transport {
  readonly #inner: Transport;
  /** What is to happen; undefined again once it has. */
  next: Tampering | undefined;
  #calls = 0;

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  async call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    const send = (request: unknown): Promise<unknown> =>
      this.#inner.call(to, method, request, options);
    const tampering = this.next;
    if (!method.startsWith(`${snapshotMethod}@`) || tampering === undefined) return send(payload);
    // What the sender of this very store made.
    const request = payload as SnapshotRequest;
    this.#calls = request.kind === 'begin' ? 0 : this.#calls + 1;
    if (this.#calls !== tampering.at) return send(payload);
    this.next = undefined;
    switch (tampering.how) {
      case 'corrupt':
        return send(changed(request, (bytes) => flipped(bytes)));
      case 'truncate':
        return send(changed(request, (bytes) => bytes.subarray(0, bytes.length - 1)));
      case 'duplicate':
        await send(request);
        return send(request);
      case 'skip':
        return { ok: true, token: 'token' in request ? request.token : 0 };
      case 'late':
        // The one behind it overtakes it.
        if (request.kind !== 'chunk') return send(request);
        return send({ ...request, sequence: request.sequence + 1 });
      case 'forge':
        // Damaged where only the sum over everything can see it: with a checksum that fits.
        if (request.kind === 'chunk') return send(forged(request));
        return send(changed(request, (bytes) => flipped(bytes)));
    }
  }

  send(...message: Parameters<Transport['send']>): void {
    this.#inner.send(...message);
  }

  onCall(...handler: Parameters<Transport['onCall']>): void {
    this.#inner.onCall(...handler);
  }

  onMessage(...handler: Parameters<Transport['onMessage']>): void {
    this.#inner.onMessage(...handler);
  }
}

function changed(request: SnapshotRequest, change: (bytes: Buffer) => Buffer): SnapshotRequest {
  switch (request.kind) {
    case 'begin':
      return { ...request, header: change(request.header) };
    case 'chunk':
      return { ...request, data: change(request.data) };
    case 'end':
      return { ...request, checksum: request.checksum ^ 1 };
  }
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length >> 1;
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function forged(request: Extract<SnapshotRequest, { kind: 'chunk' }>): SnapshotRequest {
  const data = flipped(request.data);
  return { ...request, data, checksum: crc32(data) };
}
