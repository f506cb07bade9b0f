/**
 * All connections that one node opens to one other pass through a proxy: a listening socket of its own, and for
 * each connection two pipes whose impairments are looked up as bytes come. Bytes that are held back by a cut arrive
 * when it ends, as a network that drops packets makes TCP do; the end of a connection is held back with them. Order
 * is kept whatever the delays are.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Impairment } from '../../../src/sim/links.ts';

/** How bytes pass now. A loss resets the connection. */
export type Passage = () => Required<Impairment>;

export interface ProxyOptions {
  readonly targetPort: number;
  /** From the node that dials, and to it. */
  readonly there: Passage;
  readonly back: Passage;
  /** From 0 to 1, decides which bytes are lost. */
  readonly draw: () => number;
}

const host = '127.0.0.1';
/** A sender that is ahead by more is no longer read from. */
const queueBytesMax = 1 << 20;

export class Proxy {
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #pipes = new Set<Pipe>();

  private constructor(options: ProxyOptions) {
    this.#options = options;
    // Half-closed connections stay: each direction ends by itself.
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** On a free port of the loopback address. */
  static async open(options: ProxyOptions): Promise<Proxy> {
    const proxy = new Proxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject);
      proxy.#server.listen(0, host, resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The impairments have changed. */
  pump(): void {
    for (const pipe of this.#pipes) pipe.pump();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const pipe of this.#pipes) pipe.reset();
    await closed;
  }

  #accept(near: Socket): void {
    const far = connect({
      host,
      port: this.#options.targetPort,
      noDelay: true,
      allowHalfOpen: true,
    });
    const { there, back, draw } = this.#options;
    const pipes = [
      new Pipe({ from: near, to: far, passage: there, draw }),
      new Pipe({ from: far, to: near, passage: back, draw }),
    ];
    for (const pipe of pipes) {
      this.#pipes.add(pipe);
      pipe.source.on('error', () => pipe.reset());
      pipe.source.on('close', () => this.#pipes.delete(pipe));
    }
  }
}

interface PipeParts {
  readonly from: Socket;
  readonly to: Socket;
  readonly passage: Passage;
  readonly draw: () => number;
}

/** One direction of one connection. */
class Pipe {
  readonly #parts: PipeParts;
  /** `bytes` undefined: the end. */
  readonly #queue: { readonly bytes: Buffer | undefined; readonly arrivedMs: number }[] = [];
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PipeParts) {
    this.#parts = parts;
    parts.from.on('data', (bytes: Buffer) => this.#take(bytes));
    parts.from.on('end', () => this.#take(undefined));
    parts.from.on('close', () => clearTimeout(this.#timer));
    parts.to.on('drain', () => this.pump());
  }

  get source(): Socket {
    return this.#parts.from;
  }

  /** Passes on what may pass now. */
  pump(): void {
    clearTimeout(this.#timer);
    const { from, to, passage, draw } = this.#parts;
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      const { cut, delayMs, loss } = passage();
      if (cut || to.writableNeedDrain || to.destroyed) return;
      const waitMs = head.arrivedMs + delayMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      this.#queue.shift();
      if (head.bytes === undefined) {
        to.end();
        return;
      }
      if (loss > 0 && draw() < loss) {
        this.reset();
        return;
      }
      this.#queuedBytes -= head.bytes.length;
      to.write(head.bytes);
      if (this.#queuedBytes < queueBytesMax) from.resume();
    }
  }

  reset(): void {
    this.#parts.from.resetAndDestroy();
    this.#parts.to.resetAndDestroy();
  }

  #take(bytes: Buffer | undefined): void {
    this.#queue.push({ bytes, arrivedMs: performance.now() });
    this.#queuedBytes += bytes?.length ?? 0;
    if (this.#queuedBytes >= queueBytesMax) this.#parts.from.pause();
    this.pump();
  }
}
