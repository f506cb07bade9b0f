/**
 * The router takes batches to the ranges that serve them: it splits them by range, finds the
 * leaseholder, tries again where that is safe, and says so where it is not.
 *
 * What may be sent twice: reads, writes of an open transaction (their sequence numbers make a replay a
 * no-op), pushes and resolutions. A commit, a write beside a staged one, or a write without a transaction,
 * whose answer is lost is 'ambiguous-result' at once (traps X8, X9).
 */
import {
  ClusterSettings,
  containsKey,
  isPlainRead,
  KvFailure,
  kvSettings,
  laterTimestamp,
  requestSpan,
  TransportFailure,
  type BatchHeader,
  type BatchRequest,
  type BatchResponse,
  type CallOptions,
  type Gossip,
  type HlcClock,
  type KvError,
  type KvRequest,
  type KvResult,
  type NodeId,
  type RangeDescriptor,
  type RangeId,
  type ReplicaDescriptor,
  type ScanRequest,
  type ScanResult,
  type Sender,
  type Span,
  type Timestamp,
  type Transport,
  type TxnMeta,
} from '../kv/index.ts';
import { addressOf } from '../encoding/index.ts';
import { compareBytes, maxBytes, minBytes, sleep, type Env } from '../util/index.ts';
import { LeaseWaits } from './lease-waits.ts';
import { isLikelyClosed, nearestFirst } from './nearest.ts';
import { RangeBreaker } from './range-breaker.ts';
import { RangeCache, type CachedRange } from './range-cache.ts';
import { SilentPeers } from './silent-peers.ts';

export interface RouterOptions {
  readonly env: Env;
  readonly clock: HlcClock;
  readonly nodeId: NodeId;
  readonly transport: Transport;
  /** The stores of this node: batches to them do not leave the process. */
  readonly local: Sender | undefined;
  readonly gossip: Gossip;
  /** Without them the defaults hold. */
  readonly clusterSettings?: ClusterSettings;
  /** A batch that finds no leaseholder for this long fails with 'unavailable'. */
  readonly unavailableAfterMs?: number;
  /** One call to one node: how long an answer may take, waits for locks included. */
  readonly callTimeoutMs?: number;
  /** The same for calls whose lost answer is ambiguous. */
  readonly commitTimeoutMs?: number;
}

export type HeaderBase = Omit<
  BatchHeader,
  'rangeId' | 'storeId' | 'generation' | 'timestamp' | 'gatewayNodeId' | 'observed'
> & {
  /** The clocks of the nodes that the transaction has met, each as it was then; filled in here. */
  readonly observedClocks?: Map<NodeId, Timestamp>;
  /** The read timestamp is fixed, in the past as a rule. */
  readonly isPast?: boolean;
  /**
   * Writes beside a commit record that is being staged: whoever recovers the transaction may have resolved them by the time
   * of a second delivery, which would then lay new intents of a finished transaction down (trap X8).
   */
  readonly once?: boolean;
  /** False: nobody waits for the answer any more. */
  readonly isWanted?: () => boolean;
};

/**
 * 'moved': nothing was done, because the range does not hold all of the batch any more, or because nobody serves it
 * (`unserved`).
 */
interface Moved {
  readonly kind: 'moved';
  readonly unserved: RangeId | undefined;
  /** It was served for a while, and waited: what is left of its lock timeout. */
  readonly waited: { readonly lockTimeoutMs: number } | undefined;
}

type RangeAnswer = BatchResponse | Moved;

/** What one round of sending hands on to the next. */
interface Course {
  header: HeaderBase;
  /** When a range that nobody serves is given up, on the monotonic clock. */
  deadlineMs: number;
  unserved: RangeId | undefined;
}

/** No field may be forgotten, though some may be undefined. */
type AllOf<T> = { readonly [Key in keyof Required<T>]: T[Key] };

interface Part {
  /** Index of the request in the whole batch. */
  readonly index: number;
  readonly request: KvRequest;
}

const minBackoffMs = 5;
const maxBackoffMs = 500;
/** Meta records read at once: neighbours are likely to be asked for next. */
const metaPrefetch = 16;

export class Router {
  readonly #options: RouterOptions;
  readonly #cache: RangeCache;
  readonly #leaseWaits: LeaseWaits;
  readonly #breaker = new RangeBreaker();
  readonly #silentPeers = new SilentPeers();
  readonly #settings: ClusterSettings;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#settings = options.clusterSettings ?? new ClusterSettings();
    this.#leaseWaits = new LeaseWaits(options.env);
    this.#cache = new RangeCache(options.gossip, (range, span) => this.#scanMeta(range, span));
  }

  /** Nothing (or something again) was heard of a node for as long as stores wait for each other. */
  setSilent(node: NodeId, isSilent: boolean): void {
    this.#silentPeers.set(node, isSilent);
  }

  /** For the range layer: routes by key, the header's range is ignored. */
  get keySender(): Sender {
    return {
      send: (batch) => this.sendBatch(batch.header, batch.requests),
    };
  }

  /** For callers that know the range: `header.rangeId` tells which of the cached ranges is meant. */
  get rangeSender(): Sender {
    return {
      send: async (batch) => {
        const first = batch.requests[0];
        if (first === undefined) return this.#failure({ kind: 'invalid-request', reason: 'empty' });
        const found = await this.#find(requestSpan(first).start, false, this.#deadline());
        if (found.kind === 'error') return found;
        if (found.entry.range.rangeId !== batch.header.rangeId) {
          const { rangeId } = batch.header;
          return this.#failure({ kind: 'range-not-found', rangeId });
        }
        const answer = await this.#sendToRange(found.entry, batch.header, batch.requests);
        return answer.kind === 'moved'
          ? this.#failure({ kind: 'range-key-mismatch', ranges: [] })
          : answer;
      },
    };
  }

  /**
   * Sends every request to the range or ranges that hold its keys, in parallel. Not for scans, whose
   * pages end with their range. Across ranges the batch is not atomic.
   */
  async sendBatch(header: HeaderBase, requests: readonly KvRequest[]): Promise<BatchResponse> {
    const [first] = requests;
    if (requests.length === 1 && first !== undefined) {
      // The common case needs no bookkeeping.
      const span = requestSpan(first);
      const entry = this.#cache.cached(span.start, false);
      if (entry !== undefined && isInside(entry.range, span)) {
        const answer = await this.#sendToRange(entry, header, requests);
        if (answer.kind !== 'moved') return answer;
        const course = this.#setOut(header);
        this.#noteMoved(course, answer);
        return this.#sendParts(course, requests);
      }
    }
    return this.#sendParts(this.#setOut(header), requests);
  }

  async #sendParts(course: Course, requests: readonly KvRequest[]): Promise<BatchResponse> {
    const results: (KvResult | undefined)[] = requests.map(() => undefined);
    let { txn } = course.header;
    let isFollowerRead = false;
    let pending: Part[] = requests.map((request, index) => ({ index, request }));
    for (let round = 0; pending.length > 0; round++) {
      const end =
        round > 0 ? await this.#backOff(round, course.deadlineMs, course.unserved) : undefined;
      if (end !== undefined) return end;
      const groups = await this.#group(pending, course.deadlineMs);
      if (!(groups instanceof Map)) return groups;
      // Each range could move the read timestamp to somewhere else: only one may.
      const alone = groups.size === 1 && round === 0;
      const { isWanted } = course.header;
      let failure: Extract<BatchResponse, { kind: 'error' }> | undefined;
      let base = alone ? course.header : { ...course.header, canForwardReadTimestamp: false };
      if (groups.size > 1) {
        // What has failed in one range does not wait in another.
        base = { ...base, isWanted: () => failure === undefined && isWanted?.() !== false };
      }
      pending = [];
      const sent = [...groups].map(async ([entry, parts]) => {
        const answer = await this.#sendToRange(
          entry,
          { ...base, txn: base.txn },
          parts.map((part) => part.request),
        );
        if (answer.kind === 'moved') {
          pending.push(...parts);
          this.#noteMoved(course, answer);
        } else if (answer.kind === 'error') {
          // Without its first failure nobody would have stopped waiting.
          if (failure === undefined || answer.error.kind !== 'canceled')
            failure = worse(failure, withIndex(answer, parts));
        } else {
          txn = mergeTxn(txn, answer.txn);
          isFollowerRead ||= answer.isFollowerRead === true;
          for (const [i, part] of parts.entries()) results[part.index] ??= answer.results[i];
        }
      });
      await Promise.all(sent);
      if (failure !== undefined) return failure;
    }
    return {
      kind: 'ok',
      now: this.#options.clock.now(),
      txn,
      results: results.filter((result) => result !== undefined),
      isFollowerRead,
    };
  }

  /** Sends all requests in one batch to one range; undefined when no single range holds them all. */
  async sendToOneRange(
    header: HeaderBase,
    requests: readonly KvRequest[],
  ): Promise<BatchResponse | undefined> {
    const first = requests[0];
    if (first === undefined) return undefined;
    const course = this.#setOut(header);
    for (let round = 0; ; round++) {
      const failure =
        round > 0 ? await this.#backOff(round, course.deadlineMs, course.unserved) : undefined;
      if (failure !== undefined) return failure;
      const found = await this.#find(requestSpan(first).start, false, course.deadlineMs);
      if (found.kind === 'error') return found;
      if (!requests.every((request) => isInside(found.entry.range, requestSpan(request)))) {
        return undefined;
      }
      const answer = await this.#sendToRange(found.entry, course.header, requests);
      if (answer.kind !== 'moved') return answer;
      this.#noteMoved(course, answer);
    }
  }

  /** One page of a scan: the part of the span that lies in its first (or, in reverse, last) range. */
  async sendScan(header: HeaderBase, request: ScanRequest): Promise<BatchResponse> {
    const course = this.#setOut(header);
    for (let round = 0; ; round++) {
      const failure =
        round > 0 ? await this.#backOff(round, course.deadlineMs, course.unserved) : undefined;
      if (failure !== undefined) return failure;
      const from = request.reverse ? request.end : request.start;
      const found = await this.#find(from, request.reverse, course.deadlineMs);
      if (found.kind === 'error') return found;
      const { range } = found.entry;
      const start = maxBytes(request.start, range.startKey);
      const end = minBytes(request.end, range.endKey);
      const answer = await this.#sendToRange(found.entry, course.header, [
        { ...request, start, end },
      ]);
      if (answer.kind === 'moved') {
        this.#noteMoved(course, answer);
        continue;
      }
      const result = answer.kind === 'ok' ? answer.results[0] : undefined;
      if (answer.kind === 'error' || result?.kind !== 'scan') return answer;
      return { ...answer, results: [withRest(result, request, start, end)] };
    }
  }

  #setOut(header: HeaderBase): Course {
    return { header, deadlineMs: this.#deadline(), unserved: undefined };
  }

  /** Whoever has waited was served until then: it looks for the next one as long as at first. */
  #noteMoved(course: Course, { unserved, waited }: Moved): void {
    course.unserved = unserved;
    if (waited === undefined) return;
    course.deadlineMs = this.#deadline();
    course.header = { ...course.header, ...waited };
  }

  /** To a node, of what is no batch; given up when the node stands still. Rejects with TransportFailure. */
  call(to: NodeId, method: string, payload: unknown, options: CallOptions): Promise<unknown> {
    return this.#silentPeers.guard(to, () =>
      this.#options.transport.call(to, method, payload, options),
    );
  }

  /** The range that holds `key` as far as is known. Throws KvFailure 'unavailable'. */
  async rangeOf(key: Buffer): Promise<RangeDescriptor> {
    const found = await this.#find(key, false, this.#deadline());
    if (found.kind === 'error') throw new KvFailure(found.error);
    return found.entry.range;
  }

  cachedRangeOf(key: Buffer): RangeDescriptor | undefined {
    return this.#cache.cached(key, false)?.range;
  }

  /** The range of `key` is known, and any replica of it can serve reads of the present. */
  closesAhead(key: Buffer): boolean {
    return this.#cache.cached(key, false)?.closesAhead === true;
  }

  #deadline(): number {
    return this.#options.env.clock.monotonicMs() + (this.#options.unavailableAfterMs ?? 30_000);
  }

  /** Waits before the next try; what to answer when there is no time left, or no use in it. */
  async #backOff(
    round: number,
    deadlineMs: number,
    unserved?: RangeId,
  ): Promise<Extract<BatchResponse, { kind: 'error' }> | undefined> {
    const { env } = this.#options;
    const nowMs = env.clock.monotonicMs();
    if (unserved !== undefined) {
      const outageMs = this.#breaker.unserved(unserved, nowMs);
      const thresholdMs = this.#settings.get(kvSettings.slowReplicationThreshold);
      if (thresholdMs > 0 && outageMs >= thresholdMs) {
        const seconds = Math.round(outageMs / 1000);
        return this.#unavailable(`no replica has served range ${unserved} for ${seconds} s`);
      }
    }
    if (nowMs >= deadlineMs) return this.#unavailable('no replica serves the range');
    if (unserved !== undefined) {
      await this.#leaseWaits.wait(unserved, round);
      return undefined;
    }
    const base = Math.min(minBackoffMs * 2 ** Math.min(round - 1, 10), maxBackoffMs);
    await sleep(env, base * (0.5 + env.random.float() / 2));
    return undefined;
  }

  async #find(
    key: Buffer,
    before: boolean,
    deadlineMs: number,
  ): Promise<
    | { readonly kind: 'found'; readonly entry: CachedRange }
    | Extract<BatchResponse, { kind: 'error' }>
  > {
    const cached = this.#cache.cached(key, before);
    if (cached !== undefined) return { kind: 'found', entry: cached };
    for (let round = 1; ; round++) {
      try {
        const entry = await this.#cache.find(key, before);
        if (entry !== undefined) return { kind: 'found', entry };
      } catch (error) {
        if (!(error instanceof KvFailure)) throw error;
      }
      const failure = await this.#backOff(round, deadlineMs);
      if (failure !== undefined) return failure;
    }
  }

  /** Assigns requests to ranges; spans over several ranges are cut. */
  async #group(
    parts: readonly Part[],
    deadlineMs: number,
  ): Promise<Map<CachedRange, Part[]> | Extract<BatchResponse, { kind: 'error' }>> {
    const groups = new Map<CachedRange, Part[]>();
    const add = (entry: CachedRange, part: Part): void => {
      const group = groups.get(entry);
      if (group === undefined) groups.set(entry, [part]);
      else group.push(part);
    };
    let last: CachedRange | undefined;
    for (const { index, request } of parts) {
      const span = requestSpan(request);
      if (last !== undefined && isInside(last.range, span)) {
        // Most often the neighbour's range holds this one too.
        groups.get(last)?.push({ index, request });
        continue;
      }
      let start = span.start;
      while (true) {
        const found = await this.#find(start, false, deadlineMs);
        if (found.kind === 'error') return found;
        const { entry } = found;
        if (span.end === undefined || compareBytes(span.end, entry.range.endKey) <= 0) {
          add(entry, { index, request: clip(request, start, span.end) });
          last = entry;
          break;
        }
        add(entry, { index, request: clip(request, start, entry.range.endKey) });
        start = entry.range.endKey;
      }
    }
    return groups;
  }

  async #sendToRange(
    entry: CachedRange,
    header: HeaderBase,
    requests: readonly KvRequest[],
  ): Promise<RangeAnswer> {
    const { range } = entry;
    const { lockTimeoutMs } = header;
    const { clock: time } = this.#options.env;
    const beganMs = lockTimeoutMs > 0 ? time.monotonicMs() : 0;
    let base = header;
    let waited: Moved['waited'];
    const isNear = this.#readsNear(entry, base, requests);
    // The rest of the candidates are only needed when the last leaseholder is none any more.
    let untried = isNear
      ? nearestFirst(range.replicas, this.#options.nodeId, this.#options.gossip)
      : entry.leaseholder === undefined
        ? this.#candidates(entry)
        : undefined;
    // Hints may point back to a replica that was asked before; a few such turns are allowed.
    let hints = 3;
    let replica = untried === undefined ? entry.leaseholder : untried.shift();
    for (; replica !== undefined; replica = (untried ??= this.#others(entry, replica)).shift()) {
      const answer = await this.#sendToReplica(replica, range, base, requests);
      if (answer === 'no-answer') continue;
      this.#options.clock.observe(answer.now);
      if (base.observedClocks?.has(replica.nodeId) === false) {
        base.observedClocks.set(replica.nodeId, answer.now);
      }
      if (answer.kind === 'ok') {
        if (base.consistency !== 'inconsistent') entry.closesAhead = answer.closesAhead === true;
        if (base.consistency !== 'inconsistent' && answer.isFollowerRead !== true) {
          entry.leaseholder = replica;
          this.#leaseWaits.served(range.rangeId);
          this.#breaker.served(range.rangeId);
        }
        return answer;
      }
      const { error } = answer;
      switch (error.kind) {
        case 'not-leaseholder': {
          if (entry.leaseholder?.replicaId === replica.replicaId) entry.leaseholder = undefined;
          if (error.range !== undefined) this.#cache.insert(error.range);
          const hint = error.leaseholder;
          if (hint !== undefined && hint.replicaId !== replica.replicaId && hints > 0) {
            hints--;
            untried ??= this.#others(entry, replica);
            const at = untried.findIndex((other) => other.replicaId === hint.replicaId);
            if (at !== -1) untried.splice(at, 1);
            untried.unshift(hint);
          }
          continue;
        }
        case 'range-not-found':
          if (entry.leaseholder?.replicaId === replica.replicaId) entry.leaseholder = undefined;
          continue;
        case 'range-key-mismatch':
          this.#cache.evict(entry);
          for (const fresh of error.ranges) this.#cache.insert(fresh);
          return { kind: 'moved', unserved: undefined, waited };
        case 'still-waiting':
          if (base.isWanted?.() === false) return { ...answer, error: { kind: 'canceled' } };
          waited = {
            lockTimeoutMs:
              lockTimeoutMs > 0
                ? Math.max(1, lockTimeoutMs - (time.monotonicMs() - beganMs))
                : lockTimeoutMs,
          };
          base = { ...base, ...waited };
          (untried ??= this.#others(entry, replica)).unshift(replica);
          continue;
        case 'ambiguous-result':
          // Whoever serves the range now knows what the former leaseholder has done of it: as if no answer had come.
          if (isOnce(base, requests) || requests.some(asksForCommit)) return answer;
          continue;
        default:
          return answer;
      }
    }
    // Nobody serves it: the descriptor may be old, or an election is under way.
    this.#cache.doubt(entry);
    return { kind: 'moved', unserved: range.rangeId, waited };
  }

  #readsNear(
    { closesAhead }: CachedRange,
    { isPast, nearest, txn, anyReplica }: HeaderBase,
    requests: readonly KvRequest[],
  ): boolean {
    if (anyReplica !== true || txn === undefined) return false;
    if (nearest === true) return true;
    if (closesAhead) return requests.every(isPlainRead);
    if (isPast !== true) return false;
    return isLikelyClosed(txn.readTimestamp, this.#options.clock.now().wall, this.#settings);
  }

  /** The last leaseholder first, then the voter of this node, then the others. */
  #candidates(entry: CachedRange): ReplicaDescriptor[] {
    const rank = (replica: ReplicaDescriptor): number => {
      if (replica.replicaId === entry.leaseholder?.replicaId) return 0;
      // Without a vote nobody holds a lease.
      if (replica.kind === 'learner' || replica.kind === 'non-voter') return 3;
      return replica.nodeId === this.#options.nodeId ? 1 : 2;
    };
    return [...entry.range.replicas].sort((a, b) => rank(a) - rank(b));
  }

  #others(entry: CachedRange, tried: ReplicaDescriptor): ReplicaDescriptor[] {
    return this.#candidates(entry).filter((other) => other.replicaId !== tried.replicaId);
  }

  async #sendToReplica(
    replica: ReplicaDescriptor,
    range: RangeDescriptor,
    base: HeaderBase,
    requests: readonly KvRequest[],
  ): Promise<BatchResponse | 'no-answer'> {
    const { nodeId, local, transport } = this.#options;
    const batch: BatchRequest = { header: this.#headerTo(replica, range, base), requests };
    if (replica.nodeId === nodeId && local !== undefined) return local.send(batch);
    const once = isOnce(base, requests);
    const timeoutMs = once
      ? (this.#options.commitTimeoutMs ?? 300_000)
      : (this.#options.callTimeoutMs ?? 60_000);
    try {
      const answer = await this.#silentPeers.guard(replica.nodeId, () =>
        transport.call(replica.nodeId, 'batch', batch, { timeoutMs, traffic: 'batch' }),
      );
      return checkedResponse(answer);
    } catch (error) {
      if (!(error instanceof TransportFailure)) throw error;
      if (!error.sent || !once) return 'no-answer';
      const reason = 'the connection was lost before the answer came';
      return this.#failure({ kind: 'ambiguous-result', reason });
    }
  }

  /** Field by field: to copy `base` and leave out what stays here costs several microseconds per request. */
  #headerTo(
    { nodeId, storeId }: ReplicaDescriptor,
    { rangeId, generation }: RangeDescriptor,
    base: HeaderBase,
  ): AllOf<BatchHeader> {
    return {
      rangeId,
      storeId,
      generation,
      timestamp: this.#options.clock.now(),
      txn: base.txn,
      observed: base.observedClocks?.get(nodeId),
      gatewayNodeId: this.#options.nodeId,
      waitPolicy: base.waitPolicy,
      lockTimeoutMs: base.lockTimeoutMs,
      consistency: base.consistency,
      canForwardReadTimestamp: base.canForwardReadTimestamp,
      nearest: base.nearest,
      anyReplica: base.anyReplica,
    };
  }

  async #scanMeta(
    entry: CachedRange,
    span: { readonly start: Buffer; readonly end: Buffer },
  ): Promise<readonly Buffer[]> {
    const answer = await this.#sendToRange(
      entry,
      {
        txn: undefined,
        waitPolicy: 'block',
        lockTimeoutMs: 0,
        consistency: 'inconsistent',
        canForwardReadTimestamp: false,
      },
      [
        {
          kind: 'scan',
          start: span.start,
          end: span.end,
          reverse: false,
          lock: 'none',
          maxRows: metaPrefetch,
          maxBytes: 0,
          program: undefined,
        },
      ],
    );
    const result = answer.kind === 'ok' ? answer.results[0] : undefined;
    if (result?.kind === 'scan') return result.values;
    throw new KvFailure({ kind: 'unavailable', reason: 'a range lookup failed' });
  }

  #failure(error: KvError): Extract<BatchResponse, { kind: 'error' }> {
    return { kind: 'error', now: this.#options.clock.now(), error, index: undefined };
  }

  #unavailable(reason: string): Extract<BatchResponse, { kind: 'error' }> {
    return this.#failure({ kind: 'unavailable', reason });
  }
}

/** What became of a one-phase commit: who does not know it will not know it later. */
function asksForCommit(request: KvRequest): boolean {
  return request.kind === 'end-txn' && !request.commit && request.onePhase;
}

/** True when a second delivery could do something again, or could not tell what the first did. */
function isOnce({ once, txn }: HeaderBase, requests: readonly KvRequest[]): boolean {
  if (once === true) return true;
  return requests.some((request) => {
    switch (request.kind) {
      case 'end-txn':
        return request.commit || request.twoPhase === 'finish';
      case 'put':
      case 'insert':
      case 'delete':
      case 'conditional-put':
        return txn === undefined;
      case 'increment':
      case 'admin-split':
      case 'admin-unsplit':
      case 'admin-merge':
      case 'admin-change-replicas':
      case 'admin-relocate':
        return true;
      default:
        return false;
    }
  });
}

export function isInside(range: Pick<RangeDescriptor, 'startKey' | 'endKey'>, span: Span): boolean {
  return (
    containsKey(range, addressOf(span.start)) &&
    (span.end === undefined || compareBytes(span.end, range.endKey) <= 0)
  );
}

/** The request limited to [start, end). */
function clip(request: KvRequest, start: Buffer, end: Buffer | undefined): KvRequest {
  if (end === undefined) return request;
  switch (request.kind) {
    case 'refresh':
    case 'resolve-locks':
    case 'release-locks':
    case 'announce-commit':
      return { ...request, span: { start, end } };
    case 'clear-range':
    case 'scan':
      return { ...request, start, end };
    default:
      return request;
  }
}

function withRest(
  result: ScanResult,
  request: ScanRequest,
  start: Buffer,
  end: Buffer,
): ScanResult {
  const { resume } = result;
  const rest = request.reverse
    ? { start: request.start, end: resume?.end ?? start }
    : { start: resume?.start ?? end, end: request.end };
  return { ...result, resume: compareBytes(rest.start, rest.end) < 0 ? rest : undefined };
}

export function mergeTxn(a: TxnMeta | undefined, b: TxnMeta | undefined): TxnMeta | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    ...a,
    readTimestamp: laterTimestamp(a.readTimestamp, b.readTimestamp),
    writeTimestamp: laterTimestamp(a.writeTimestamp, b.writeTimestamp),
  };
}

type Failure = Extract<BatchResponse, { kind: 'error' }>;

/** Of the failures of several ranges, the one that says most: an ambiguous one, then what ends the transaction. */
function worse(a: Failure | undefined, b: Failure): Failure {
  const rank = ({ error }: Failure): number => {
    if (error.kind === 'ambiguous-result') return 0;
    if (error.kind === 'txn-aborted' || error.kind === 'deadlock') return 1;
    if (error.kind === 'write-too-old' || error.kind === 'read-within-uncertainty') return 3;
    return 2;
  };
  return a === undefined || rank(b) < rank(a) ? b : a;
}

function withIndex(answer: Failure, parts: readonly Part[]): Failure {
  return answer.index === undefined ? answer : { ...answer, index: parts[answer.index]?.index };
}

/** The shape of what came over the wire. */
function checkedResponse(value: unknown): BatchResponse {
  if (typeof value === 'object' && value !== null && 'kind' in value && 'now' in value) {
    if (value.kind === 'ok' || value.kind === 'error') return value as BatchResponse;
  }
  throw new KvFailure({ kind: 'corruption', reason: 'a batch answer has the wrong shape' });
}
