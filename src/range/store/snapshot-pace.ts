/**
 * How fast a store may send snapshots. All snapshots of one purpose share one rate, a cluster setting that is
 * read for every chunk, so a change holds from the next chunk on.
 *
 * A token bucket turned around (the generic cell rate algorithm): remembered is only when the line is free
 * again. Who wants to send books the line for as long as its bytes take and waits until its turn begins.
 */
import { kvSettings, type ClusterSettings } from '../../kv/index.ts';
import { type ChangePurpose } from '../../allocator/index.ts';
import { sleep, type Env } from '../../util/index.ts';

const rateSettings = {
  recovery: kvSettings.snapshotRecoveryMaxRate,
  rebalance: kvSettings.snapshotRebalanceMaxRate,
} as const;

export class SnapshotPace {
  readonly #env: Env;
  readonly #settings: ClusterSettings;
  /** Monotonic milliseconds. */
  readonly #freeAtMs: Record<ChangePurpose, number> = { recovery: 0, rebalance: 0 };

  constructor(env: Env, settings: ClusterSettings) {
    this.#env = env;
    this.#settings = settings;
  }

  /** Resolves when `bytes` may leave. */
  async take(purpose: ChangePurpose, bytes: number): Promise<void> {
    const nowMs = this.#env.clock.monotonicMs();
    const startsMs = Math.max(nowMs, this.#freeAtMs[purpose]);
    const bytesPerSecond = this.#settings.get(rateSettings[purpose]);
    this.#freeAtMs[purpose] = startsMs + (bytes / bytesPerSecond) * 1000;
    if (startsMs > nowMs) await sleep(this.#env, startsMs - nowMs);
  }
}
