/**
 * Checkpoints: make the state engine durable, note how far each range got (its floor), and forget the
 * raft entries below.
 *
 * The floors of one checkpoint are captured at one moment, written in one batch behind the barrier, and
 * trusted for truncation only after the next barrier has made that batch durable. So after a crash the
 * floors that are found belong together (see `replica/range-state.ts`), and no log begins behind its
 * range's floor.
 */
import { type RangeId } from '../../kv/index.ts';
import { rangeStateKey, type EngineWrite } from '../../storage/index.ts';
import { type ReplicaHost } from '../replica/host.ts';
import { encodeFloor, type ReplayFloor } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';

export interface CheckpointDeps {
  readonly host: ReplicaHost;
  /** The live replica of that range, if there is one. */
  readonly replica: (rangeId: RangeId) => Replica | undefined;
  /** Entries behind this index are needed by a snapshot that is being sent. */
  readonly snapshotPin: (rangeId: RangeId) => number | undefined;
}

interface Captured {
  readonly replica: Replica;
  readonly floor: ReplayFloor;
}

export class Checkpointer {
  readonly #deps: CheckpointDeps;
  #dirty = new Set<Replica>();
  #dirtySinceMs = 0;
  #logBytes = 0;
  /** Written to the engine, not durable before the next barrier. */
  #written: readonly Captured[] = [];
  #tail: Promise<void> = Promise.resolve();
  #queued = 0;

  constructor(deps: CheckpointDeps) {
    this.#deps = deps;
  }

  noteDirty(replica: Replica): void {
    if (this.#dirty.size === 0) this.#dirtySinceMs = this.#deps.host.env.clock.monotonicMs();
    this.#dirty.add(replica);
  }

  /** Called every tick; starts a checkpoint when one is due. */
  tick(): void {
    const { host } = this.#deps;
    if (this.#queued > 0 || (this.#dirty.size === 0 && this.#written.length === 0)) return;
    const grown = host.raftLog.liveBytes - this.#logBytes >= host.settings.logBytesPerCheckpoint;
    const waited = host.env.clock.monotonicMs() - this.#dirtySinceMs;
    if (!grown && waited < host.settings.checkpointMs) return;
    this.run().catch((error: unknown) => host.fatal(error));
  }

  /** One barrier, and the floors behind it. */
  run(): Promise<void> {
    this.#queued++;
    const done = this.#tail.then(() => this.#run());
    this.#tail = done.catch(() => undefined);
    return done.finally(() => {
      this.#queued--;
    });
  }

  /** When it resolves, everything applied before the call is durable, and so are floors that say so. */
  async runTwice(): Promise<void> {
    await this.run();
    await this.run();
  }

  async #run(): Promise<void> {
    const { host } = this.#deps;
    const durableBefore = this.#written;
    const captured: Captured[] = [];
    for (const replica of this.#dirty) {
      if (replica.destroyed || !replica.initialised || replica.replaced) continue;
      captured.push({ replica, floor: replica.applier.floor() });
    }
    this.#dirty = new Set();
    this.#dirtySinceMs = host.env.clock.monotonicMs();
    await host.engine.barrier();
    host.counters.checkpoints++;
    for (const { replica, floor } of durableBefore) this.#truncate(replica, floor);
    const writes: EngineWrite[] = [];
    const written: Captured[] = [];
    for (const entry of captured) {
      if (entry.replica.destroyed || entry.replica.replaced) continue;
      written.push(entry);
      const key = rangeStateKey(entry.replica.rangeId, 'floor');
      writes.push({ key, value: encodeFloor(entry.floor) });
    }
    if (writes.length > 0) host.engine.apply(writes);
    this.#written = written;
    this.#logBytes = host.raftLog.liveBytes;
  }

  /** Followers on stores that are away for long get a snapshot; the log of all ranges is in memory. */
  #isAwaited(replica: Replica, id: number): boolean {
    const { liveness, raftLog, settings } = this.#deps.host;
    const storeId = replica.address(id)?.storeId;
    if (storeId === undefined) return false;
    if (liveness.supportedBy(storeId)) return true;
    if (raftLog.liveBytes > settings.logBytesMax) return false;
    return (liveness.silentMs(storeId) ?? 0) < settings.logWaitMs;
  }

  /** Up to the floor, but for what followers still need; those too far behind get a snapshot (trap R10). */
  #truncate(replica: Replica, floor: ReplayFloor): void {
    const { host } = this.#deps;
    if (replica.destroyed || this.#deps.replica(replica.rangeId) !== replica) return;
    const log = host.raftLog.range(replica.rangeId);
    let index = floor.index;
    if (log.sizeBytes <= host.settings.logBytesPerRangeMax) {
      for (const follower of replica.raft.progress()) {
        if (follower.state === 'snapshot' || !this.#isAwaited(replica, follower.id)) continue;
        index = Math.min(index, follower.match);
      }
    }
    const pin = this.#deps.snapshotPin(replica.rangeId);
    if (pin !== undefined) index = Math.min(index, pin);
    if (index < log.firstIndex) return;
    const term = log.term(index);
    if (term !== undefined) host.raftLog.truncate(replica.rangeId, { index, term });
  }
}
