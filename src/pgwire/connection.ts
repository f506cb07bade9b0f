/**
 * One client connection as a state machine over bytes (PostgreSQL chapter 55). It knows no socket:
 * bytes come in by `receive`, leave through `ConnectionPort`. Messages are handled one after the other
 * in `#pump`; as long as they need not wait, a whole chunk of them is worked off in one turn.
 *
 *   startup -> authenticating -> ready <-> skipping (an error in a pipeline, up to Sync) -> closed
 *
 * Backpressure: while the client does not take what it is sent, statements wait (`flush`); while a
 * statement runs and more than `maxPendingBytes` have piled up, the socket is not read.
 */
import { type Env, type TimerHandle } from '../util/index.ts';
import {
  type NewSession,
  type Session,
  sqlError,
  SqlFailure,
  type SqlService,
  toSqlFailure,
} from '../sql/index.ts';
import { type Authenticator } from './authenticator.ts';
import { readBind } from './bind.ts';
import { columnFormats, type OutputPort, WireOutput } from './client-output.ts';
import { FrameReader } from './frame-reader.ts';
import {
  backend,
  frontend,
  writeAuthentication,
  writeBackendKey,
  writeEmpty,
  writeError,
  writeNegotiateVersion,
  writeParameterDescription,
  writeParameterStatus,
  writeReady,
  writeRowDescription,
} from './messages.ts';
import { readStartup, type StartupPacket } from './startup.ts';
import { WriteBuffer } from './write-buffer.ts';

/** The socket, as the connection uses it. */
export interface ConnectionPort {
  /** False: wait for `drained` before sending much more. The bytes are the port's from now on. */
  write(bytes: Buffer): boolean;
  /** Stops and starts the flow of `receive`. */
  pause(): void;
  resume(): void;
  /** Sends what is written, then closes. */
  end(): void;
}

export interface ConnectionLimits {
  /** Longest message before the client is known. */
  readonly startupBytes: number;
  /** Longest message after that; 54000 and the end of the connection beyond it. */
  readonly messageBytes: number;
  /** Input that may wait behind a running statement. */
  readonly pendingBytes: number;
  /** Time for startup and authentication. */
  readonly startupMs: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  startupBytes: 64 * 1024,
  messageBytes: 64 * 1024 * 1024,
  pendingBytes: 1024 * 1024,
  startupMs: 60_000,
};

export interface ConnectionOptions {
  readonly env: Env;
  readonly service: SqlService;
  readonly authenticator: Authenticator;
  readonly limits: ConnectionLimits;
  readonly port: ConnectionPort;
  readonly client?: NewSession['client'];
  /** For cancel requests of sessions on other nodes. */
  readonly forwardCancel: ((pid: number, secret: number) => void) | undefined;
}

type State = 'startup' | 'authenticating' | 'ready' | 'skipping' | 'closed';

export class Connection implements OutputPort {
  readonly buffer: WriteBuffer = new WriteBuffer();
  sentBytes = 0;
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader();
  readonly #output: WireOutput;
  #state: State = 'startup';
  #session: Session | undefined;
  #isPumping = false;
  #isPaused = false;
  #isFlushScheduled = false;
  /** What the client is told when it has finished. */
  #retiring: SqlFailure | undefined;
  /** The port said it has enough; resolved by `drained`. */
  #full: { promise: Promise<void>; resolve: () => void } | undefined;
  /** Somebody inside a message waits for the next one. */
  #wakeUp: (() => void) | undefined;
  /** Ends a client that does not go on: until the session is up, and while it is idle. */
  #timer: TimerHandle | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#output = new WireOutput(this);
    this.#timer = options.env.timers.after(options.limits.startupMs, () => this.close());
  }

  get session(): Session | undefined {
    return this.#session;
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  // What the socket tells.

  /** More bytes; the connection owns them from now on. */
  receive(chunk: Buffer): void {
    if (this.#state === 'closed') return;
    this.#reader.push(chunk);
    if (this.#wakeUp !== undefined) {
      const wakeUp = this.#wakeUp;
      this.#wakeUp = undefined;
      wakeUp();
    } else if (!this.#isPumping) {
      if (this.#session !== undefined) this.#stopTimer();
      void this.#pump();
      return;
    }
    if (this.#reader.bufferedBytes > this.#options.limits.pendingBytes && !this.#isPaused) {
      this.#isPaused = true;
      this.#options.port.pause();
    }
  }

  /** The port can take more. */
  drained(): void {
    this.#full?.resolve();
    this.#full = undefined;
  }

  /** The socket is gone, or shall go. Rolls back what is open. Idempotent. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#stopTimer();
    this.drained();
    const wakeUp = this.#wakeUp;
    this.#wakeUp = undefined;
    wakeUp?.();
    this.#session?.cancel('closed');
    // A running message ends by itself and then lets go of the session.
    if (!this.#isPumping) void this.#release();
    this.#options.port.end();
  }

  /** Ends the connection with an error of its own, also amid what runs: shutdown, idle timeouts. */
  terminate(failure: SqlFailure): void {
    if (this.#state === 'closed') return;
    writeError(this.buffer, 'FATAL', failure);
    this.#send();
    this.close();
  }

  /** Ends the connection like `terminate`, but not before what runs and what is open has come to its end. */
  retire(failure: SqlFailure): void {
    this.#retiring = failure;
    const session = this.#session;
    const isBusy = this.#isPumping && session?.runsEndless === false;
    if (session === undefined || (!isBusy && !this.#isInTransaction())) {
      this.terminate(failure);
    }
  }

  /** The client has statements that count only with a COMMIT, or a Sync, that it has not sent yet. A failed block has none. */
  #isInTransaction(): boolean {
    const session = this.#session;
    return session?.status === 'T' || session?.transaction.state === 'implicit';
  }

  async #release(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) await this.#options.service.close(session);
  }

  // The loop over messages.

  async #pump(): Promise<void> {
    this.#isPumping = true;
    try {
      while (this.#state !== 'closed') {
        if (!this.#next()) break;
        const work = this.#handle();
        if (work !== undefined) await work;
        if (this.#full !== undefined) await this.#full.promise;
      }
    } catch (error) {
      this.#fatal(error);
    }
    this.#isPumping = false;
    if (this.#isClosed()) {
      await this.#release();
      return;
    }
    if (this.#retiring !== undefined && !this.#isInTransaction()) {
      this.terminate(this.#retiring);
      return;
    }
    this.#send();
    this.#resume();
    this.#watchIdle();
  }

  // A method, so that the compiler does not believe the state unchanged across `await`.
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#options.port.resume();
  }

  #next(): boolean {
    const { limits } = this.#options;
    if (this.#state === 'startup') return this.#reader.nextStartup(limits.startupBytes);
    const limit = this.#state === 'authenticating' ? limits.startupBytes : limits.messageBytes;
    return this.#reader.next(limit);
  }

  #handle(): Promise<void> | undefined {
    if (this.#state === 'startup') return this.#startup();
    const session = this.#session;
    if (session === undefined) throw sqlError('protocolViolation', 'the session has not begun');
    const { type } = this.#reader;
    if (type === frontend.terminate) {
      this.#send();
      this.close();
      return undefined;
    }
    if (this.#state === 'skipping' && type !== frontend.sync) {
      if (!isFrontendMessage(type)) throw unknownMessage(type);
      return undefined;
    }
    switch (type) {
      case frontend.bind:
        return this.#guarded(session, () => this.#bind(session));
      case frontend.execute:
        return this.#execute(session);
      case frontend.sync:
        return this.#sync(session);
      case frontend.parse:
        return this.#parse(session);
      case frontend.describe:
        return this.#describe(session);
      case frontend.query:
        return this.#query(session);
      case frontend.close:
        return this.#closeObject(session);
      case frontend.flush:
        this.#send();
        return undefined;
      // Left over from a COPY that failed: the client did not know yet.
      case frontend.copyData:
      case frontend.copyDone:
      case frontend.copyFail:
        return undefined;
      case frontend.functionCall:
        return this.#functionCall(session);
      default:
        throw unknownMessage(type);
    }
  }

  // Startup.

  async #startup(): Promise<void> {
    const packet = readStartup(this.#reader);
    switch (packet.kind) {
      case 'ssl':
      case 'gssenc':
        // Bytes that came with the request would have been read unencrypted by an encrypted server.
        this.#options.port.write(Buffer.from('N'));
        return;
      case 'cancel':
        if (!this.#options.service.cancel(packet.pid, packet.secret)) {
          this.#options.forwardCancel?.(packet.pid, packet.secret);
        }
        this.close();
        return;
      default:
        await this.#open(packet);
    }
  }

  async #open(packet: Extract<StartupPacket, { kind: 'startup' }>): Promise<void> {
    const { authenticator, service } = this.#options;
    if (packet.wantsReplication) {
      throw sqlError('featureNotSupported', 'the replication protocol is not supported');
    }
    if (packet.minor > 0 || packet.protocolOptions.length > 0) {
      writeNegotiateVersion(this.buffer, packet.protocolOptions);
    }
    this.#state = 'authenticating';
    await authenticator.authenticate(packet, {
      send: (code, body) => {
        writeAuthentication(this.buffer, code, body);
        this.#send();
      },
      receive: () => this.#receivePassword(),
    });
    const { client } = this.#options;
    const session = await service.newSession({ ...packet, client });
    if (this.#isClosed()) {
      await service.close(session);
      return;
    }
    this.#stopTimer();
    this.#session = session;
    session.onTerminate = () => this.terminate(administratorCommand());
    this.#output.attach(session);
    this.#state = 'ready';
    writeAuthentication(this.buffer, 0, Buffer.alloc(0));
    for (const [name, value] of session.settings.reported()) {
      writeParameterStatus(this.buffer, name, value);
    }
    writeBackendKey(this.buffer, session.identity.backendPid, service.secretOf(session));
    this.#ready(session);
  }

  async #receivePassword(): Promise<FrameReader> {
    while (!this.#reader.next(this.#options.limits.startupBytes)) await this.#moreInput();
    if (this.#reader.type !== frontend.password) {
      throw sqlError('protocolViolation', 'expected password response');
    }
    return this.#reader;
  }

  /** Resolves when more bytes have come. Throws when the connection ends, or has ended. */
  async #moreInput(): Promise<void> {
    // Whoever ended it has woken those who waited; nobody comes for who waits now.
    if (!this.#isClosed()) {
      this.#resume();
      await new Promise<void>((resolve) => {
        this.#wakeUp = resolve;
      });
    }
    if (this.#isClosed())
      throw sqlError('connectionFailure', 'the client has closed the connection');
  }

  // The simple protocol.

  async #query(session: Session): Promise<void> {
    try {
      const text = this.#reader.cstring();
      this.#reader.expectEnd();
      await session.query(text, this.#output);
    } catch (error) {
      this.#report(await this.#settled(session, error));
    }
    this.#ready(session);
  }

  async #functionCall(session: Session): Promise<void> {
    const error = sqlError('featureNotSupported', 'the function call protocol is not supported');
    this.#report(await this.#settled(session, error));
    this.#ready(session);
  }

  // The extended protocol.

  async #parse(session: Session): Promise<void> {
    try {
      const name = this.#reader.cstring();
      const text = this.#reader.cstring();
      const types: number[] = [];
      for (let left = this.#reader.uint16(); left > 0; left--) types.push(this.#reader.uint32());
      this.#reader.expectEnd();
      await session.prepare(name, text, types, this.#output);
      writeEmpty(this.buffer, backend.parseComplete);
    } catch (error) {
      await this.#failPipeline(session, error);
    }
  }

  #bind(session: Session): void {
    session.messageCame();
    const { portal, statement, params, formats } = readBind(
      this.#reader,
      (name) => session.statement(name),
      session.settings.format,
    );
    if (formats.length > 1) columnFormats(statement.columns.length, formats);
    const replaced = session.bind(portal, statement, params, formats);
    if (replaced !== undefined) writeEmpty(this.buffer, backend.bindComplete);
  }

  /** Runs a synchronous step; only its failure takes a promise. */
  #guarded(session: Session, step: () => void): Promise<void> | undefined {
    try {
      step();
      return undefined;
    } catch (error) {
      return this.#failPipeline(session, error);
    }
  }

  async #execute(session: Session): Promise<void> {
    try {
      const name = this.#reader.cstring();
      const maxRows = this.#reader.int32();
      this.#reader.expectEnd();
      const isLast = this.#reader.peekType() === frontend.sync;
      await session.execute(session.portal(name), Math.max(0, maxRows), isLast, this.#output);
    } catch (error) {
      await this.#failPipeline(session, error);
    }
  }

  async #describe(session: Session): Promise<void> {
    try {
      const kind = this.#reader.byte();
      const name = this.#reader.cstring();
      this.#reader.expectEnd();
      if (kind === 0x53) {
        const statement = await session.describeStatement(name, this.#output);
        writeParameterDescription(this.buffer, statement.parameterTypes);
        this.#describeColumns(statement.columns, []);
      } else if (kind === 0x50) {
        const { statement, formats } = await session.describePortal(name, this.#output);
        this.#describeColumns(statement.columns, formats);
      } else {
        throw sqlError('protocolViolation', `invalid DESCRIBE message subtype ${kind}`);
      }
    } catch (error) {
      await this.#failPipeline(session, error);
    }
  }

  #describeColumns(
    columns: Parameters<typeof writeRowDescription>[1],
    formats: Parameters<typeof columnFormats>[1],
  ): void {
    if (columns.length === 0) writeEmpty(this.buffer, backend.noData);
    else writeRowDescription(this.buffer, columns, columnFormats(columns.length, formats));
  }

  async #closeObject(session: Session): Promise<void> {
    try {
      const kind = this.#reader.byte();
      const name = this.#reader.cstring();
      this.#reader.expectEnd();
      if (kind === 0x53) session.statements.delete(name);
      else if (kind === 0x50) await session.closePortal(name);
      else throw sqlError('protocolViolation', `invalid CLOSE message subtype ${kind}`);
      writeEmpty(this.buffer, backend.closeComplete);
    } catch (error) {
      await this.#failPipeline(session, error);
    }
  }

  #sync(session: Session): Promise<void> | undefined {
    if (this.#state === 'skipping') this.#state = 'ready';
    const commit = session.sync(this.#output);
    if (commit !== undefined) return this.#syncLater(session, commit);
    this.#ready(session);
    return undefined;
  }

  async #syncLater(session: Session, commit: Promise<void>): Promise<void> {
    try {
      await commit;
    } catch (error) {
      this.#report(toSqlFailure(error));
    }
    this.#ready(session);
  }

  async #failPipeline(session: Session, error: unknown): Promise<void> {
    this.#report(await this.#settled(session, error));
    if (!this.#isClosed()) this.#state = 'skipping';
  }

  /** Protocol violations end the connection; other failures end the transaction. */
  async #settled(session: Session, error: unknown): Promise<SqlFailure> {
    if (this.#isClosed()) throw error;
    return session.messageFailed(error);
  }

  #report(failure: SqlFailure): void {
    writeError(this.buffer, 'ERROR', failure);
  }

  #ready(session: Session): void {
    for (const [name, value] of session.settings.takeReports()) {
      writeParameterStatus(this.buffer, name, value);
    }
    writeReady(this.buffer, session.status);
    // What is complete leaves at the end of the turn at the latest, also when the next message takes long.
    if (this.#isFlushScheduled || this.#reader.bufferedBytes === 0) return;
    this.#isFlushScheduled = true;
    this.#options.env.timers.immediate(() => {
      this.#isFlushScheduled = false;
      if (this.#state !== 'closed' && this.#isPumping) this.#send();
    });
  }

  // COPY.

  copyData(): Buffer | undefined | Promise<Buffer | undefined> {
    while (this.#reader.next(this.#options.limits.messageBytes)) {
      const piece = this.#copyMessage();
      if (piece !== 'ignored') return piece;
    }
    return this.#copyDataLater();
  }

  async #copyDataLater(): Promise<Buffer | undefined> {
    // The client waits for CopyInResponse, and for room in our window.
    this.#send();
    while (true) {
      await this.#moreInput();
      while (this.#reader.next(this.#options.limits.messageBytes)) {
        const piece = this.#copyMessage();
        if (piece !== 'ignored') return piece;
      }
    }
  }

  #copyMessage(): Buffer | undefined | 'ignored' {
    const { type } = this.#reader;
    switch (type) {
      case frontend.copyData:
        return this.#reader.rest();
      case frontend.copyDone:
        return undefined;
      case frontend.copyFail:
        throw sqlError('queryCanceled', `COPY from stdin failed: ${this.#reader.cstring()}`);
      case frontend.flush:
      case frontend.sync:
        return 'ignored';
      default:
        throw sqlError(
          'protocolViolation',
          `unexpected message type 0x${type.toString(16).padStart(2, '0')} during COPY from stdin`,
        );
    }
  }

  // Output.

  flush(): Promise<void> | undefined {
    this.#send();
    return this.#full?.promise;
  }

  #send(): void {
    if (this.buffer.at === 0) return;
    this.sentBytes += this.buffer.at;
    if (this.#state === 'closed') {
      // Nobody would say that there is room again: what still runs says the rest to nobody.
      this.buffer.rewind(0);
      return;
    }
    if (this.#options.port.write(this.buffer.take()) || this.#full !== undefined) return;
    let resolve = (): void => {};
    const promise = new Promise<void>((done) => {
      resolve = done;
    });
    this.#full = { promise, resolve };
  }

  #fatal(error: unknown): void {
    if (this.#state === 'closed') return;
    const failure = toSqlFailure(error);
    if (failure.code === 'XX000')
      this.#options.env.log.error({ error }, 'a connection failed unexpectedly');
    writeError(this.buffer, 'FATAL', failure);
    this.#send();
    this.close();
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Idle timeouts are watched only where one is set. */
  #watchIdle(): void {
    const session = this.#session;
    if (session === undefined) return;
    const { idleInTransactionTimeoutMs, idleTimeoutMs } = session.settings;
    const inBlock = session.status !== 'I';
    const timeoutMs = inBlock ? idleInTransactionTimeoutMs : idleTimeoutMs;
    if (timeoutMs <= 0) return;
    this.#timer = this.#options.env.timers.after(timeoutMs, () => {
      this.terminate(
        inBlock
          ? sqlError(
              'idleInTransactionSessionTimeout',
              'terminating connection due to idle-in-transaction timeout',
            )
          : sqlError('idleSessionTimeout', 'terminating connection due to idle-session timeout'),
      );
    });
  }
}

export function administratorCommand(): SqlFailure {
  return sqlError('adminShutdown', 'terminating connection due to administrator command');
}

const frontendTypes = new Set<number>(Object.values(frontend));

function isFrontendMessage(type: number): boolean {
  return frontendTypes.has(type);
}

function unknownMessage(type: number): SqlFailure {
  return sqlError('protocolViolation', `invalid frontend message type ${type}`);
}
