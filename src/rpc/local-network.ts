/**
 * A network inside one process: for in-process clusters and for simulation. Every payload is encoded
 * and decoded, so nodes share no memory and nothing travels that gRPC could not carry. A policy
 * decides each message's fate; without one everything arrives in the next turn.
 *
 * INVARIANT: messages of one class from one node to another arrive in order, none twice, as in
 * `Transport`; a dropped one is a gap. Answers to calls may overtake each other.
 */
import { Packr } from 'msgpackr';
import {
  type CallHandler,
  type CallOptions,
  type MessageHandler,
  type NodeId,
  type TrafficClass,
  type Transport,
  TransportFailure,
} from '../kv/index.ts';
import { type Env, type TimerHandle } from '../util/index.ts';
import { HandlerTable } from './handlers.ts';
import { silenceMaxMs } from './keepalive.ts';

export interface Delivery {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly traffic: TrafficClass;
  readonly method: string;
  readonly kind: 'message' | 'call' | 'answer';
  readonly bytes: number;
}

/**
 * A delay in milliseconds; 'drop': lost without a trace (a cut link); 'reset': lost with the stream it was
 * on, so the caller of a call learns soon that there will be no answer.
 */
export type DeliveryPolicy = (delivery: Delivery) => number | 'drop' | 'reset';

const resetMs = 20;

const packr = new Packr({ useRecords: false, moreTypes: false, int64AsType: 'bigint' });

export class LocalNetwork {
  readonly #endpoints = new Map<NodeId, LocalTransport>();
  readonly #addresses = new Map<string, LocalTransport>();
  /** Earliest time the next message of a link may arrive: keeps the order under random delays. */
  readonly #linkFreeAtMs = new Map<string, number>();
  readonly #env: Pick<Env, 'clock' | 'timers'>;
  readonly #policy: DeliveryPolicy;

  /** The network's own timers: they go on when a node crashes. */
  constructor(env: Pick<Env, 'clock' | 'timers'>, policy: DeliveryPolicy = () => 0) {
    this.#env = env;
    this.#policy = policy;
  }

  /** A new endpoint; it becomes reachable by id with `bind`. `env` is the owning node's. */
  endpoint(env: Env, address: string): LocalTransport {
    const transport = new LocalTransport(this, env, address);
    this.#addresses.set(address, transport);
    return transport;
  }

  bind(nodeId: NodeId, transport: LocalTransport): void {
    this.#endpoints.set(nodeId, transport);
  }

  unbind(transport: LocalTransport): void {
    for (const [nodeId, bound] of this.#endpoints) {
      if (bound === transport) this.#endpoints.delete(nodeId);
    }
    if (this.#addresses.get(transport.address) === transport) {
      this.#addresses.delete(transport.address);
    }
  }

  find(to: NodeId | string): LocalTransport | undefined {
    return typeof to === 'string' ? this.#addresses.get(to) : this.#endpoints.get(to);
  }

  /** Runs `arrive` when the message arrives, `lost` once its sender can know that it never will. */
  carry(delivery: Delivery, arrive: () => void, lost: () => void = () => undefined): void {
    const delayMs = delivery.from === delivery.to ? 0 : this.#policy(delivery);
    if (delayMs === 'drop' || delayMs === 'reset') {
      this.#env.timers.after(delayMs === 'drop' ? silenceMaxMs : resetMs, lost);
      return;
    }
    const nowMs = this.#env.clock.monotonicMs();
    let atMs = nowMs + delayMs;
    if (delivery.kind === 'message') {
      const link = `${delivery.from} ${delivery.to} ${delivery.traffic}`;
      const freeAtMs = this.#linkFreeAtMs.get(link) ?? 0;
      // Timers that are due at the same instant may run in any order: keep a step between them.
      if (freeAtMs > nowMs) atMs = Math.max(atMs, freeAtMs + 0.001);
      this.#linkFreeAtMs.set(link, atMs);
    }
    if (atMs <= nowMs) this.#env.timers.immediate(arrive);
    else this.#env.timers.after(atMs - nowMs, arrive);
  }
}

export class LocalTransport implements Transport {
  readonly address: string;
  readonly #network: LocalNetwork;
  readonly #env: Env;
  readonly #handlers = new HandlerTable();
  /** Calls that this process was asked and has not answered; each entry tells the caller so. */
  readonly #unanswered = new Set<() => void>();
  /** What has arrived and waits for its turn of this process's event loop. */
  readonly #inbox: (() => void)[] = [];
  #nodeId = 0 as NodeId;
  #down = false;

  constructor(network: LocalNetwork, env: Env, address: string) {
    this.#network = network;
    this.#env = env;
    this.address = address;
  }

  bind(nodeId: NodeId): void {
    this.#nodeId = nodeId;
    this.#network.bind(nodeId, this);
  }

  /**
   * Nothing leaves or arrives any more: the process is gone. 'reset': its operating system breaks the
   * connections, so calls that it has not answered fail at once. 'silent': the whole machine is gone, and
   * only their timeouts tell the callers.
   */
  close(how: 'reset' | 'silent' = 'silent'): void {
    this.#down = true;
    this.#network.unbind(this);
    const unanswered = [...this.#unanswered];
    this.#unanswered.clear();
    if (how === 'reset') for (const lost of unanswered) lost();
  }

  /** An arrival is an event of this process: one that stalls takes it later, and in the order of arrival. */
  #enqueue(fn: () => void): void {
    this.#inbox.push(fn);
    if (this.#inbox.length === 1) this.#env.timers.immediate(() => this.#takeOne());
  }

  #takeOne(): void {
    const fn = this.#inbox.shift();
    if (this.#inbox.length > 0) this.#env.timers.immediate(() => this.#takeOne());
    fn?.();
  }

  onCall(method: string, handler: CallHandler): void {
    this.#handlers.onCall(method, handler);
  }

  onMessage(method: string, handler: MessageHandler): void {
    this.#handlers.onMessage(method, handler);
  }

  send(to: NodeId, method: string, payload: unknown, traffic: TrafficClass): void {
    if (this.#down) return;
    const bytes = Buffer.from(packr.pack(payload));
    const from = this.#nodeId;
    const sender = this.#network.find(to);
    this.#network.carry({ from, to, traffic, method, kind: 'message', bytes: bytes.length }, () => {
      const receiver = this.#network.find(to);
      // A message is for the process it was sent to, not for its successor.
      if (receiver === undefined || receiver !== sender || receiver.#down) return;
      receiver.#enqueue(() => {
        if (receiver.#down) return;
        receiver.#handlers.deliver(method, packr.unpack(bytes) as unknown, from);
      });
    });
  }

  call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    return this.#call(to, method, payload, options);
  }

  callAddress(
    address: string,
    method: string,
    payload: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    return this.#call(address, method, payload, options);
  }

  #call(
    to: NodeId | string,
    method: string,
    payload: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    const receiver = this.#network.find(to);
    if (this.#down || receiver === undefined) {
      return Promise.reject(new TransportFailure(`node ${to} is not there`, { sent: false }));
    }
    return new Promise((resolve, reject) => {
      const timer: TimerHandle = this.#env.timers.after(options.timeoutMs, () => {
        reject(
          new TransportFailure(`no answer from node ${to} in ${options.timeoutMs} ms`, {
            sent: true,
          }),
        );
      });
      const settle = (bytes: Buffer, ok: boolean): void => {
        if (this.#down) return;
        timer.cancel();
        if (ok) resolve(packr.unpack(bytes));
        else reject(new TransportFailure(String(packr.unpack(bytes)), { sent: true }));
      };
      const lost = (): void => {
        timer.cancel();
        reject(new TransportFailure(`the connection to node ${to} broke`, { sent: true }));
      };
      const bytes = Buffer.from(packr.pack(payload));
      const link = { from: this.#nodeId, to: receiver.#nodeId, traffic: options.traffic, method };
      const arrive = (): void => {
        if (receiver.#down) {
          lost();
          return;
        }
        const broken = (): void => {
          if (!this.#down) lost();
        };
        receiver.#unanswered.add(broken);
        const answer = (result: unknown, ok: boolean): void => {
          receiver.#unanswered.delete(broken);
          if (receiver.#down) {
            lost();
            return;
          }
          const packed = Buffer.from(packr.pack(result));
          this.#network.carry(
            { ...link, from: link.to, to: link.from, kind: 'answer', bytes: packed.length },
            () => this.#enqueue(() => settle(packed, ok)),
            lost,
          );
        };
        receiver.#enqueue(() => {
          if (receiver.#down) return;
          receiver.#handlers.serveCall(method, packr.unpack(bytes) as unknown, link.from).then(
            (result) => answer(result, true),
            (error: unknown) =>
              answer(error instanceof Error ? error.message : String(error), false),
          );
        });
      };
      this.#network.carry({ ...link, kind: 'call', bytes: bytes.length }, arrive, lost);
    });
  }
}
