/** Connects sockets to connections. The listening socket itself is made in `cli`. */
import { type Env } from '../util/index.ts';
import { type SqlService } from '../sql/index.ts';
import { type Authenticator, insecureAuthenticator } from './authenticator.ts';
import {
  administratorCommand,
  Connection,
  type ConnectionLimits,
  defaultConnectionLimits,
} from './connection.ts';

/** The part of `net.Socket` that is used here. */
export interface SocketLike {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'drain' | 'close' | 'end', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  write(bytes: Buffer): boolean;
  /** `sent` is called when everything written has left. */
  end(sent: () => void): void;
  destroy(): void;
  pause(): unknown;
  resume(): unknown;
  setNoDelay?(on: boolean): unknown;
  setKeepAlive?(on: boolean, idleMs: number): unknown;
}

export interface PgListenerOptions {
  readonly env: Env;
  readonly service: SqlService;
  readonly authenticator?: Authenticator;
  readonly limits?: Partial<ConnectionLimits>;
  readonly maxConnections?: number;
  readonly forwardCancel?: (pid: number, secret: number) => void;
}

/** After how long a silence the machine of a client is asked whether it is still there: it may hold locks. */
const keepaliveMs = 60_000;

export class PgListener {
  readonly #options: PgListenerOptions;
  readonly #connections = new Set<Connection>();

  constructor(options: PgListenerOptions) {
    this.#options = options;
  }

  /** Takes over an accepted socket. */
  serve(socket: SocketLike): void {
    const { env, service, authenticator, limits, forwardCancel } = this.#options;
    if (this.#connections.size >= (this.#options.maxConnections ?? 10_000)) {
      socket.destroy();
      return;
    }
    socket.setNoDelay?.(true);
    socket.setKeepAlive?.(true, keepaliveMs);
    const { remoteAddress: host, remotePort: port } = socket;
    const connection = new Connection({
      env,
      service,
      authenticator: authenticator ?? insecureAuthenticator,
      limits: { ...defaultConnectionLimits, ...limits },
      forwardCancel,
      client: host === undefined || port === undefined ? undefined : { host, port },
      port: {
        write: (bytes) => socket.write(bytes),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        // A client that does not close its side may not keep ours open.
        end: () => socket.end(() => socket.destroy()),
      },
    });
    this.#connections.add(connection);
    socket.on('data', (chunk) => connection.receive(chunk));
    socket.on('drain', () => connection.drained());
    socket.on('end', () => connection.close());
    socket.on('error', (error) => {
      env.log.debug({ error }, 'client connection failed');
      connection.close();
    });
    socket.on('close', () => {
      connection.close();
      this.#connections.delete(connection);
    });
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Tells idle clients that the node goes away, and the others when what they run or have open is done. */
  drain(): void {
    this.#options.service.drain();
    for (const connection of this.#connections) connection.retire(administratorCommand());
  }

  /** Ends all connections. */
  close(): void {
    this.#options.service.drain();
    for (const connection of this.#connections) connection.terminate(administratorCommand());
  }
}
