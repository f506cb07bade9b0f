/**
 * What is asked of one range: how much, between which keys, and whether it grows at its end. Everything that decides by
 * load reads it: splits, the balance of leases and replicas, merges.
 *
 * Load is counted in batches, as CockroachDB counts its queries: a thousand rows that come in one message are one. Loads
 * of rows would be split as they come otherwise, where nothing is asked for any more, and the first thing that
 * a new table met were commits over two ranges.
 */
import { requestSpan, type BatchRequest, type KvRequest } from '../../kv/index.ts';
import { maxBytes, minBytes, nextKey, type Env } from '../../util/index.ts';
import { AppendWatch } from './append-watch.ts';
import { LoadMeter } from './load-meter.ts';
import { SplitFinder, type SplitFinding } from './split-finder.ts';

/** A search runs for so long before it answers, and answers at most this often. */
const searchMs = 10_000;
const answerMs = 60_000;

export class RangeLoad {
  readonly #env: Env;
  /** Batches per second from which on a key is searched for; Infinity: never. */
  readonly #searchFrom: () => number;
  #meter: LoadMeter;
  #appends: AppendWatch;
  #finder: SplitFinder | undefined;
  #quietUntilMs = 0;

  constructor(env: Env, searchFrom: () => number) {
    this.#env = env;
    this.#searchFrom = searchFrom;
    this.#meter = new LoadMeter(env.clock);
    this.#appends = new AppendWatch(env.clock.monotonicMs());
  }

  count({ requests }: BatchRequest): void {
    const nowMs = this.#env.clock.monotonicMs();
    if (this.#meter.count(nowMs)) this.#updateSearch(nowMs);
    for (const request of requests) {
      if (addsRow(request)) this.#appends.record(request.key, nowMs);
    }
    if (this.#finder !== undefined) recordIn(this.#finder, requests);
  }

  perSecond(): number {
    return this.#meter.perSecond();
  }

  /** Milliseconds since the last request, or since this began. */
  get idleMs(): number {
    return this.#meter.idleMs;
  }

  /** What the search for a key that divides the load has found; undefined while there is nothing to say. */
  splitFinding(): SplitFinding | undefined {
    const nowMs = this.#env.clock.monotonicMs();
    const finder = this.#finder;
    if (finder === undefined || nowMs - finder.startedMs < searchMs) return undefined;
    if (nowMs < this.#quietUntilMs) return undefined;
    this.#finder = undefined;
    this.#quietUntilMs = nowMs + answerMs;
    return finder.find();
  }

  /** Behind this key the range grows; undefined when it does not grow at its end. */
  growsBehind(): Buffer | undefined {
    return this.#appends.newest(this.#env.clock.monotonicMs());
  }

  /** The range was divided: each side is taken to have half of the load until it is counted anew. */
  divide(right: RangeLoad): void {
    this.#meter = this.#meter.scaled(0.5);
    right.#meter = this.#meter.scaled(1);
    this.#appends = new AppendWatch(this.#env.clock.monotonicMs());
    this.#finder = undefined;
  }

  #updateSearch(nowMs: number): void {
    if (this.#meter.lastSecond() < this.#searchFrom()) this.#finder = undefined;
    else this.#finder ??= new SplitFinder(nowMs, this.#env.random);
  }
}

/** What commits in one phase stands for one span: a split through it would make it a commit over two ranges. */
function recordIn(finder: SplitFinder, requests: readonly KvRequest[]): void {
  const spans = requests.map(requestSpan);
  if (requests.some((request) => request.kind === 'end-txn' && request.onePhase)) {
    const start = spans.map((span) => span.start).reduce(minBytes);
    const end = spans.map((span) => span.end ?? nextKey(span.start)).reduce(maxBytes);
    spans.fill({ start, end });
  }
  for (const { start, end } of spans) finder.record(start, end);
}

function addsRow(request: KvRequest): request is Extract<KvRequest, { key: Buffer }> {
  switch (request.kind) {
    case 'put':
    case 'insert':
      return true;
    case 'conditional-put':
      return request.expected === undefined;
    default:
      return false;
  }
}
