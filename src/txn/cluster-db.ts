/** ClusterDb: transactions and housekeeping over all ranges of a cluster. */
import {
  addMicros,
  addSpanStats,
  ClusterSettings,
  KvFailure,
  zeroSpanStats,
  zeroTimestamp,
  type ChecksumTrigger,
  type Db,
  type FeedOptions,
  type HlcClock,
  type KeyState,
  type KvRequest,
  type KvResult,
  newTxnId,
  type NodeId,
  type PreparedTxn,
  type RangeDescriptor,
  type Member,
  type Membership,
  type Memberships,
  type RangeCheck,
  type RangeInfo,
  type RelocationTarget,
  type RowProgramCompiler,
  type SpanFeed,
  type SpanStats,
  type StoreId,
  type Timestamp,
  type Txn,
  type TxnMeta,
  type TxnOptions,
} from '../kv/index.ts';
import { keyMin } from '../encoding/index.ts';
import { maxBytes, minBytes, Pace, sleep, type Env } from '../util/index.ts';
import { Assumptions } from './assumptions.ts';
import { ClusterTxn, type TxnParts } from './cluster-txn.ts';
import { currentHeader, resultOf, wrongAnswer } from './current.ts';
import { newTxnCounters, type TxnCounters } from './counters.ts';
import { ClusterFeed } from './feed/cluster-feed.ts';
import { scanDescriptors } from './range-descriptors.ts';
import { endPrepared, stateOfPrepared } from './prepared.ts';
import { changeMembership, readMemberships } from './memberships.ts';
import { type Router } from './router.ts';

export interface ClusterDbOptions {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly router: Router;
  /** Without them the defaults hold. */
  readonly clusterSettings?: ClusterSettings;
  /** Lets scans over a transaction's own buffered writes run their program at the gateway. */
  readonly rowPrograms?: RowProgramCompiler;
  /** The newest committed value that a replica on this node has; undefined when none is known. */
  readonly peek?: (key: Buffer) => Buffer | undefined;
}

const priorities = { low: 0, normal: 1, high: 2 } as const;
const maxAttempts = 100;
const scatteredAtOnce = 4;
const maxBackoffMs = 200;

export class ClusterDb implements Db {
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly #env: Env;
  readonly #router: Router;
  readonly #parts: TxnParts;
  readonly #background = new Set<Promise<void>>();
  #lastStream = 0;

  constructor(options: ClusterDbOptions) {
    this.clock = options.clock;
    this.nodeId = options.nodeId;
    this.#env = options.env;
    this.#router = options.router;
    this.#parts = {
      env: options.env,
      router: options.router,
      nodeId: options.nodeId,
      clock: options.clock,
      settings: options.clusterSettings ?? new ClusterSettings(),
      bulkPace: new Pace(options.env),
      rowPrograms: options.rowPrograms,
      assumptions:
        options.peek === undefined ? undefined : new Assumptions(options.env.clock, options.peek),
      counters: newTxnCounters(),
      background: (work, what) => this.#runBehind(work, what),
    };
  }

  get counters(): Readonly<TxnCounters> {
    return this.#parts.counters;
  }

  begin(options: TxnOptions = {}): Txn {
    const now = this.clock.now();
    const readTimestamp = options.asOf ?? now;
    const meta: TxnMeta = {
      id: newTxnId(now, this.nodeId, this.#env.random.bytes(3)),
      anchor: undefined,
      epoch: 0,
      isolation: options.isolation ?? 'serializable',
      priority: priorities[options.priority ?? 'normal'],
      readTimestamp,
      writeTimestamp: readTimestamp,
      minTimestamp: readTimestamp,
      uncertaintyLimit:
        options.asOf === undefined ? addMicros(now, this.clock.maxOffsetMicros) : readTimestamp,
      sequence: 0,
      ignoredSequences: [],
    };
    return new ClusterTxn(this.#parts, meta, options);
  }

  async run<T>(options: TxnOptions, body: (txn: Txn) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const txn = this.begin(options);
      try {
        const result = await body(txn);
        await txn.commit();
        return result;
      } catch (error) {
        await txn.rollback();
        const again = error instanceof KvFailure && isRestartable(error) && attempt < maxAttempts;
        if (!again) throw error;
        const backoffMs = Math.min(2 ** Math.min(attempt, 10), maxBackoffMs);
        await sleep(this.#env, backoffMs * this.#env.random.float());
      }
    }
  }

  endPrepared(
    prepared: PreparedTxn,
    end: 'commit' | 'abort',
    options: Pick<TxnOptions, 'strict'> = {},
  ): Promise<boolean> {
    return endPrepared(this.#parts, prepared, end, options);
  }

  stateOfPrepared(prepared: PreparedTxn): Promise<'open' | 'prepared' | 'ended'> {
    return stateOfPrepared(this.#parts, prepared);
  }

  async readCurrent(key: Buffer): Promise<Buffer | undefined> {
    // What is current is for a leaseholder to say; what has happened before now, for any replica that knows it.
    if (this.#router.closesAhead(key)) {
      return this.run({ name: 'current read' }, (txn) => txn.get(key));
    }
    const result = await this.#one({ kind: 'get', key, lock: 'none' });
    return result.kind === 'get' ? result.value : undefined;
  }

  async stateOfKey(key: Buffer): Promise<KeyState> {
    const result = await this.#one({ kind: 'query-key', key });
    if (result.kind !== 'query-key') throw wrongAnswer();
    return result.state;
  }

  async increment(key: Buffer, by: bigint): Promise<bigint> {
    const result = await this.#one({ kind: 'increment', key, by });
    if (result.kind !== 'increment') throw wrongAnswer();
    return result.value;
  }

  async ranges(start: Buffer, end: Buffer): Promise<RangeInfo[]> {
    const from = maxBytes(start, keyMin);
    // What is cached tells where to ask, all ranges at once; what they answer tells what was missing.
    const keys: Buffer[] = [];
    for (let key = from; key.compare(end) < 0;) {
      keys.push(key);
      key = (await this.#router.rangeOf(key)).endKey;
    }
    const infos = new Map<number, RangeInfo>();
    for (const info of await Promise.all(keys.map((key) => this.#rangeInfo(key)))) {
      infos.set(info.range.rangeId, info);
    }
    const found: RangeInfo[] = [];
    const sorted = [...infos.values()];
    for (let key = from; key.compare(end) < 0;) {
      const at = key;
      const info =
        sorted.find(
          ({ range }) => range.startKey.compare(at) <= 0 && range.endKey.compare(at) > 0,
        ) ?? (await this.#rangeInfo(at));
      found.push(info);
      key = info.range.endKey;
    }
    return found;
  }

  async rangeDescriptors(start: Buffer, end: Buffer): Promise<RangeDescriptor[]> {
    return this.run({ name: 'list of ranges' }, (txn) => scanDescriptors(txn, start, end));
  }

  async spanStats(start: Buffer, end: Buffer): Promise<SpanStats> {
    let sum = zeroSpanStats;
    for (let from = start; from.compare(end) < 0;) {
      const to = minBytes((await this.#router.rangeOf(from)).endKey, end);
      const request: KvRequest = { kind: 'span-stats', start: from, end: to };
      const response = await this.#router.sendToOneRange(currentHeader, [request]);
      // The range ends earlier by now: the router knows where.
      if (response === undefined) continue;
      const result = resultOf(response);
      if (result.kind !== 'span-stats') throw wrongAnswer();
      sum = addSpanStats(sum, result.stats);
      from = to;
    }
    return sum;
  }

  async checkConsistency(
    start: Buffer,
    end: Buffer,
    mode: ChecksumTrigger['mode'] = 'data',
  ): Promise<RangeCheck[]> {
    const found: RangeCheck[] = [];
    for (let key = maxBytes(start, keyMin); key.compare(end) < 0;) {
      const check = await this.#checkRange(key, mode);
      found.push(check);
      key = check.range.endKey;
    }
    return found;
  }

  async #checkRange(key: Buffer, mode: ChecksumTrigger['mode']): Promise<RangeCheck> {
    const since = this.clock.now().wall;
    try {
      for (;;) {
        const result = await this.#one({ kind: 'check-consistency', key, mode, since });
        if (result.kind !== 'check-consistency') throw wrongAnswer();
        if (result.check !== undefined) return result.check;
      }
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      const range = await this.#router.rangeOf(key);
      const durationMicros = this.clock.now().wall - since;
      return { range, status: 'indeterminate', detail: error.message, durationMicros };
    }
  }

  async #rangeInfo(key: Buffer): Promise<RangeInfo> {
    const result = await this.#one({ kind: 'range-info', key });
    if (result.kind !== 'range-info') throw wrongAnswer();
    return result.info;
  }

  async split(splitKey: Buffer, options: { readonly expiration?: Timestamp } = {}): Promise<void> {
    const expiration = options.expiration ?? zeroTimestamp;
    await this.#one({ kind: 'admin-split', splitKey, expiration });
  }

  async unsplit(key: Buffer): Promise<void> {
    await this.#one({ kind: 'admin-unsplit', key });
  }

  async mergeRight(key: Buffer): Promise<void> {
    await this.#one({ kind: 'admin-merge', key });
  }

  async transferLease(key: Buffer, to: StoreId): Promise<void> {
    await this.#one({ kind: 'admin-transfer-lease', key, to });
  }

  async changeReplicas(key: Buffer, change: Parameters<Db['changeReplicas']>[1]): Promise<void> {
    await this.#one({ kind: 'admin-change-replicas', key, ...change });
  }

  async relocateRange(key: Buffer, to: RelocationTarget): Promise<void> {
    const { voters, nonVoters, leaseholder } = to;
    await this.#one({ kind: 'admin-relocate', key, voters, nonVoters, leaseholder });
  }

  async scatter(start: Buffer, end: Buffer): Promise<void> {
    const ranges = await this.rangeDescriptors(start, end);
    const scatterNext = async (): Promise<void> => {
      for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
        await this.#scatterRange(maxBytes(range.startKey, keyMin));
      }
    };
    await Promise.all(Array.from({ length: scatteredAtOnce }, scatterNext));
  }

  async #scatterRange(key: Buffer): Promise<void> {
    try {
      const result = await this.#one({ kind: 'admin-draw-placement', key });
      if (result.kind !== 'placement') throw wrongAnswer();
      if (result.to !== undefined) await this.relocateRange(key, result.to);
    } catch (error) {
      // Perhaps it changes just now, or nobody serves it: it stays where it is.
      if (!(error instanceof KvFailure)) throw error;
      this.#env.log.debug({ error: error.message }, 'a range was not scattered');
    }
  }

  feed(options: FeedOptions): SpanFeed {
    const parts = {
      env: this.#env,
      clock: this.clock,
      router: this.#router,
      rangeInfo: (key: Buffer) => this.#rangeInfo(key),
      newStreamId: () => this.#newStreamId(),
    };
    return new ClusterFeed(parts, options);
  }

  /** Not used by an earlier life of this node either: its clock does not go back. */
  #newStreamId(): number {
    this.#lastStream = Math.max(this.#lastStream + 1, this.clock.now().wall);
    return this.#lastStream;
  }

  memberships(): Promise<Memberships> {
    return readMemberships(this);
  }

  setMembership(member: Member, membership: Membership): Promise<void> {
    return changeMembership(this, member, membership);
  }

  async clearRange(start: Buffer, end: Buffer, threshold: Timestamp): Promise<void> {
    if (start.compare(end) >= 0) return;
    await this.#one({ kind: 'clear-range', start, end, threshold });
  }

  /** Resolves when all clean-up that was under way has ended. */
  async settled(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  async #one(request: KvRequest): Promise<KvResult> {
    return resultOf(await this.#router.sendBatch(currentHeader, [request]));
  }

  #runBehind(work: Promise<unknown>, what: string): void {
    const watched: Promise<void> = work.then(
      () => undefined,
      (error: unknown) => {
        this.#env.log.warn({ error: String(error) }, `${what} failed`);
      },
    );
    this.#background.add(watched);
    watched.then(
      () => this.#background.delete(watched),
      () => undefined,
    );
  }
}

function isRestartable({ kvError }: KvFailure): boolean {
  return (
    kvError.kind === 'txn-retry' || kvError.kind === 'txn-aborted' || kvError.kind === 'deadlock'
  );
}
