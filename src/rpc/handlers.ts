/** The methods a node serves: shared by every transport implementation. */
import { assert } from '../util/index.ts';
import { type CallHandler, type MessageHandler, type NodeId } from '../kv/index.ts';

export class HandlerTable {
  readonly #calls = new Map<string, CallHandler>();
  readonly #messages = new Map<string, MessageHandler>();

  onCall(method: string, handler: CallHandler): void {
    assert(!this.#calls.has(method), `call handler ${method} is registered once`);
    this.#calls.set(method, handler);
  }

  onMessage(method: string, handler: MessageHandler): void {
    assert(!this.#messages.has(method), `message handler ${method} is registered once`);
    this.#messages.set(method, handler);
  }

  async serveCall(method: string, payload: unknown, from: NodeId): Promise<unknown> {
    const handler = this.#calls.get(method);
    if (handler === undefined) throw new Error(`no handler for call ${method}`);
    return handler(payload, from);
  }

  /** Messages nobody waits for are dropped: the sender cannot rely on them anyway. */
  deliver(method: string, payload: unknown, from: NodeId): void {
    this.#messages.get(method)?.(payload, from);
  }
}
