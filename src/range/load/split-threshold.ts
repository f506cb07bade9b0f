/**
 * From which load on a range may be split. Load is requests per second, or, when that is what the allocator evens out, the
 * processor time they take. Processor time is known per process only, and a range's share of it is its share of the
 * requests, as in the allocator (`allocator/store-state.ts`): so both come down to a number of requests.
 */
import { kvSettings, type ClusterSettings } from '../../kv/index.ts';
import { type Clock } from '../../util/index.ts';
import { ProcessorLoad } from './processor-load.ts';

export interface SplitThresholdDeps {
  readonly clock: Clock;
  readonly settings: ClusterSettings;
  /** Processor milliseconds that this process has used so far. */
  readonly usedCpuMs: () => number;
  /** Of all ranges that this store leads. */
  readonly queriesPerSecond: () => number;
}

/** What a request costs is worked out this often. */
const costMs = 1_000;

export class SplitThreshold {
  readonly #deps: SplitThresholdDeps;
  readonly #processor: ProcessorLoad;
  /** Processor milliseconds; 0: not known yet. */
  #perRequestMs = 0;
  #costedAtMs = -Infinity;

  constructor(deps: SplitThresholdDeps) {
    this.#deps = deps;
    this.#processor = new ProcessorLoad(deps.clock, deps.usedCpuMs);
  }

  /** Infinity: nothing is split by load. */
  get requestsPerSecond(): number {
    const { settings } = this.#deps;
    if (!settings.get(kvSettings.splitByLoad)) return Number.POSITIVE_INFINITY;
    if (!this.#isCpu) return settings.get(kvSettings.splitLoadQps);
    const perRequestMs = this.#cost();
    return perRequestMs === 0
      ? Number.POSITIVE_INFINITY
      : settings.get(kvSettings.splitLoadCpu) / perRequestMs;
  }

  /** Of a range with so many requests per second. */
  describe(requestsPerSecond: number): string {
    const requests = `${Math.round(requestsPerSecond)} requests per second`;
    if (!this.#isCpu) return requests;
    return `${requests}, about ${Math.round(requestsPerSecond * this.#cost())} ms of processor time`;
  }

  get #isCpu(): boolean {
    return this.#deps.settings.get(kvSettings.loadBasedObjective) === 'cpu';
  }

  #cost(): number {
    const { clock, queriesPerSecond } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#costedAtMs >= costMs) {
      this.#costedAtMs = nowMs;
      const requests = queriesPerSecond();
      this.#perRequestMs = requests === 0 ? 0 : this.#processor.perSecond() / requests;
    }
    return this.#perRequestMs;
  }
}
