/**
 * A simulated TCP connection between a PostgreSQL client and a node. Either end looks like `net.Socket` as far as the
 * `pg` driver and the node's listener use one. Bytes arrive in order, a drawn delay after they were written. An
 * end whose process stalls receives late; one whose process died receives nothing, and its peer is told by `break`.
 */
import { EventEmitter } from 'node:events';
import { type SocketLike } from '../pgwire/index.ts';
import { type Clock, type Timers } from '../util/index.ts';

const keepaliveMs = 5_000;

export interface SocketHost {
  /** Timers of the process that the end belongs to. */
  readonly timers: Timers;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** One-way delay of the next bytes towards this end. */
  readonly delayMs: () => number;
}

export class SimSocket implements SocketLike {
  readonly #host: SocketHost;
  readonly #events = new EventEmitter();
  #peer: SimSocket | undefined;
  #freeAtMs = 0;
  /** What is on its way, in order, and how much of that has arrived. */
  readonly #inbox: (() => void)[] = [];
  #arrived = 0;
  #isPaused = false;
  #isClosed = false;
  /** False once this end has said that nothing more will come. */
  writable = true;

  private constructor(host: SocketHost) {
    this.#host = host;
  }

  static pair(client: SocketHost, server: SocketHost): { client: SimSocket; server: SimSocket } {
    const ends = { client: new SimSocket(client), server: new SimSocket(server) };
    ends.client.#peer = ends.server;
    ends.server.#peer = ends.client;
    return ends;
  }

  on(event: string, listener: (detail: Buffer & Error) => void): this {
    this.#events.on(event, listener);
    return this;
  }

  once(event: string, listener: (detail: Buffer & Error) => void): this {
    this.#events.once(event, listener);
    return this;
  }

  /** The other end accepts at once; what is written meanwhile comes after. */
  connect(): this {
    this.#arrive(() => this.#events.emit('connect'));
    return this;
  }

  write(bytes: Uint8Array, sent?: () => void): boolean {
    if (!this.writable) return false;
    const copy = Buffer.from(bytes);
    this.#toPeer((peer) => peer.#events.emit('data', copy));
    sent?.();
    return true;
  }

  end(sent?: () => void): void {
    if (this.writable) {
      this.writable = false;
      this.#toPeer((peer) => peer.#finish());
    }
    sent?.();
  }

  destroy(error?: Error): this {
    this.end();
    if (!this.#isClosed) this.#host.timers.immediate(() => this.#close(error));
    return this;
  }

  /**
   * The process at the other end is dead. A dead process sends a reset at once; of a machine without power only
   * the keepalive tells.
   */
  break(kind: 'process' | 'power'): void {
    const [code, afterMs] = kind === 'process' ? ['ECONNRESET', 0] : ['ETIMEDOUT', keepaliveMs];
    this.#freeAtMs = Math.max(this.#freeAtMs, this.#host.clock.monotonicMs() + afterMs);
    this.#arrive(() => this.#close(Object.assign(new Error(`read ${code}`), { code })));
  }

  pause(): this {
    this.#isPaused = true;
    return this;
  }

  resume(): this {
    this.#isPaused = false;
    this.#deliver();
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  #toPeer(deliver: (peer: SimSocket) => void): void {
    const peer = this.#peer;
    if (peer !== undefined) peer.#arrive(() => deliver(peer));
  }

  #arrive(deliver: () => void): void {
    const { clock, timers, delayMs } = this.#host;
    const nowMs = clock.monotonicMs();
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs + delayMs());
    this.#inbox.push(deliver);
    timers.after(this.#freeAtMs - nowMs, () => {
      this.#arrived++;
      this.#deliver();
    });
  }

  #deliver(): void {
    while (this.#arrived > 0 && !this.#isPaused && !this.#isClosed) {
      this.#arrived--;
      this.#inbox.shift()?.();
    }
  }

  /** The other end has finished: as `net.Socket` without `allowHalfOpen`, this one does, too. */
  #finish(): void {
    this.#events.emit('end');
    this.end();
    this.#close(undefined);
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.writable = false;
    if (error !== undefined) this.#events.emit('error', error);
    this.#events.emit('close');
  }
}
