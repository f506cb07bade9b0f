/**
 * Resolutions that nobody waits for: keys of committed transactions, and records that are of no more use. Those of a moment become one
 * command; readers go through the intents meanwhile, and writers resolve what they find on their way.
 */
import { type BatchRequest, type BatchResponse } from '../../kv/index.ts';
import { type Env } from '../../util/index.ts';
import { type Resolve } from './resolve-pages.ts';

const delayMs = 20;
const maxKeys = 256;

/** Nothing else depends on when it happens. */
export function mayWait({ span, txn }: Resolve): boolean {
  return span.end === undefined && txn.status === 'committed';
}

export class ResolveLater {
  readonly #env: Pick<Env, 'timers'>;
  readonly #resolve: (batch: BatchRequest, requests: readonly Resolve[]) => Promise<BatchResponse>;
  #waiting: {
    readonly requests: readonly Resolve[];
    readonly answer: (response: Promise<BatchResponse>) => void;
  }[] = [];
  #keys = 0;

  constructor(
    env: Pick<Env, 'timers'>,
    resolve: (batch: BatchRequest, requests: readonly Resolve[]) => Promise<BatchResponse>,
  ) {
    this.#env = env;
    this.#resolve = resolve;
  }

  /** `requests` are those of `batch`. Answered once they are resolved. */
  async add(batch: BatchRequest, requests: readonly Resolve[]): Promise<BatchResponse> {
    const response = await new Promise<BatchResponse>((answer) => {
      this.#waiting.push({ requests, answer });
      this.#keys += requests.length;
      if (this.#keys >= maxKeys) this.#flush(batch);
      else if (this.#waiting.length === 1) {
        this.#env.timers.after(delayMs, () => this.#flush(batch));
      }
    });
    if (response.kind === 'error') return response;
    return { ...response, results: requests.map(() => ({ kind: 'resolve-locks' })) };
  }

  #flush(batch: BatchRequest): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.#keys = 0;
    const all = waiting.flatMap(({ requests }) => requests);
    const response = this.#resolve(batch, all);
    for (const { answer } of waiting) answer(response);
  }
}
