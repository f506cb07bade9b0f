/**
 * The transport of a simulated process. It adds to the in-process network what an operating system does when
 * a process ends: its connections break, and callers learn that no answer will come. A dead process sends a
 * reset at once; of a machine without power only the keepalive tells.
 */
import {
  type CallHandler,
  type CallOptions,
  type MessageHandler,
  type NodeId,
  type TrafficClass,
  TransportFailure,
} from '../kv/index.ts';
import { silenceMaxMs, type LocalTransport } from '../rpc/index.ts';
import { type NodeTransport } from '../server/index.ts';
import { type Timers } from '../util/index.ts';

const resetMs = 20;

export interface SimTransportParts {
  readonly inner: LocalTransport;
  /** The world's: they go on when the process dies. */
  readonly timers: Timers;
  readonly isAlive: () => boolean;
  /** Where a call goes now. */
  readonly find: (to: NodeId | string) => SimTransport | undefined;
}

export class SimTransport implements NodeTransport {
  readonly #parts: SimTransportParts;
  /** Calls that this process has been asked and has not answered. */
  readonly #unanswered = new Set<() => void>();

  constructor(parts: SimTransportParts) {
    this.#parts = parts;
  }

  bind(nodeId: NodeId): void {
    this.#parts.inner.bind(nodeId);
  }

  close(kind: 'process' | 'power'): void {
    this.#parts.inner.close();
    const broken = [...this.#unanswered];
    this.#unanswered.clear();
    this.#parts.timers.after(kind === 'process' ? resetMs : silenceMaxMs, () => {
      for (const lost of broken) lost();
    });
  }

  onCall(method: string, handler: CallHandler): void {
    this.#parts.inner.onCall(method, handler);
  }

  onMessage(method: string, handler: MessageHandler): void {
    this.#parts.inner.onMessage(method, handler);
  }

  send(to: NodeId, method: string, payload: unknown, traffic: TrafficClass): void {
    this.#parts.inner.send(to, method, payload, traffic);
  }

  call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    return this.#watch(to, this.#parts.inner.call(to, method, payload, options));
  }

  callAddress(
    address: string,
    method: string,
    payload: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    return this.#watch(address, this.#parts.inner.callAddress(address, method, payload, options));
  }

  /** The answer, or a failure once the process that was to give it is known to be dead. */
  #watch(to: NodeId | string, answer: Promise<unknown>): Promise<unknown> {
    const receiver = this.#parts.find(to);
    if (receiver === undefined || receiver === this) return answer;
    return new Promise((resolve, reject) => {
      const lost = (): void => {
        if (!this.#parts.isAlive()) return;
        reject(new TransportFailure(`the connection to node ${to} broke`, { sent: true }));
      };
      receiver.#unanswered.add(lost);
      answer.then(
        (value) => {
          receiver.#unanswered.delete(lost);
          resolve(value);
        },
        (error: unknown) => {
          receiver.#unanswered.delete(lost);
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }
}
