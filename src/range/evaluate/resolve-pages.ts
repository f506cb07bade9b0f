/** Packs the resolution of many intents into commands of bounded size, a few of them under way at a time. */
import { type BatchResponse, type KvRequest } from '../../kv/index.ts';
import { resolvePage } from './txn-requests.ts';

export type Resolve = Extract<KvRequest, { kind: 'resolve-locks' }>;
export type ResolveFailure = Extract<BatchResponse, { kind: 'error' }>;

const maxUnderWay = 3;

export class ResolvePages {
  readonly #serve: (requests: readonly Resolve[]) => Promise<BatchResponse>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #done: (() => void)[] = [];
  #page: Resolve[] = [];
  #bytes = 0;
  /** The first page that failed; no others are begun behind it. */
  failure: ResolveFailure | undefined;

  constructor(serve: (requests: readonly Resolve[]) => Promise<BatchResponse>) {
    this.#serve = serve;
  }

  /** A span goes alone: it is resolved in pages of its own. */
  async add(request: Resolve, bytes: number): Promise<void> {
    const alone = request.span.end !== undefined;
    if (alone && this.#page.length > 0) await this.#send();
    this.#page.push(request);
    this.#bytes += bytes;
    const full = this.#page.length >= resolvePage.keys || this.#bytes >= resolvePage.bytes;
    if (alone || full) await this.#send();
  }

  /** Runs when all pages have succeeded. */
  whenDone(run: () => void): void {
    this.#done.push(run);
  }

  /** Resolves when nothing is under way any more. */
  async finish(): Promise<ResolveFailure | undefined> {
    if (this.#page.length > 0 && this.failure === undefined) await this.#send();
    await Promise.all(this.#underWay);
    if (this.failure === undefined) for (const run of this.#done) run();
    return this.failure;
  }

  async #send(): Promise<void> {
    const page = this.#page;
    this.#page = [];
    this.#bytes = 0;
    while (this.#underWay.size >= maxUnderWay) await Promise.race(this.#underWay);
    if (this.failure !== undefined) return;
    const work: Promise<void> = this.#serve(page).then((answer) => {
      this.#underWay.delete(work);
      if (answer.kind === 'error') this.failure ??= answer;
    });
    this.#underWay.add(work);
  }
}
