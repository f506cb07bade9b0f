/** What a store tells of locks: who holds and waits now, who has waited lately. */
import {
  kvSettings,
  type ClusterSettings,
  type ContentionEvent,
  type LockWait,
  type ReportedLock,
} from '../../kv/index.ts';
import { type Clock } from '../../util/index.ts';
import { type LockUse } from '../concurrency/lock-table.ts';
import { type Replica } from '../replica/replica.ts';

const maxLocks = 10_000;
const maxEvents = 1_000;

/** The locks of the ranges that are led here: what is contended first, if there are too many. */
export function reportLocks(replicas: Iterable<Replica>, clock: Clock): ReportedLock[] {
  const contended: ReportedLock[] = [];
  const quiet: ReportedLock[] = [];
  const nowMs = clock.monotonicMs();
  for (const replica of replicas) {
    if (!replica.holdsLease) continue;
    for (const use of replica.executorInUse?.locks() ?? []) {
      const into = use.isContended ? contended : quiet;
      if (into.length < maxLocks) into.push(reported(replica, use, nowMs));
    }
  }
  return [...contended, ...quiet].slice(0, maxLocks);
}

function reported({ rangeId }: Replica, use: LockUse, nowMs: number): ReportedLock {
  const { key, txn, strength, isReplicated, isGranted, isContended, sinceMs } = use;
  return {
    rangeId,
    key,
    txnId: txn.id,
    isolation: txn.isolation,
    strength,
    isReplicated,
    isGranted,
    isContended,
    timestamp: txn.writeTimestamp,
    durationMs: nowMs - sinceMs,
  };
}

/** The latest waits, as many as fit. */
export class ContentionEvents {
  readonly #clock: Clock;
  readonly #settings: ClusterSettings;
  #events: ContentionEvent[] = [];

  constructor(clock: Clock, settings: ClusterSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  note(wait: LockWait): void {
    if (wait.durationMs < this.#settings.get(kvSettings.contentionThreshold)) return;
    this.#events.push({ ...wait, key: Buffer.from(wait.key), at: this.#clock.wallMicros() });
    // Half at a time: moving the rest costs little per event.
    if (this.#events.length >= 2 * maxEvents) this.#events = this.list();
  }

  list(): ContentionEvent[] {
    return this.#events.slice(-maxEvents);
  }
}
