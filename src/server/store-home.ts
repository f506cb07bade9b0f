/**
 * One store folder of a node: the disk as the store in it sees it, the engine and the raft log, and who it belongs to.
 */
import { type HlcClock } from '../kv/index.ts';
import { bootstrapCluster, clockBoundOnDisk, type ClockBoundFile } from '../range/index.ts';
import { SegmentedRaftLog, storeFaultOf, type Engine } from '../storage/index.ts';
import { DiskWatch, watchedDisk, type Disk, type Env } from '../util/index.ts';
import { Ballast, refuseFullDisk } from './ballast.ts';
import { writeIdentity, type StoreIdentity } from './identity.ts';
import { markLeft } from './left-store.ts';
import { markDamaged } from './quarantine.ts';

export interface StoreSpec {
  readonly path: string;
  /** What zone configurations name by `+ssd`. */
  readonly attributes?: readonly string[];
  /** The store tells others that it is full at this size; undefined: at the disk's. */
  readonly capacityBytes?: number;
  /** Size of the ballast; 0 for none. Default: what is there is left alone. */
  readonly ballastBytes?: number;
}

export type OpenEngine = (
  path: string,
  hooks: { readonly onPoison: (error: Error) => void; readonly watch: DiskWatch },
) => Promise<Engine>;

export interface StoreHomeOptions {
  readonly openEngine: OpenEngine;
  /** A disk operation that has not come back for so long ends the node. */
  readonly maxSyncMs: number;
  readonly onFailure: (home: StoreHome, error: Error) => void;
}

export class StoreHome {
  readonly spec: StoreSpec;
  /** Its disk is watched. */
  readonly env: Env;
  readonly diskWatch: DiskWatch;
  /** Undefined for a folder without a store. */
  identity: StoreIdentity | undefined;
  /** The store was decommissioned: it is not opened again. */
  hasLeft = false;
  /** The store that was set aside in this folder. */
  replaced: StoreIdentity | undefined;
  /** Why this store cannot be used. */
  failure: unknown;
  readonly #options: StoreHomeOptions;
  readonly #ballast: Ballast | undefined;
  #marking: Promise<void> | undefined;
  #opened: { readonly engine: Engine; readonly raftLog: SegmentedRaftLog } | undefined;

  constructor(env: Env, spec: StoreSpec, options: StoreHomeOptions) {
    this.spec = spec;
    this.#options = options;
    this.diskWatch = new DiskWatch(env, {
      limitMs: options.maxSyncMs,
      onStall: (error) => options.onFailure(this, error),
    });
    this.env = withDisk(env, watchedDisk(env.disk, this.diskWatch));
    if (spec.ballastBytes !== undefined) {
      this.#ballast = new Ballast(this.env, spec.path, spec.ballastBytes);
    }
  }

  get path(): string {
    return this.spec.path;
  }

  get engine(): Engine {
    return this.#parts.engine;
  }

  get raftLog(): SegmentedRaftLog {
    return this.#parts.raftLog;
  }

  get #parts(): { readonly engine: Engine; readonly raftLog: SegmentedRaftLog } {
    if (this.#opened === undefined) throw new Error(`the store in ${this.path} is not open`);
    return this.#opened;
  }

  /** Belongs to `identity` from now on. `complete` is false while a founder's store gets its first contents. */
  async own(identity: StoreIdentity, complete: boolean): Promise<void> {
    await writeIdentity(this.env.disk, this.path, { ...identity, complete });
    this.identity = identity;
  }

  /** A damaged store is marked. */
  async open(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      await this.fail(error);
      throw error;
    }
  }

  async #open(): Promise<void> {
    const { disk } = this.env;
    await disk.mkdir(this.path);
    await refuseFullDisk(disk, this.path);
    const onPoison = (error: Error): void => this.#options.onFailure(this, error);
    const watch = this.diskWatch;
    const engine = await this.#options.openEngine(`${this.path}/engine`, { onPoison, watch });
    const directory = `${this.path}/raft`;
    const raftLog = await SegmentedRaftLog.open({ env: this.env, directory, onPoison });
    this.#opened = { engine, raftLog };
  }

  /** The first contents of the first store of a cluster. */
  async bootstrap(clock: HlcClock, { nodeId, storeId }: StoreIdentity): Promise<void> {
    const { engine, raftLog } = this.#parts;
    await bootstrapCluster({ engine, raftLog, clock, nodeId, storeId });
    const { wall } = clock.now();
    await this.#clockBound(true).persist({ upperBound: wall, noVotesBefore: 0, heard: [] });
  }

  get clockBound(): ClockBoundFile {
    // A store that holds nothing yet may have been stopped before its first bound was written.
    return this.#clockBound(this.raftLog.rangeIds().length === 0);
  }

  startBallast(): void {
    this.#ballast?.start();
  }

  async stopBallast(): Promise<void> {
    await this.#ballast?.stop();
  }

  async close(): Promise<void> {
    await this.#marking;
    await this.#opened?.engine.close();
    await this.#opened?.raftLog.close();
  }

  /** The store holds nothing any more, and is not opened again. */
  async leave({ storeId }: StoreIdentity): Promise<void> {
    if (this.hasLeft) return;
    this.hasLeft = true;
    this.env.log.info({ store: storeId, path: this.path }, 'a store has left the cluster');
    this.#marking = markLeft(this.env, this.path, storeId);
    await this.#marking;
  }

  /** What a store has lost it must not be asked for again. */
  async fail(error: unknown): Promise<void> {
    this.failure ??= error;
    if (!(error instanceof Error) || storeFaultOf(error) !== 'damaged') return;
    await markDamaged(this.env, this.path, error.message);
  }

  #clockBound(isNew: boolean): ClockBoundFile {
    return clockBoundOnDisk(this.env, `${this.path}/CLOCK`, { isNew });
  }
}

function withDisk(env: Env, disk: Disk): Env {
  const { clock, timers, random, log, checks } = env;
  return {
    clock,
    timers,
    random,
    disk,
    log,
    checks,
    sometimes: (percent) => env.sometimes(percent),
  };
}
