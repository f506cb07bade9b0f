/**
 * Transport over gRPC: per peer and traffic class one long-lived bidirectional stream, opened by the
 * sender. Calls and messages of one turn of the event loop leave in one frame; answers come back on the
 * same stream. Nothing is sent twice: when a stream breaks, its unanswered calls fail with `sent: true`
 * unless they never left this process.
 *
 *     node 1                                     node 2
 *     Link(raft)   == frames ==================> serveStream
 *                  <= answers ==================
 *     serveStream  <== frames ================== Link(raft)
 */
import * as grpc from '@grpc/grpc-js';
import {
  type CallHandler,
  type CallOptions,
  type MessageHandler,
  type NodeId,
  type TrafficClass,
  type Transport,
  TransportFailure,
  asNodeId,
} from '../kv/index.ts';
import { type Env, type TimerHandle } from '../util/index.ts';
import { FrameDecoder, FrameEncoder, type FrameMessage, frameKinds } from './frame.ts';
import { HandlerTable } from './handlers.ts';
import { keepaliveMs } from './keepalive.ts';

type ClientStream = grpc.ClientDuplexStream<Buffer, Buffer>;
type ServerStream = grpc.ServerDuplexStream<Buffer, Buffer>;

export interface GrpcTransportOptions {
  readonly env: Env;
  /** 0 until the node has joined a cluster. */
  readonly nodeId: () => NodeId;
  /** Refuses peers of another cluster; undefined until known. */
  readonly clusterId: () => string | undefined;
  /** host:port of a node, or undefined when it is not known (yet). */
  readonly resolve: (nodeId: NodeId) => string | undefined;
  /** The node that listens at `address` refused this one: it is of another cluster. */
  readonly onForeign?: (address: string) => void;
  /** Bytes queued for one peer and class beyond which messages are dropped and calls refused. */
  readonly queueBytesMax: number;
  /** Largest frame accepted. */
  readonly frameBytesMax: number;
}

const streamPath = '/skein.Node/Stream';
const identity = (bytes: Buffer): Buffer => bytes;
const methodDefinition = {
  path: streamPath,
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
} as const;

/** Reconnect delays: the first is short, so a restarted peer is found quickly. */
const backoffMs = [50, 100, 200, 500, 1000];

export class GrpcTransport implements Transport {
  readonly #options: GrpcTransportOptions;
  readonly #handlers = new HandlerTable();
  readonly #links = new Map<string, Link>();
  readonly #serving = new Set<ServerStream>();
  #server: grpc.Server | undefined;
  #stopped = false;

  constructor(options: GrpcTransportOptions) {
    this.#options = options;
  }

  /** Resolves with the bound port. Rejects when the address is taken. */
  async listen(address: string): Promise<number> {
    const server = new grpc.Server({
      'grpc.max_receive_message_length': this.#options.frameBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs.ping,
      'grpc.keepalive_timeout_ms': keepaliveMs.answer,
      'grpc.http2.max_ping_strikes': 0,
    } as grpc.ServerOptions);
    server.addService(
      { stream: methodDefinition },
      { stream: (stream: ServerStream) => this.#serve(stream) },
    );
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  onCall(method: string, handler: CallHandler): void {
    this.#handlers.onCall(method, handler);
  }

  onMessage(method: string, handler: MessageHandler): void {
    this.#handlers.onMessage(method, handler);
  }

  async call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    if (to === this.#options.nodeId()) return this.#handlers.serveCall(method, payload, to);
    const address = this.#options.resolve(to);
    if (address === undefined) {
      throw new TransportFailure(`the address of node ${to} is not known`, { sent: false });
    }
    return this.#link(address, options.traffic, to).call(method, payload, options.timeoutMs);
  }

  /** A call to whoever listens at `address`: for joining, before node ids are known. */
  async callAddress(
    address: string,
    method: string,
    payload: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    return this.#link(address, options.traffic).call(method, payload, options.timeoutMs);
  }

  send(to: NodeId, method: string, payload: unknown, traffic: TrafficClass): void {
    if (to === this.#options.nodeId()) {
      this.#options.env.timers.immediate(() => this.#handlers.deliver(method, payload, to));
      return;
    }
    const address = this.#options.resolve(to);
    if (address !== undefined) this.#link(address, traffic, to).send(method, payload);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const link of this.#links.values()) link.close('this node is stopping');
    this.#links.clear();
    for (const stream of this.#serving) stream.destroy();
    const server = this.#server;
    if (server !== undefined) server.forceShutdown();
    await Promise.resolve();
  }

  /** `to`: only this node may answer there, not one that has got the address after it. */
  #link(address: string, traffic: TrafficClass, to?: NodeId): Link {
    const key = `${traffic} ${address} ${to ?? ''}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      if (this.#stopped) throw new TransportFailure('this node is stopping', { sent: false });
      link = new Link(this.#options, address, traffic, to);
      this.#links.set(key, link);
    }
    return link;
  }

  #serve(stream: ServerStream): void {
    const refusal = this.#refusalOf(stream.metadata);
    if (refusal !== undefined) {
      stream.emit('error', refusal);
      return;
    }
    this.#serving.add(stream);
    // Before it hears anything the other side keeps all that it sends, to be able to send it again.
    stream.sendMetadata(new grpc.Metadata());
    const decoder = new FrameDecoder();
    const outbox = new Outbox(this.#options, (frame) => {
      if (!stream.destroyed && !stream.writableEnded) stream.write(frame);
    });
    stream.on('data', (frame: Buffer) => {
      let decoded: ReturnType<FrameDecoder['decode']>;
      try {
        decoded = decoder.decode(frame);
      } catch (error) {
        this.#options.env.log.warn({ err: error }, 'closing a stream with a malformed frame');
        stream.destroy();
        return;
      }
      const from = asNodeId(decoded.from);
      for (const message of decoded.messages) this.#dispatch(message, from, outbox);
    });
    const forget = (): void => {
      this.#serving.delete(stream);
    };
    stream.on('end', () => {
      forget();
      stream.end();
    });
    stream.on('error', forget);
    stream.on('close', forget);
  }

  /** Of a stream that is meant for another cluster, or for a node that had the address before. */
  #refusalOf(metadata: grpc.Metadata): Partial<grpc.StatusObject> | undefined {
    const meant = (what: string): string => String(metadata.get(what)[0] ?? '');
    const cluster = this.#options.clusterId();
    if (meant('cluster') !== '' && cluster !== undefined && meant('cluster') !== cluster) {
      return {
        code: grpc.status.FAILED_PRECONDITION,
        details: 'this node belongs to another cluster',
      };
    }
    const node = meant('node');
    if (node === '' || node === String(this.#options.nodeId())) return undefined;
    return { code: grpc.status.NOT_FOUND, details: `node ${node} does not listen here any more` };
  }

  #dispatch(message: FrameMessage, from: NodeId, outbox: Outbox): void {
    const [kind, id, method, payload] = message;
    if (kind === frameKinds.message) {
      this.#handlers.deliver(method, payload, from);
      return;
    }
    if (kind !== frameKinds.call) return;
    this.#handlers.serveCall(method, payload, from).then(
      (result) => outbox.post([frameKinds.answer, id, '', result]),
      (error: unknown) => {
        // Ordinary while nodes start: a peer that does not serve yet says so, and is asked again.
        const text = error instanceof Error ? error.message : String(error);
        this.#options.env.log.info({ from, method, reason: text }, 'a call was refused');
        this.#options.env.log.debug({ method, err: error }, 'a call was refused');
        outbox.post([frameKinds.failure, id, '', text]);
      },
    );
  }
}

/** Collects the messages of one turn and writes them as one frame. */
class Outbox {
  readonly #options: Pick<GrpcTransportOptions, 'env' | 'nodeId'>;
  readonly #write: (frame: Buffer) => void;
  readonly #encoder = new FrameEncoder();
  #queue: FrameMessage[] = [];

  constructor(
    options: Pick<GrpcTransportOptions, 'env' | 'nodeId'>,
    write: (frame: Buffer) => void,
  ) {
    this.#options = options;
    this.#write = write;
  }

  post(message: FrameMessage): void {
    this.#queue.push(message);
    if (this.#queue.length === 1) this.#options.env.timers.immediate(() => this.#flush());
  }

  /** Takes what was collected along. */
  postAtOnce(message: FrameMessage): void {
    this.#queue.push(message);
    this.#flush();
  }

  #flush(): void {
    if (this.#queue.length === 0) return;
    const messages = this.#queue;
    this.#queue = [];
    this.#write(this.#encoder.encode(this.#options.nodeId(), messages));
  }

  drain(): FrameMessage[] {
    const messages = this.#queue;
    this.#queue = [];
    return messages;
  }
}

interface PendingCall {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: TransportFailure) => void;
  readonly timer: TimerHandle;
  sent: boolean;
}

/** The outgoing stream to one node, or to one address, for one traffic class; reconnects by itself when used. */
class Link {
  readonly #options: GrpcTransportOptions;
  readonly #address: string;
  readonly #traffic: TrafficClass;
  /** Undefined: whoever listens. */
  readonly #to: NodeId | undefined;
  readonly #pending = new Map<number, PendingCall>();
  /** Calls of the frame that is being collected. */
  #unsent: PendingCall[] = [];
  #client: grpc.Client | undefined;
  #stream: ClientStream | undefined;
  #outbox: Outbox | undefined;
  #unsentBytes = 0;
  #nextId = 1;
  #failures = 0;
  #retryAtMs = 0;
  #closed = false;

  constructor(
    options: GrpcTransportOptions,
    address: string,
    traffic: TrafficClass,
    to: NodeId | undefined,
  ) {
    this.#options = options;
    this.#address = address;
    this.#traffic = traffic;
    this.#to = to;
  }

  send(method: string, payload: unknown): void {
    if (!this.#connect() || this.#unsentBytes > this.#options.queueBytesMax) return;
    const message: FrameMessage = [frameKinds.message, 0, method, payload];
    // The raft scheduler has gathered its turn's messages already.
    if (this.#traffic === 'raft') this.#outbox?.postAtOnce(message);
    else this.#outbox?.post(message);
  }

  call(method: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.#connect()) {
        reject(new TransportFailure(`no connection to ${this.#address}`, { sent: false }));
        return;
      }
      if (this.#unsentBytes > this.#options.queueBytesMax) {
        reject(new TransportFailure(`the queue to ${this.#address} is full`, { sent: false }));
        return;
      }
      const id = this.#nextId++;
      const timer = this.#options.env.timers.after(timeoutMs, () => {
        const call = this.#pending.get(id);
        this.#pending.delete(id);
        call?.reject(
          new TransportFailure(`no answer from ${this.#address} to ${method} in ${timeoutMs} ms`, {
            sent: call.sent,
          }),
        );
      });
      const pending = { resolve, reject, timer, sent: false };
      this.#pending.set(id, pending);
      this.#unsent.push(pending);
      this.#outbox?.post([frameKinds.call, id, method, payload]);
    });
  }

  close(reason: string): void {
    this.#closed = true;
    this.#reset(reason);
    this.#client?.close();
    this.#client = undefined;
  }

  /** True when there is a stream to write to (it may still be connecting). */
  #connect(): boolean {
    if (this.#stream !== undefined) return true;
    if (this.#closed) return false;
    if (this.#options.env.clock.monotonicMs() < this.#retryAtMs) return false;
    this.#client ??= new grpc.Client(this.#address, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': this.#options.frameBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': keepaliveMs.ping,
      'grpc.keepalive_timeout_ms': keepaliveMs.answer,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 1000,
      // Each class has a connection of its own: a snapshot must not delay a heartbeat.
      'grpc.use_local_subchannel_pool': 1,
    });
    const metadata = new grpc.Metadata();
    metadata.set('cluster', this.#options.clusterId() ?? '');
    metadata.set('class', this.#traffic);
    if (this.#to !== undefined) metadata.set('node', String(this.#to));
    const stream = this.#client.makeBidiStreamRequest(
      streamPath,
      identity,
      identity,
      metadata,
    ) as ClientStream;
    const decoder = new FrameDecoder();
    this.#stream = stream;
    this.#outbox = new Outbox(this.#options, (frame) => this.#write(stream, frame));
    stream.on('data', (frame: Buffer) => {
      if (this.#stream !== stream) return;
      this.#failures = 0;
      try {
        for (const message of decoder.decode(frame).messages) this.#answer(message);
      } catch (error) {
        this.#options.env.log.warn(
          { address: this.#address, err: error },
          'closing a stream with a malformed answer',
        );
        this.#broken(stream, 'malformed answer');
      }
    });
    stream.on('error', (error: Error) => {
      this.#broken(stream, error.message);
      const isForeign = 'code' in error && error.code === grpc.status.FAILED_PRECONDITION;
      if (isForeign) this.#options.onForeign?.(this.#address);
    });
    stream.on('end', () => this.#broken(stream, 'closed by the peer'));
    return true;
  }

  #write(stream: ClientStream, frame: Buffer): void {
    if (this.#stream !== stream) return;
    this.#unsentBytes += frame.length;
    for (const call of this.#unsent) call.sent = true;
    this.#unsent = [];
    stream.write(frame, () => {
      if (this.#stream === stream) this.#unsentBytes -= frame.length;
    });
  }

  #answer([kind, id, , payload]: FrameMessage): void {
    const call = this.#pending.get(id);
    if (call === undefined) return;
    this.#pending.delete(id);
    call.timer.cancel();
    if (kind === frameKinds.answer) call.resolve(payload);
    else call.reject(new TransportFailure(String(payload), { sent: true }));
  }

  #broken(stream: ClientStream, reason: string): void {
    if (this.#stream !== stream) return;
    const delay = backoffMs[Math.min(this.#failures, backoffMs.length - 1)] ?? 1000;
    this.#failures++;
    this.#retryAtMs = this.#options.env.clock.monotonicMs() + delay;
    this.#reset(`the connection to ${this.#address} broke: ${reason}`);
  }

  #reset(reason: string): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#outbox?.drain();
    this.#outbox = undefined;
    this.#unsentBytes = 0;
    stream?.cancel();
    for (const call of this.#pending.values()) {
      call.timer.cancel();
      call.reject(new TransportFailure(reason, { sent: call.sent }));
    }
    this.#pending.clear();
    this.#unsent = [];
  }
}
