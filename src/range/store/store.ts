/**
 * A store: one disk, its state engine and raft log, and all replicas on it. It begins and ends, makes and removes
 * replicas, and owns what they share: the raft scheduler, store liveness, checkpoints and snapshots. What is sent to it
 * goes to `requests.ts` (batches) and `intake.ts` (raft).
 *
 * INVARIANT 1: at most one live replica per range, and the key spans of initialised replicas, of
 *   replicas being removed and of snapshots on their way in never overlap (trap R8).
 * INVARIANT 2: no replica is made with an id below the range's tombstone (trap R6).
 */
import {
  asReplicaId,
  containsKey,
  gossipKeys,
  kvSettings,
  type BatchRequest,
  type BatchResponse,
  type ChecksumTrigger,
  type ClusterSettings,
  type Db,
  type HlcClock,
  type LockWait,
  type NodeId,
  type RangeDescriptor,
  type RangeEvent,
  type RangeId,
  type ReportProviders,
  type ReplicaId,
  type RowProgramCompiler,
  type StoreId,
} from '../../kv/index.ts';
import { meta1Start } from '../../encoding/index.ts';
import { publishFirstRange } from '../queues/publishers.ts';
import {
  type Engine,
  type EngineSnapshot,
  type MvccStats,
  type RaftLog,
  mvccPeek,
  rangeStateKey,
} from '../../storage/index.ts';
import { type Env } from '../../util/index.ts';
import { type KeySender } from '../ports.ts';
import { type RaftSettings } from '../../raft/index.ts';
import { AppliedCommits } from '../replica/applied-commits.ts';
import { type PreparedRight, type ReplicaHost } from '../replica/host.ts';
import { decodeTombstone } from '../replica/range-state.ts';
import { type Replica } from '../replica/replica.ts';
import { transferLeases } from '../replica/transfer.ts';
import {
  dropSubsumed,
  prepareAbsorption,
  prepareSubsumption,
  subsumedBy,
  untilAbsorbable,
  type MergeTrigger,
} from './absorb.ts';
import { CapacityPublisher } from './capacity.ts';
import { Census, type ReplicaCounts } from './census.ts';
import { Checkpointer } from './checkpoint.ts';
import { ClockBound } from './clock-bound.ts';
import { ReplicaChecksums } from '../consistency/checksums.ts';
import { ConsistencyChecks } from '../consistency/check.ts';
import { closingTarget } from '../closed/lead.ts';
import { SideTransport } from '../closed/side-transport.ts';
import { StoreFeeds } from '../feed/store-feeds.ts';
import { StoreLiveness, type StoreAddress } from './liveness-driver.ts';
import { Intake } from './intake.ts';
import { ContentionEvents } from './lock-report.ts';
import { loadReplicas } from './load.ts';
import {
  measureStore,
  newStoreCounters,
  type StoreCounters,
  type StoreMetrics,
} from './metrics.ts';
import { SplitThreshold } from '../load/split-threshold.ts';
import { DurableReplicas } from './durable-replicas.ts';
import { Peers, wakeFollowersOf, wakeLeadersWith } from './peers.ts';
import { ProtectedTimes } from './protected-times.ts';
import { Remover } from './remover.ts';
import { prepareRight } from './right-side.ts';
import { RaftScheduler } from './scheduler.ts';
import { noDecisions, reportsOf, type Decisions } from './reports.ts';
import { serveBatch } from './requests.ts';
import { defaultStoreSettings, type StoreSettings } from './settings.ts';
import { SnapshotPace } from './snapshot-pace.ts';
import { SnapshotReceiver } from './snapshot-receiver.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { usedCpuMs, type StoreDeps } from './store-deps.ts';
import { isDraining } from './store-status.ts';
import { Queues } from '../queues/queues.ts';

export class Store implements ReplicaHost {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly engine: Engine;
  readonly raftLog: RaftLog;
  readonly nodeId: NodeId;
  readonly storeId: StoreId;
  readonly settings: StoreSettings;
  readonly raftSettings: RaftSettings;
  readonly counters: StoreCounters = newStoreCounters();
  readonly appliedCommits = new AppliedCommits();
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly sender: KeySender;
  readonly db: Db;
  readonly clusterSettings: ClusterSettings;
  readonly executorFactory: ReplicaHost['executorFactory'];
  readonly liveness: StoreLiveness;
  readonly bound: ClockBound;
  readonly sideTransport: SideTransport;
  readonly protectedTimes: ProtectedTimes;
  readonly deps: StoreDeps;
  readonly replicas = new Map<RangeId, Replica>();
  readonly checkpointer: Checkpointer;
  readonly remover: Remover;
  readonly durableReplicas: DurableReplicas;
  readonly checksums: ReplicaChecksums;
  readonly consistency: ConsistencyChecks;
  readonly queues: Queues;
  readonly splitThreshold: SplitThreshold;
  readonly decisions: Decisions;
  readonly contention: ContentionEvents;
  readonly reports: ReportProviders;
  /** Loading: ranges whose installation (or subsumption by one) a crash interrupted, and how it is finished: after the replay. */
  readonly installing = new Map<RangeId, () => Promise<void>>();
  /** Resolves when loading has ended. */
  readonly opened: Promise<void>;

  readonly #scheduler: RaftScheduler;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #intake: Intake;
  readonly #publisher: CapacityPublisher;
  readonly #census: Census;
  readonly #peers: Peers;
  readonly #feeds: StoreFeeds;
  #state: 'new' | 'loading' | 'running' | 'draining' | 'stopped' = 'new';
  #givesLeases = false;
  #clockIsWrong = false;
  #failed = false;
  readonly #unwatch: (() => void)[] = [];
  #runningSinceMs = 0;
  #births: Promise<Replica>[] = [];
  #setOpened: () => void = () => undefined;

  constructor(deps: StoreDeps) {
    this.deps = deps;
    this.env = deps.env;
    this.clock = deps.clock;
    this.engine = deps.engine;
    this.raftLog = deps.raftLog;
    this.nodeId = deps.nodeId;
    this.storeId = deps.storeId;
    this.#census = new Census(deps.storeId, this.replicas);
    this.#peers = new Peers(deps.storeId, deps.gossip, this.#census);
    this.settings = { ...defaultStoreSettings, ...deps.settings };
    this.raftSettings = { ...this.settings, announceCommits: 'with-traffic' };
    this.rowPrograms = deps.rowPrograms;
    this.sender = deps.sender;
    this.db = deps.db;
    this.clusterSettings = deps.clusterSettings;
    this.executorFactory = deps.executorFactory;
    const { env, clock, transport, storeId } = this.deps;
    const { settings } = this;
    const supportMicros = settings.livenessSupportMs * 1000 + clock.maxOffsetMicros;
    this.bound = new ClockBound(env, clock, deps.clockBound, {
      supportMicros,
      marginMicros: settings.clockBoundMarginMs * 1000,
    });
    this.liveness = new StoreLiveness({
      env,
      clock,
      transport,
      nodeId: deps.nodeId,
      storeId,
      bound: this.bound,
      options: {
        heartbeatMs: settings.livenessHeartbeatMs,
        supportMicros,
      },
      peers: () => this.#peers.all,
      mayBeat: () => !this.diskIsSlow,
      supportChanged: (store) => wakeLeadersWith(this, store),
      peerSilent: (node, isSilent) => deps.peerSilent(node, isSilent),
      promiseLapsed: (store) => wakeFollowersOf(this, store),
      fatal: (error) => this.fatal(error),
    });
    this.checkpointer = new Checkpointer({
      host: this,
      replica: (rangeId) => this.replicas.get(rangeId),
      snapshotPin: (rangeId) => this.#sender.pin(rangeId),
    });
    this.opened = new Promise((resolve) => {
      this.#setOpened = resolve;
    });
    this.remover = new Remover(this);
    this.durableReplicas = new DurableReplicas(this);
    this.checksums = new ReplicaChecksums(this);
    this.consistency = new ConsistencyChecks(this);
    const pace = new SnapshotPace(env, deps.clusterSettings);
    this.#sender = new SnapshotSender(this, transport, pace);
    this.#receiver = new SnapshotReceiver({
      host: this,
      transport,
      directory: deps.directory,
      admit: (header) => this.#intake.admitSnapshot(header),
      staged: (header, from) => this.#intake.snapshotStaged(header, from),
      checkpoint: () => this.checkpointer.runTwice(),
      isRemoved: ({ rangeId, to }) => to < this.tombstone(rangeId),
      subsumes: (header) => subsumedBy(this, header),
      drop: (subsumed, by) => dropSubsumed(this, subsumed, by),
      prepareSubsumption: (subsumed) => prepareSubsumption(this, subsumed),
    });
    this.#intake = new Intake(this, () => this.#receiver.reservedSpans());
    this.#scheduler = new RaftScheduler({
      host: this,
      transport,
      install: (replica, ready) => this.#receiver.install(replica, ready),
      sendSnapshot: (replica, to) => this.#sender.send(replica, to),
      turned: (replica, installing) => this.#receiver.turned(replica, installing),
      slept: (replica) => this.sideTransport.slept(replica),
      woke: (replica) => this.sideTransport.woke(replica),
    });
    this.sideTransport = new SideTransport({
      env,
      clock,
      transport,
      storeId,
      ledger: this.liveness.ledger,
      bound: this.bound,
      intervalMs: () => deps.clusterSettings.get(kvSettings.closedTimestampSideTransportInterval),
      closingTarget: (ahead) => this.closingTarget(ahead),
      maySpeak: () => this.serving && !this.diskIsSlow,
      replica: (rangeId) => this.replicas.get(rangeId),
      awake: () => this.#scheduler.awake,
    });
    this.#feeds = new StoreFeeds(this);
    this.decisions = noDecisions(storeId, env.clock);
    this.contention = new ContentionEvents(env.clock, this.clusterSettings);
    this.reports = reportsOf(this);
    this.protectedTimes = new ProtectedTimes(env, deps.db);
    this.queues = new Queues(this);
    this.#publisher = new CapacityPublisher(this);
    this.splitThreshold = new SplitThreshold({
      clock: env.clock,
      settings: deps.clusterSettings,
      usedCpuMs: usedCpuMs(deps),
      queriesPerSecond: () => this.metrics().gauges.queriesPerSecond,
    });
  }

  // ---- lifecycle ----

  /** Opens what the disk holds: replays the raft log, finishes what a crash interrupted, begins to serve. */
  async start(): Promise<void> {
    this.#state = 'loading';
    await this.env.disk.mkdir(this.deps.directory);
    await this.bound.start();
    const installs = await this.#receiver.recover();
    await loadReplicas(this, installs, (record) => this.#receiver.finish(record));
    this.#state = 'running';
    this.#runningSinceMs = this.env.clock.monotonicMs();
    this.#setOpened();
    this.#unwatch.push(this.deps.gossip.watch(gossipKeys.storePrefix, () => this.#peers.changed()));
    this.liveness.start();
    this.sideTransport.start();
    this.#scheduler.start(() => {
      this.#heedClock();
      this.liveness.checkExpirations();
      this.checkpointer.tick();
      this.#publisher.tick();
    });
    for (const replica of this.replicas.values()) {
      this.activate(replica);
      // Nobody else can stand for election: no reason to wait.
      if (replica.raft.configuration.voters.length === 1) replica.campaign();
    }
    this.#publisher.publish();
    this.queues.start();
  }

  /** With `drain` all leases are handed over first (at most `drainTimeoutMs`). The engine and the log stay open. */
  async stop(options: { readonly drain: boolean }): Promise<void> {
    if (this.#state === 'stopped') return;
    if (options.drain && this.#state === 'running') await this.drain();
    this.#state = 'stopped';
    this.queues.stop();
    await this.#receiver.stop();
    this.liveness.stop();
    this.sideTransport.stop();
    this.#feeds.stop();
    this.#scheduler.stop();
    for (const stop of this.#unwatch) stop();
    // A restart finds little to replay.
    if (!this.#failed) await this.checkpointer.runTwice();
    let servedUpTo = 0;
    for (const replica of this.replicas.values()) {
      replica.destroy('the store is shutting down');
      servedUpTo = Math.max(servedUpTo, replica.lease.servedUpTo);
    }
    this.replicas.clear();
    if (this.#failed) return;
    await this.bound.close(this.liveness.ledger.maxPromised, servedUpTo);
  }

  /** Hands over every lease that somebody else can take, before a stop; may be called again for those that nobody took. */
  async drain(): Promise<void> {
    if (!this.running) return;
    if (this.#state === 'running') {
      this.#state = 'draining';
      this.queues.stop();
      this.#publisher.publish();
    }
    await this.#handOverLeases();
  }

  /**
   * As `drain`, for a store that goes on: until `takeLeases` it takes no leases, and what an election gives it its
   * queues hand over again.
   */
  async giveLeases(): Promise<void> {
    if (!this.running) return;
    this.#givesLeases = true;
    this.#publisher.publish();
    await this.#handOverLeases();
  }

  takeLeases(): void {
    this.#givesLeases = false;
    this.#publisher.publish();
  }

  /** No lease is served by a wrong clock (`Lease.check`), so whoever has a right one is to have them. */
  #heedClock(): void {
    const isWrong = this.clock.complaint() !== undefined;
    if (isWrong === this.#clockIsWrong) return;
    this.#clockIsWrong = isWrong;
    this.#publisher.publish();
    if (!isWrong) return;
    this.#handOverLeases().catch((error: unknown) => this.fatal(error));
  }

  /** As of the last tick. */
  get clockIsWrong(): boolean {
    return this.#clockIsWrong;
  }

  #handOverLeases(): Promise<void> {
    return transferLeases(this.replicas.values(), this.settings.drainTimeoutMs);
  }

  /** On the way to its stop. */
  get stopping(): boolean {
    return this.#state === 'draining';
  }

  /** Is to hold no leases. */
  get draining(): boolean {
    return this.stopping || this.#givesLeases || this.#clockIsWrong;
  }

  get running(): boolean {
    return this.#state === 'running' || this.#state === 'draining';
  }

  /** Running, and nothing has failed. */
  get serving(): boolean {
    return this.running && !this.#failed;
  }

  /**
   * A store whose log write does not return behaves as one that is cut off: it asks for no support, ticks no replica
   * and takes no raft frame, until the write has returned or `DiskWatch` gives up. The promises made to its leaders
   * run out and others are elected. (A leader that went on would tell who stands for election that it still leads.)
   */
  get diskIsSlow(): boolean {
    return this.deps.diskWatch.waitingMs >= this.settings.livenessSupportMs;
  }

  get loading(): boolean {
    return this.#state === 'loading';
  }

  fatal(error: unknown): void {
    if (this.#failed || this.#state === 'stopped') return;
    this.#failed = true;
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.env.log.error({ store: this.storeId, reason }, 'the store cannot go on');
    this.#scheduler.stop();
    this.liveness.stop();
    this.sideTransport.stop();
    this.deps.onFatal(error);
  }

  // ---- requests ----

  /** What some replica here has as the newest committed value of `key`, however old that is. */
  peek(key: Buffer): Buffer | undefined {
    return this.serving ? mvccPeek(this.engine, key) : undefined;
  }

  send(batch: BatchRequest): Promise<BatchResponse> {
    return serveBatch(this, batch);
  }

  /** Something that the queues go by has changed for many ranges: they look at all of them. */
  lookAtAll(): void {
    for (const replica of this.replicas.values()) {
      if (replica.holdsLease) replica.closing.readPolicy();
    }
    this.queues.addAll();
  }

  get loadSplitThreshold(): number {
    return this.splitThreshold.requestsPerSecond;
  }

  /** Descriptors of this store's replicas that hold some of [start, end): for senders with stale ones. */
  rangesOverlapping(start: Buffer, end: Buffer): RangeDescriptor[] {
    return this.#census.overlapping(start, end);
  }

  metrics(): StoreMetrics {
    return measureStore(this, this.#scheduler.awake.size);
  }

  counts(): ReplicaCounts {
    return this.#census.counts;
  }

  /** Stores that hold a replica of some range of this store; itself, too. */
  members(): Iterable<StoreAddress> {
    return this.#census.members.values();
  }

  // ---- ReplicaHost ----

  engineSnapshot(): EngineSnapshot {
    return this.engine.snapshot();
  }

  closingTarget(ahead: boolean): number {
    return closingTarget(this.clusterSettings, this.clock, ahead);
  }

  hasGlobalReads({ startKey }: RangeDescriptor): boolean {
    return this.deps.zoneConfigFor(startKey).globalReads;
  }

  activate(replica: Replica): void {
    if (this.running) this.#scheduler.activate(replica);
  }

  /** Milliseconds since `storeId` was heard of; before the first time, since this store runs. */
  silentMs(storeId: StoreId): number {
    return this.liveness.silentMs(storeId) ?? this.env.clock.monotonicMs() - this.#runningSinceMs;
  }

  isDraining(storeId: StoreId): boolean {
    if (storeId === this.storeId) return this.draining;
    return isDraining(this.deps.gossip.get(gossipKeys.store(storeId)));
  }

  /** A store that was silent for longer is dead. */
  get timeUntilDeadMs(): number {
    return (
      this.settings.timeUntilStoreDeadMs ??
      this.deps.clusterSettings.get(kvSettings.timeUntilStoreDead)
    );
  }

  noteDirty(replica: Replica): void {
    this.checkpointer.noteDirty(replica);
    if (replica.isLeader) this.queues.add(replica);
  }

  leaseChanged(replica: Replica): void {
    if (!replica.holdsLease) this.sideTransport.woke(replica);
    this.#census.noteLease();
    this.#noteLed(replica);
  }

  snapshotAdvances(rangeId: RangeId, to: ReplicaId, withinMs: number): boolean {
    return this.#sender.advances(rangeId, to, withinMs);
  }

  replicaOf(rangeId: RangeId): Replica | undefined {
    return this.replicas.get(rangeId);
  }

  untilAbsorbable(right: RangeId): Promise<void> | undefined {
    return untilAbsorbable(this, right);
  }

  prepareAbsorption(trigger: MergeTrigger, isReplayed: boolean): PreparedRight {
    return prepareAbsorption(this, trigger, isReplayed);
  }

  noteEvents(events: readonly RangeEvent[]): void {
    for (const event of events) this.deps.rangeEvents?.note(event, this.storeId);
  }

  noteContention(wait: LockWait): void {
    this.contention.note(wait);
  }

  beginChecksum(replica: Replica, trigger: ChecksumTrigger): void {
    this.checksums.begin(replica, trigger);
  }

  prepareRight(left: Replica, right: RangeDescriptor, stats: MvccStats): PreparedRight {
    return prepareRight(this, left, right, stats);
  }

  descriptorChanged(replica: Replica, removed: boolean): void {
    this.#census.note(replica);
    this.#peers.changed();
    if (removed) {
      // Decided by raft: there is nothing to ask. Not in the middle of applying, though.
      const { nextReplicaId } = replica.descriptor;
      this.env.timers.immediate(() => this.remover.remove(replica, nextReplicaId));
    } else this.#noteLed(replica);
  }

  /** A leaseholder with something new about it: others are told, the queues look soon. */
  #noteLed(replica: Replica): void {
    if (!replica.holdsLease) return;
    if (containsKey(replica.descriptor, meta1Start)) publishFirstRange(this);
    this.queues.add(replica);
  }

  // ---- replicas ----

  addReplica(replica: Replica): void {
    this.replicas.set(replica.rangeId, replica);
    this.#census.note(replica);
    this.#peers.changed();
  }

  /** A right side whose log is being begun. */
  noteBirth(replica: Replica, ready: Promise<void>): void {
    if (this.#state === 'loading') this.#births.push(ready.then(() => replica));
  }

  /** Loading: the right sides born since the last call, when their logs are there. */
  births(): Promise<Replica[]> {
    const births = this.#births;
    this.#births = [];
    return Promise.all(births);
  }

  /** Out of sight at once; `Remover` does the rest. */
  dropReplica(replica: Replica): void {
    if (this.replicas.get(replica.rangeId) === replica) this.replicas.delete(replica.rangeId);
    this.#census.remove(replica);
    this.#peers.changed();
    this.#scheduler.forget(replica);
    this.#receiver.forget(replica);
    replica.destroy('the replica was removed from this store');
  }

  /** Replica ids of this range below the result were removed from this store for good. */
  tombstone(rangeId: RangeId): ReplicaId {
    const stored = this.engine.get(rangeStateKey(rangeId, 'tombstone'));
    return stored === undefined ? asReplicaId(0) : decodeTombstone(stored);
  }

  /** The replica may have been removed from its range: find out soon. */
  checkMembership(replica: Replica): void {
    this.queues.checkMembership(replica);
  }

  /** Runs one pass of all background queues and what it begins; tests call it instead of waiting. */
  runQueues(): Promise<void> {
    return this.queues.passToEnd();
  }
}
