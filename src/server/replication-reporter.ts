/**
 * Keeps system.replication_* up to date: when a report is due, one node of the cluster collects what all of them say of
 * their ranges, counts it zone by zone and writes down what has changed.
 *
 *     takeTurn -> collectConformance (one call per node) -> replicationReport -> keepReport
 */
import { replicationReport } from '../allocator/index.ts';
import {
  collectConformance,
  KvFailure,
  kvSettings,
  type ClusterReports,
  type ClusterSettings,
  type Db,
  type NodeId,
  type RangeDescriptor,
  type RangeZones,
} from '../kv/index.ts';
import { keepReport, takeTurn } from '../sql/index.ts';
import { type Env, type TimerHandle } from '../util/index.ts';

/** After the start, and when the ranges that it needs cannot be reached. */
const delayMs = 5_000;

export interface ReplicationReporterParts {
  readonly env: Env;
  readonly db: Db;
  readonly nodeId: NodeId;
  readonly settings: ClusterSettings;
  readonly reports: ClusterReports;
  /** In which zones a range is counted, as the catalog is now. */
  readonly zonesOf: (range: RangeDescriptor) => RangeZones;
}

export class ReplicationReporter {
  readonly #parts: ReplicationReporterParts;
  #timer: TimerHandle | undefined;
  #intervalMs = 0;
  #isLooking = false;
  #isStopped = false;

  constructor(parts: ReplicationReporterParts) {
    this.#parts = parts;
  }

  /** To be called at the start and when settings may have changed. */
  heedSettings(): void {
    const intervalMs = this.#parts.settings.get(kvSettings.replicationReportsInterval);
    if (this.#isStopped || intervalMs === this.#intervalMs) return;
    this.#intervalMs = intervalMs;
    if (!this.#isLooking) this.#lookIn(Math.min(intervalMs, delayMs));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #lookIn(ms: number): void {
    this.#timer?.cancel();
    if (this.#isStopped || this.#intervalMs === 0) return;
    this.#timer = this.#parts.env.timers.after(ms, () => {
      this.#look().catch((error: unknown) => {
        if (!(error instanceof KvFailure)) throw error;
        this.#parts.env.log.debug(
          { error: error.kvError.kind },
          'replication reports cannot be made now',
        );
      });
    });
  }

  async #look(): Promise<void> {
    const { env, db, nodeId } = this.#parts;
    const intervalMs = this.#intervalMs;
    let nextMs = delayMs;
    this.#isLooking = true;
    try {
      const claim = { nodeId, at: env.clock.wallMicros() };
      const turn = await takeTurn(db, claim, intervalMs);
      if (turn.kind === 'mine' && !this.#isStopped) await this.#report(claim);
      nextMs = turn.kind === 'mine' ? intervalMs : turn.ms;
    } finally {
      this.#isLooking = false;
      // Another interval by now: a look tells when the next report is due.
      this.#lookIn(intervalMs === this.#intervalMs ? nextMs : 0);
    }
  }

  async #report(claim: { readonly nodeId: NodeId; readonly at: number }): Promise<void> {
    const { db, reports, zonesOf } = this.#parts;
    const { ranges } = await collectConformance(reports, db);
    await keepReport(
      db,
      claim,
      replicationReport(ranges, ({ range }) => zonesOf(range)),
    );
  }
}
