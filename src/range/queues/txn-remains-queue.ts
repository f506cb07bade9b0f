/**
 * What is left of transactions whose coordinator is gone, when nobody has come across it: intents, records, locks in memory.
 * Every leaseholder that has any looks through its range now and then, asks the anchors of transactions that are not young any
 * more what became of them (that aborts who was abandoned, and ends a parallel commit), and resolves.
 *
 *   a pending or staged record   was abandoned when its last heartbeat is too old
 *   a committed record           all that it names is resolved; it goes much later
 *   a prepared record            stays
 *   no record                    was abandoned when there is none a few seconds later either
 *
 * Order (traps T5, X5): a committed record goes only when all that it names has been resolved by those who hold the leases then,
 * and `recordKeptMs` after its commit: whoever would take what is gone for aborted has given up by then.
 */
import { isLocalKey, localSpanOf, txnOfRecordKey } from '../../encoding/index.ts';
import {
  type RangeDescriptor,
  type Span,
  type TxnId,
  type TxnMeta,
  type TxnRecord,
} from '../../kv/index.ts';
import {
  HeadReader,
  headSpan,
  keyOfHead,
  keySpans,
  unversionedSpan,
  type EngineReader,
} from '../../storage/index.ts';
import { nextKey, sleep } from '../../util/index.ts';
import { ownerOf } from '../concurrency/lock-table.ts';
import { decodeRecord } from '../evaluate/txn-record.ts';
import { abandonedAfterMs } from '../evaluate/txn-requests.ts';
import { type Replica } from '../replica/replica.ts';
import { type Store } from '../store/store.ts';

/** What is younger belongs to somebody, or is about to be settled by somebody else. */
const youngMs = 10_000;
const restMs = 20_000;
/** A range rests for so many times the duration of its last pass. */
const restFactor = 20;
/** And the store before it looks through the next one. */
const storeRestFactor = 10;
/** No coordinator waits that long for an answer. */
const recordKeptMs = 3_600_000;
const maxTxns = 1_000;
const maxBusy = 4;
const pageSize = 256;
/** From so many intents on they are resolved as one span. */
const manyIntents = 100;

/** Of a range, as of its last pass. */
interface Past {
  readonly atMs: number;
  readonly tookMs: number;
  /** Where the range stood, when nothing was left. */
  readonly cleanIndex: number;
  /** Committed transactions whose intents are resolved and whose records are kept. */
  readonly resolved: ReadonlySet<TxnId>;
}

const never: Past = { atMs: -Infinity, tookMs: 0, cleanIndex: 0, resolved: new Set() };

interface Found {
  readonly txn: TxnMeta;
  readonly keys: Buffer[];
  last: Buffer | undefined;
}

interface Scanned {
  /** Of transactions that are not young: to be asked for. */
  readonly found: Map<TxnId, Found>;
  /** Records of such that have committed. */
  readonly committed: readonly TxnRecord[];
  /** Those whose record has nothing to tell any more. */
  readonly kept: Set<TxnId>;
  readonly isClean: boolean;
}

export class TxnRemainsQueue {
  readonly #store: Store;
  readonly #past = new WeakMap<Replica, Past>();
  /** Since when each look at the range has seen something: what belongs to somebody comes and goes. */
  readonly #sinceMs = new WeakMap<Replica, number>();
  #busy = 0;
  #isScanning = false;
  #restUntilMs = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Begins a pass over a range that is due; it goes on behind the pass of the queues. */
  visit(replica: Replica): void {
    if (!replica.holdsLease) return;
    const past = this.#past.get(replica) ?? never;
    const nowMs = this.#store.env.clock.monotonicMs();
    if (!mayHoldRemains(replica, past)) {
      this.#sinceMs.delete(replica);
      return;
    }
    const sinceMs = this.#sinceMs.get(replica) ?? nowMs;
    this.#sinceMs.set(replica, sinceMs);
    if (nowMs - sinceMs < youngMs || nowMs < this.#restUntilMs || this.#isScanning) return;
    if (nowMs - past.atMs < Math.max(restMs, past.tookMs * restFactor)) return;
    if (this.#busy >= maxBusy) return;
    this.#busy++;
    this.#pass(replica, past.resolved)
      .then(
        (next) => this.#past.set(replica, next),
        (error: unknown) => this.#store.env.log.warn({ error: String(error) }, 'remains stay'),
      )
      .finally(() => {
        this.#busy--;
      });
  }

  async #pass(replica: Replica, resolvedBefore: ReadonlySet<TxnId>): Promise<Past> {
    const now = this.#store.clock.now().wall;
    const { found, committed, kept, isClean, ...past } = await this.#scan(
      replica,
      resolvedBefore,
      now,
    );
    const open = await this.#settle(replica, [...found.values()]);
    if (open.length > 0) {
      // The age of a transaction without a record is known only from when it was first asked for.
      await sleep(this.#store.env, abandonedAfterMs + 1_000);
      await this.#settle(replica, open);
    }
    for (const record of committed) {
      if (await this.#finish(replica, record, now)) kept.add(record.meta.id);
    }
    return { ...past, cleanIndex: isClean ? past.cleanIndex : 0, resolved: kept };
  }

  /** One range at a time. */
  async #scan(
    replica: Replica,
    resolvedBefore: ReadonlySet<TxnId>,
    now: number,
  ): Promise<Omit<Past, 'resolved'> & Scanned> {
    const { engine, env } = this.#store;
    const { descriptor, applier } = replica;
    const cleanIndex = applier.appliedIndex;
    const atMs = env.clock.monotonicMs();
    const before = now - youngMs * 1000;
    this.#isScanning = true;
    try {
      const { due, kept } = await recordsOf(engine, descriptor, ({ meta, lastHeartbeat }) => {
        const isLongOver = now - lastHeartbeat.wall >= recordKeptMs * 1000;
        return isLongOver || !resolvedBefore.has(meta.id);
      });
      const found: Map<TxnId, Found> =
        replica.stats.intentCount === 0
          ? new Map()
          : await intentsBefore(engine, descriptor, before);
      addLocks(found, replica, atMs - youngMs);
      const old = due.filter(({ lastHeartbeat }) => lastHeartbeat.wall < before);
      const committed = old.filter(({ status }) => status === 'committed');
      for (const { meta, status } of old) if (status !== 'committed') foundOf(found, meta);
      const isClean = found.size === 0 && due.length === 0 && kept.size === 0;
      const tookMs = env.clock.monotonicMs() - atMs;
      return { atMs, tookMs, cleanIndex, found, committed, kept, isClean };
    } finally {
      this.#isScanning = false;
      const nowMs = env.clock.monotonicMs();
      this.#restUntilMs = nowMs + (nowMs - atMs) * storeRestFactor;
    }
  }

  /** Returns those that go on, or about which nothing could be learnt. */
  async #settle(replica: Replica, found: readonly Found[]): Promise<Found[]> {
    const open: Found[] = [];
    for (const each of found) {
      if (replica.destroyed || !replica.holdsLease) return [];
      const ended = await replica.executor().settle(each.txn, spansOf(each));
      if (ended === undefined) open.push(each);
    }
    return open;
  }

  /** A committed record: its intents first, then itself. True: it is kept, and has nothing to tell any more. */
  async #finish(replica: Replica, record: TxnRecord, now: number): Promise<boolean> {
    if (record.status !== 'committed' || replica.destroyed || !replica.holdsLease) return false;
    const drops = now - record.lastHeartbeat.wall >= recordKeptMs * 1000;
    const isDone = await replica.executor().resolveCommitted(record, drops);
    return isDone && !drops;
  }
}

function mayHoldRemains(replica: Replica, past: Past): boolean {
  const { stats, applier, executorInUse } = replica;
  if (stats.intentCount > 0) return true;
  for (const _ of executorInUse?.locks() ?? []) return true;
  // The GC threshold counts among what has no versions: one look at the range tells.
  return stats.systemCount > 0 && applier.appliedIndex !== past.cleanIndex;
}

/** `isDue`: it is looked at. */
async function recordsOf(
  engine: EngineReader,
  { startKey, endKey }: RangeDescriptor,
  isDue: (record: TxnRecord) => boolean,
): Promise<{ readonly due: TxnRecord[]; readonly kept: Set<TxnId> }> {
  const due: TxnRecord[] = [];
  const kept = new Set<TxnId>();
  const { start, end } = localSpanOf(startKey, endKey);
  await eachRow(engine, unversionedSpan(start, end), (engineKey, value) => {
    // Behind the tag of what has no versions.
    if (txnOfRecordKey(engineKey.subarray(1)) === undefined) return;
    const record = decodeRecord(value);
    if (!isDue(record)) kept.add(record.meta.id);
    else if (due.length < maxTxns) due.push(record);
  });
  return { due, kept };
}

/** Intents that were written before that time (wall microseconds), by transaction. */
async function intentsBefore(
  engine: EngineReader,
  range: RangeDescriptor,
  before: number,
): Promise<Map<TxnId, Found>> {
  const found = new Map<TxnId, Found>();
  const head = new HeadReader();
  for (const { start, end } of keySpans(range)) {
    await eachRow(engine, headSpan(start, end), (engineKey, record) => {
      head.read(record);
      const { intent } = head;
      if (intent === undefined || intent.timestamp.wall >= before) return;
      if (found.size >= maxTxns && !found.has(intent.txnId)) return;
      const each = found.get(intent.txnId) ?? foundOf(found, ownerOf(intent));
      const key = Buffer.from(keyOfHead(engineKey));
      if (each.keys.length < manyIntents) each.keys.push(key);
      else each.last = key;
    });
  }
  return found;
}

/** Locks that nobody has written down, and nobody waits for. */
function addLocks(found: Map<TxnId, Found>, replica: Replica, beforeMs: number): void {
  for (const { txn, isGranted, sinceMs } of replica.executorInUse?.locks() ?? []) {
    if (found.size >= maxTxns) return;
    if (isGranted && sinceMs < beforeMs) foundOf(found, txn);
  }
}

function foundOf(found: Map<TxnId, Found>, txn: TxnMeta): Found {
  let each = found.get(txn.id);
  if (each === undefined) {
    each = { txn, keys: [], last: undefined };
    found.set(txn.id, each);
  }
  return each;
}

function spansOf({ keys, last }: Found): Span[] {
  const points = keys.map((start) => ({ start, end: undefined }));
  if (last === undefined) return points;
  // Between the local keys of one range lie others'.
  const [first = last] = keys.filter((key) => !isLocalKey(key));
  return [...points.filter(({ start }) => isLocalKey(start)), { start: first, end: nextKey(last) }];
}

async function eachRow(
  engine: EngineReader,
  span: { readonly start: Buffer; readonly end: Buffer },
  visit: (engineKey: Buffer, value: Buffer) => void,
): Promise<void> {
  const iterator = engine.iterate(span);
  try {
    for (;;) {
      const rows = await iterator.next(pageSize);
      if (rows.length === 0) return;
      for (const [engineKey, value] of rows) visit(engineKey, value);
    }
  } finally {
    await iterator.close();
  }
}
