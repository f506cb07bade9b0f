/**
 * The real coordinator, router and executors over one store in memory, without raft: a proposal is
 * applied a turn of the event loop later. Ranges can be split; leases can be lost.
 */
import {
  zeroSpanStats,
  zeroTimestamp,
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  ClusterSettings,
  compareTimestamps,
  encodeDescriptor,
  gossipKeys,
  HlcClock,
  laterTimestamp,
  TransportFailure,
  type BatchRequest,
  type BatchResponse,
  type Gossip,
  type Handover,
  type KvError,
  type KvRequest,
  type RangeDescriptor,
  type RowProgramCompiler,
  type Sender,
  type Timestamp,
  type Transport,
  type TxnId,
} from '../../src/kv/index.ts';
import { keyMax, keyMin, metaRecordKeys } from '../../src/encoding/index.ts';
import {
  createRangeExecutor,
  type Command,
  type OnePhaseOutcome,
  type ProposeOutcome,
  type RangeExecutor,
  type ReplicaPort,
} from '../../src/range/index.ts';
import { ClosedTimestamp } from '../../src/range/closed/closed-timestamp.ts';
import { AppliedCommits } from '../../src/range/replica/applied-commits.ts';
import {
  computeStats,
  createMvccBatch,
  decodeHead,
  engineSpans,
  isHeadKey,
  MemoryEngine,
  mvccPeek,
  type EngineReader,
  unversionedKey,
} from '../../src/storage/index.ts';
import { ClusterDb, Router } from '../../src/txn/index.ts';
import { type VirtualEnv } from './virtual-env.ts';

const unversionedTag = unversionedKey(Buffer.alloc(0))[0];
const nodeId = asNodeId(1);
const storeId = asStoreId(1);
const replica = { nodeId, storeId, replicaId: asReplicaId(1), kind: 'voter' as const };

export class TestReplica implements ReplicaPort {
  readonly nodeId = nodeId;
  readonly storeId = storeId;
  readonly cluster: TestCluster;
  descriptor: RangeDescriptor;
  readonly loadSplitThreshold = Number.POSITIVE_INFINITY;
  leaseSequence = 1;
  readonly closesAhead = false;
  readonly closed = new ClosedTimestamp();
  leaseStart: Timestamp;
  hasLease = true;
  executor: RangeExecutor;
  #gcThreshold = zeroTimestamp;

  constructor(cluster: TestCluster, descriptor: RangeDescriptor, leaseStart: Timestamp) {
    this.cluster = cluster;
    this.descriptor = descriptor;
    this.leaseStart = leaseStart;
    this.executor = createRangeExecutor(this);
  }

  get leaseTakenAt(): Timestamp {
    return this.leaseStart;
  }

  get rangeId(): RangeDescriptor['rangeId'] {
    return this.descriptor.rangeId;
  }

  get engine(): MemoryEngine {
    return this.cluster.engine;
  }

  get clock(): HlcClock {
    return this.cluster.clock;
  }

  get env(): VirtualEnv {
    return this.cluster.env;
  }

  get rowPrograms(): RowProgramCompiler | undefined {
    return this.cluster.rowPrograms;
  }

  get sender(): Sender {
    return this.cluster.router.keySender;
  }

  openForWrites(): ClosedTimestamp {
    return this.closed;
  }

  raiseGcThreshold(threshold: Timestamp): void {
    this.#gcThreshold = laterTimestamp(this.#gcThreshold, threshold);
  }

  noteContention(): void {
    // Nobody asks.
  }

  isGone(): boolean {
    return false;
  }

  onePhaseOutcome({ id }: { readonly id: TxnId }): OnePhaseOutcome {
    if (this.cluster.forgetsCommits) return 'unknown';
    return this.cluster.appliedCommits.find(id) ?? 'none';
  }

  countRecovery(status: 'committed' | 'aborted'): void {
    this.cluster.recovered[status]++;
  }

  checkLease(): KvError | undefined {
    return this.hasLease ? undefined : this.#notLeaseholder();
  }

  checkHistory(timestamp: Timestamp): KvError | undefined {
    const threshold = this.#gcThreshold;
    if (compareTimestamps(timestamp, threshold) >= 0) return undefined;
    return { kind: 'below-gc-threshold', timestamp, threshold };
  }

  #notLeaseholder(): KvError {
    return {
      kind: 'not-leaseholder',
      rangeId: this.rangeId,
      leaseholder: undefined,
      range: this.descriptor,
    };
  }

  async propose(command: Command, leaseSequence: number): Promise<ProposeOutcome> {
    const delayMs = this.cluster.proposeDelayMs?.(command) ?? 0;
    await new Promise<void>((resolve) => {
      if (delayMs === 0) setImmediate(resolve);
      else this.env.timers.after(delayMs, resolve);
    });
    if (leaseSequence !== this.leaseSequence || !this.hasLease) {
      return { kind: 'rejected', error: this.#notLeaseholder() };
    }
    this.cluster.proposals++;
    this.cluster.largestProposal = Math.max(this.cluster.largestProposal, command.writes.length);
    this.engine.apply(command.writes);
    const { committed } = command;
    if (committed !== undefined) this.cluster.appliedCommits.note(committed, command.timestamp);
    for (const { start, end } of command.clears) {
      for (const span of engineSpans(start, end)) await this.engine.clear(span.start, span.end);
    }
    const lost = this.cluster.loseAnswer?.(command) === true;
    return lost ? { kind: 'ambiguous', reason: 'the test says so' } : { kind: 'applied' };
  }

  startLease(continuesSplit: boolean): void {
    this.leaseSequence++;
    this.leaseStart = this.clock.now();
    this.executor.leaseAcquired(this.leaseStart, continuesSplit ? 'split' : undefined);
  }

  /** Gives up the executor if nobody needs it right now; true when it did. */
  rest(): boolean {
    const lowWater = this.executor.retire(0);
    if (lowWater === undefined) return false;
    this.executor = createRangeExecutor(this, lowWater);
    return true;
  }

  /** The lease moves to another replica, which knows nothing but when it began, and what it is handed. */
  renewLease(handover?: Handover): void {
    this.hasLease = false;
    this.leaseSequence++;
    this.executor.leaseLost();
    const next = new TestReplica(this.cluster, this.descriptor, this.clock.now());
    next.executor.leaseAcquired(next.leaseStart, handover);
    this.cluster.replicas.splice(this.cluster.replicas.indexOf(this), 1, next);
  }
}

export class TestCluster {
  readonly env: VirtualEnv;
  readonly clock: HlcClock;
  readonly engine = new MemoryEngine();
  readonly router: Router;
  readonly db: ClusterDb;
  readonly rowPrograms: RowProgramCompiler | undefined;
  readonly replicas: TestReplica[] = [];
  readonly settings = new ClusterSettings();
  proposals = 0;
  /** Most writes of one command. */
  largestProposal = 0;
  /** How the right side of a split is led: 'later lease' when somebody else may have led it before. */
  afterSplit: 'same lease' | 'first lease' | 'later lease' = 'same lease';
  /** Parallel commits that were ended by others. */
  readonly recovered = { committed: 0, aborted: 0 };
  readonly appliedCommits = new AppliedCommits();
  /** Nobody can tell any more what became of a one-phase commit. */
  forgetsCommits = false;
  /** How long the replication of a command takes; 0 = one turn of the event loop. */
  proposeDelayMs: ((command: Command) => number) | undefined;
  /** Says which applied commands are reported as ambiguous. */
  loseAnswer: ((command: Command) => boolean) | undefined;
  /** A state of the past that optimistic transactions of this node look at; undefined: the present one. */
  outdated: EngineReader | undefined;
  /** Sees every batch that reaches a range, and may hold it up or answer instead of it. */
  intercept:
    | ((batch: BatchRequest) => BatchResponse | undefined | Promise<BatchResponse | undefined>)
    | undefined;
  #nextRangeId = 2;

  constructor(
    env: VirtualEnv,
    options: {
      readonly splits?: readonly Buffer[];
      readonly maxOffsetMicros?: number;
      readonly rowPrograms?: RowProgramCompiler;
    } = {},
  ) {
    this.env = env;
    this.rowPrograms = options.rowPrograms;
    this.clock = new HlcClock(env.clock, { maxOffsetMicros: options.maxOffsetMicros ?? 0 });
    const { clock } = this;
    this.router = new Router({
      env,
      clock,
      nodeId,
      transport: noTransport,
      local: { send: (batch) => this.#serve(batch) },
      gossip: this.#gossip(),
      clusterSettings: this.settings,
    });
    this.db = new ClusterDb({
      env,
      clusterSettings: this.settings,
      clock,
      nodeId,
      router: this.router,
      peek: (key) => mvccPeek(this.outdated ?? this.engine, key),
      ...(options.rowPrograms === undefined ? {} : { rowPrograms: options.rowPrograms }),
    });
    const whole: RangeDescriptor = {
      rangeId: asRangeId(1),
      startKey: keyMin,
      endKey: keyMax,
      replicas: [replica],
      nextReplicaId: asReplicaId(2),
      generation: 1,
      stickyUntil: zeroTimestamp,
    };
    this.replicas.push(new TestReplica(this, whole, clock.now()));
    this.#file([whole]);
    for (const splitKey of options.splits ?? []) this.split(splitKey);
  }

  replicaFor(key: Buffer): TestReplica {
    const found = this.replicas.find(
      ({ descriptor }) =>
        descriptor.startKey.compare(key) <= 0 && descriptor.endKey.compare(key) > 0,
    );
    if (found === undefined) throw new Error('no range holds the key');
    return found;
  }

  split(splitKey: Buffer): void {
    const left = this.replicaFor(splitKey);
    const before = left.descriptor;
    if (before.startKey.equals(splitKey)) return;
    const generation = before.generation + 1;
    const right: RangeDescriptor = {
      ...before,
      rangeId: asRangeId(this.#nextRangeId++),
      startKey: splitKey,
      generation,
    };
    left.descriptor = { ...before, endKey: splitKey, generation };
    const rightReplica = new TestReplica(this, right, left.leaseStart);
    this.replicas.push(rightReplica);
    left.executor.split(splitKey, rightReplica.executor);
    if (this.afterSplit !== 'same lease') {
      // The right side is led in a term of its own.
      rightReplica.startLease(this.afterSplit === 'first lease');
    }
    this.#file([left.descriptor, right]);
  }

  /** The range that holds `key` absorbs its right neighbour, whose leaseholder has frozen. */
  async merge(key: Buffer): Promise<void> {
    const left = this.replicaFor(key);
    const right = this.replicaFor(left.descriptor.endKey);
    const release = await right.executor.quiesce();
    const at = laterTimestamp(this.clock.now(), right.executor.lowWater.reads);
    const handover = right.executor.handOver();
    right.hasLease = false;
    right.executor.leaseLost();
    release();
    this.replicas.splice(this.replicas.indexOf(right), 1);
    const { endKey, generation } = right.descriptor;
    left.descriptor = {
      ...left.descriptor,
      endKey,
      generation: Math.max(left.descriptor.generation, generation) + 1,
    };
    left.closed.raiseFloor(at.wall + 1);
    left.executor.absorb(handover);
    this.#file([left.descriptor]);
  }

  /** Splits as the real thing does: with nothing under way in the range. */
  async splitQuietly(splitKey: Buffer): Promise<void> {
    const { executor } = this.replicaFor(splitKey);
    const release = await executor.quiesce();
    // Under another lease, or behind another split, the wait was for nothing.
    if (this.replicaFor(splitKey).executor === executor) this.split(splitKey);
    release();
  }

  /** What transactions have left in the engine: intents and records. */
  async remains(): Promise<{ intents: number; records: number }> {
    let intents = 0;
    let records = 0;
    const iterator = this.engine.iterate({ start: Buffer.alloc(0), end: Buffer.from([0xff]) });
    for (
      let page = await iterator.next(1_000);
      page.length > 0;
      page = await iterator.next(1_000)
    ) {
      for (const [engineKey, value] of page) {
        if (isHeadKey(engineKey)) intents += decodeHead(value).intent === undefined ? 0 : 1;
        else if (engineKey[0] === unversionedTag) records++;
      }
    }
    await iterator.close();
    return { intents, records };
  }

  #file(ranges: readonly RangeDescriptor[]): void {
    const batch = createMvccBatch(this.engine);
    for (const range of ranges) {
      for (const key of metaRecordKeys(range)) {
        const timestamp = this.clock.now();
        void batch.put(key, encodeDescriptor(range), { timestamp, txn: undefined, sequence: 0 });
      }
    }
    this.engine.apply(batch.writes);
  }

  async #serve(batch: BatchRequest): Promise<BatchResponse> {
    let instead = this.intercept?.(batch);
    if (instead instanceof Promise) instead = await instead;
    if (instead !== undefined) return instead;
    const found = this.replicas.find(({ rangeId }) => rangeId === batch.header.rangeId);
    if (found === undefined) {
      const { rangeId } = batch.header;
      return this.#failure({ kind: 'range-not-found', rangeId });
    }
    const [request] = batch.requests;
    if (request === undefined || !isAdmin(request)) return found.executor.execute(batch);
    if (request.kind === 'admin-split') {
      this.split(request.splitKey);
      const range = this.replicaFor(request.splitKey).descriptor;
      return {
        kind: 'ok',
        now: this.clock.now(),
        txn: undefined,
        results: [{ kind: 'admin', range }],
      };
    }
    if (request.kind === 'span-stats') {
      const stats = await computeStats(this.engine, request.start, request.end);
      return {
        kind: 'ok',
        now: this.clock.now(),
        txn: undefined,
        results: [{ kind: 'span-stats', stats }],
      };
    }
    if (request.kind === 'range-info') {
      if (this.replicaFor(request.key) !== found) {
        return this.#failure({ kind: 'range-key-mismatch', ranges: [found.descriptor] });
      }
      const info = {
        range: found.descriptor,
        leaseholder: replica,
        gcThreshold: zeroTimestamp,
        ...zeroSpanStats,
        queriesPerSecond: found.executor.load.perSecond(),
      };
      return {
        kind: 'ok',
        now: this.clock.now(),
        txn: undefined,
        results: [{ kind: 'range-info', info }],
      };
    }
    return this.#failure({ kind: 'invalid-request', reason: 'there is only one store' });
  }

  #failure(error: KvError): BatchResponse {
    return { kind: 'error', now: this.clock.now(), error, index: undefined };
  }

  #gossip(): Gossip {
    return {
      get: (key) => (key === gossipKeys.firstRange ? this.replicas[0]?.descriptor : undefined),
      list: () => [],
      set: () => undefined,
      watch: () => () => undefined,
    };
  }
}

function isAdmin(request: KvRequest): boolean {
  const { kind } = request;
  return kind.startsWith('admin-') || kind === 'range-info' || kind === 'span-stats';
}

const noTransport: Transport = {
  call: async () => {
    throw new TransportFailure('there is one node', { sent: false });
  },
  send: () => undefined,
  onCall: () => undefined,
  onMessage: () => undefined,
};
