/** Packs the resolution of many intents into commands of bounded size, a few of them under way at a time. */
import { type BatchResponse, type KvRequest } from '../../kv/index.ts';

export type Resolve = Extract<KvRequest, { kind: 'resolve-locks' }>;
export type ResolveFailure = Extract<BatchResponse, { kind: 'error' }>;

const maxUnderWay = 1;
/** Keys that come one by one may have large values. */
const maxSingleKeys = 256;

export class ResolvePages {
  readonly #serve: (requests: readonly Resolve[]) => Promise<BatchResponse>;
  readonly #underWay = new Set<Promise<void>>();
  readonly #done: (() => void)[] = [];
  #page: Resolve[] = [];
  /** The first page that failed; no others are begun behind it. */
  failure: ResolveFailure | undefined;

  constructor(serve: (requests: readonly Resolve[]) => Promise<BatchResponse>) {
    this.#serve = serve;
  }

  /** A span goes alone: it is resolved in pages of its own. */
  async add(request: Resolve): Promise<void> {
    const alone = request.span.end !== undefined;
    if (!alone) {
      this.#page.push(request);
      if (this.#page.length >= maxSingleKeys) await this.#sendPage();
      return;
    }
    await this.#sendPage();
    await this.send([request]);
  }

  /** Runs when all pages have succeeded. */
  whenDone(run: () => void): void {
    this.#done.push(run);
  }

  /** Resolves when nothing is under way any more. */
  async finish(): Promise<ResolveFailure | undefined> {
    await this.#sendPage();
    await Promise.all(this.#underWay);
    if (this.failure === undefined) for (const run of this.#done) run();
    return this.failure;
  }

  /** One command; waits for room first. */
  async send(page: readonly Resolve[]): Promise<void> {
    if (page.length === 0) return;
    while (this.#underWay.size >= maxUnderWay) await Promise.race(this.#underWay);
    if (this.failure !== undefined) return;
    const work: Promise<void> = this.#serve(page).then((answer) => {
      this.#underWay.delete(work);
      if (answer.kind === 'error') this.failure ??= answer;
    });
    this.#underWay.add(work);
  }

  async #sendPage(): Promise<void> {
    const page = this.#page;
    this.#page = [];
    await this.send(page);
  }
}
