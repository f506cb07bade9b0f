/**
 * How fast a store may send snapshots. All snapshots of one purpose share one rate, a cluster setting that is
 * read for every chunk, so a change holds from the next chunk on.
 */
import { kvSettings, type ClusterSettings } from '../../kv/index.ts';
import { type ChangePurpose } from '../../allocator/index.ts';
import { Pace, type Env } from '../../util/index.ts';

const rateSettings = {
  recovery: kvSettings.snapshotRecoveryMaxRate,
  rebalance: kvSettings.snapshotRebalanceMaxRate,
} as const;

export class SnapshotPace {
  readonly #settings: ClusterSettings;
  readonly #paces: Readonly<Record<ChangePurpose, Pace>>;

  constructor(env: Env, settings: ClusterSettings) {
    this.#settings = settings;
    this.#paces = { recovery: new Pace(env), rebalance: new Pace(env) };
  }

  /** Resolves when `bytes` may leave. */
  take(purpose: ChangePurpose, bytes: number): Promise<void> {
    return this.#paces[purpose].take(bytes, this.#settings.get(rateSettings[purpose]));
  }
}
