/** What `skein sim` prints of its runs. */
import { type SimResult } from '../sim/index.ts';
import { type SimEnd } from './sim-pool.ts';

/** One run, in some lines. */
export function describeRun(result: SimResult, factor: number, replay: string): string {
  const { counts } = result;
  const faults = Object.entries(result.faults).map(([name, count]) => `${name} ${count}`);
  return [
    `  ${result.configuration}`,
    `  writes ${counts.writes}, reads ${counts.reads}, failed ${counts.failed}, ambiguous ${counts.ambiguous}; ` +
      `crashes that lost writes ${result.lossyCrashes}, nodes that ended themselves ${result.stops}, ` +
      `ranges ${result.ranges}, events ${result.events}`,
    `  ${describeOperations(new Map(Object.entries(result.rangeOperations)))}`,
    `  faults: ${faults.join(', ') || 'none'}`,
    `  ${result.simulatedSeconds.toFixed(0)} simulated seconds at ${factor.toFixed(1)} times real time`,
    ...(result.vacuous === undefined ? [] : [`  vacuous: ${result.vacuous}`]),
    ...result.problems.map((problem) => `  PROBLEM ${problem}`),
    `  trace hash ${result.traceHash} ${result.problems.length === 0 ? 'ok' : `FAILED; replay: ${replay}`}`,
  ].join('\n');
}

/** One of many runs: to be held against the same seed elsewhere. */
export function describeHash({ seed, traceHash, events }: SimResult): string {
  return `seed ${seed}: trace hash ${traceHash}, events ${events}`;
}

/** Adds up many runs. */
export class SimSum {
  runs = 0;
  failed = 0;
  #vacuous = 0;
  #simulatedSeconds = 0;
  #transactions = 0;
  #ambiguous = 0;
  #lossyCrashes = 0;
  #stops = 0;
  readonly #rangeOperations = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #workloads = new Map<string, number>();

  add(end: SimEnd): void {
    this.runs++;
    if (end.kind === 'threw') {
      this.failed++;
      return;
    }
    const { result } = end;
    if (result.problems.length > 0) this.failed++;
    if (result.vacuous !== undefined) this.#vacuous++;
    this.#simulatedSeconds += result.simulatedSeconds;
    this.#transactions += result.counts.writes + result.counts.reads;
    this.#ambiguous += result.counts.ambiguous;
    this.#lossyCrashes += result.lossyCrashes;
    this.#stops += result.stops;
    count(this.#workloads, result.workload, 1);
    for (const [name, times] of Object.entries(result.rangeOperations)) {
      count(this.#rangeOperations, name, times);
    }
    for (const [name, times] of Object.entries(result.faults)) count(this.#faults, name, times);
  }

  /** Runs that prove little, as a share of all. */
  get vacuousShare(): number {
    return this.runs === 0 ? 0 : this.#vacuous / this.runs;
  }

  /** `realSeconds`: how long it took on `processes` processes. */
  describe(realSeconds: number, processes: number): string {
    const factor = this.#simulatedSeconds / realSeconds / processes;
    return [
      `${this.runs} runs: ${this.runs - this.failed} ok, ${this.failed} failed, ${this.#vacuous} vacuous`,
      `${(this.#simulatedSeconds / 3600).toFixed(2)} simulated hours at ${factor.toFixed(1)} times real time per core`,
      `transactions ${this.#transactions} (ambiguous ${this.#ambiguous}), crashes that lost writes ${this.#lossyCrashes}, ` +
        `nodes that ended themselves ${this.#stops}`,
      describeOperations(this.#rangeOperations),
      `workloads: ${list(this.#workloads)}`,
      `faults: ${list(this.#faults)}`,
    ].join('\n');
  }
}

function count(into: Map<string, number>, name: string, times: number): void {
  into.set(name, (into.get(name) ?? 0) + times);
}

function describeOperations(counts: ReadonlyMap<string, number>): string {
  const all = [...counts.values()].reduce((sum, times) => sum + times, 0);
  return `range operations ${all}: ${list(counts)}`;
}

function list(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([name, times]) => `${name} ${times}`).join(', ');
}
