/** Packs the resolution of many intents into commands of bounded size, a few of them under way at a time. */
import { type BatchResponse, type FinishedTxn, type KvRequest } from '../../kv/index.ts';
import { type IntentPage } from './reads.ts';

export type Resolve = Extract<KvRequest, { kind: 'resolve-locks' }>;
export type ResolveFailure = Extract<BatchResponse, { kind: 'error' }>;

/** What one command resolves at most, and how many heads it looks at for it. */
export const resolvePage = { keys: 1_000, bytes: 512 << 10, heads: 8_192 } as const;
/** A key that nobody has looked at counts so much: it may have a large value. */
const unseenBytes = 2 << 10;
/** And a span: they are small, as a rule, and what is too much for a command is left to the next one. */
const spanBytes = 8 << 10;
const maxUnderWay = 1;

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

  async add(request: Resolve): Promise<void> {
    await this.#put(request, request.span.end === undefined ? unseenBytes : spanBytes);
  }

  /** Keys of spans that hold few intents each share a command. */
  async addFound({ keys, bytes }: IntentPage, txn: FinishedTxn): Promise<void> {
    for (const start of keys) {
      const request = { kind: 'resolve-locks', span: { start, end: undefined }, txn } as const;
      await this.#put(request, bytes / keys.length);
    }
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

  async #put(request: Resolve, bytes: number): Promise<void> {
    this.#page.push(request);
    this.#bytes += bytes;
    const isFull = this.#page.length >= resolvePage.keys || this.#bytes >= resolvePage.bytes;
    if (isFull) await this.#sendPage();
  }

  /** One command; waits for room first. */
  async #sendPage(): Promise<void> {
    const page = this.#page;
    this.#page = [];
    this.#bytes = 0;
    if (page.length === 0) return;
    while (this.#underWay.size >= maxUnderWay) await Promise.race(this.#underWay);
    if (this.failure !== undefined) return;
    const work: Promise<void> = this.#serve(page).then((answer) => {
      this.#underWay.delete(work);
      if (answer.kind === 'error') this.failure ??= answer;
    });
    this.#underWay.add(work);
  }
}
