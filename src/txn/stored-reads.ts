/**
 * What a transaction reads of the stored data, whatever it has buffered: asked until it has been answered at the transaction's read
 * timestamp, and remembered, because it has to hold when the timestamp moves, or until the commit.
 *
 * INVARIANT: everything the client was told was read at the present read timestamp: a read that comes back with another one is
 *   made again, and the timestamp moves only over a refresh.
 */
import {
  type BatchResponse,
  type KvRequest,
  type KvResult,
  type ReadOptions,
  type ScanOptions,
  type ScanPage,
  type ScanRequest,
} from '../kv/index.ts';
import { type ClusterTxn } from './cluster-txn.ts';
import { currentHeader, resultOf, wrongAnswer } from './current.ts';
import { type ReadMark } from './kept-set.ts';
import { retryTimestamp } from './refresher.ts';
import { type HeaderBase } from './router.ts';

/** A statement that has to move its timestamp this often gives up with 'txn-retry'. */
const maxMoves = 100;

export class StoredReads {
  readonly #txn: ClusterTxn;
  /** Of the statement under way. */
  lockTimeoutMs = 0;
  #followerReads = 0;
  /** The first read may be moved by its range; until it is back the others wait. */
  #firstRead: Promise<unknown> | undefined;

  constructor(txn: ClusterTxn) {
    this.#txn = txn;
  }

  /** How many were answered by replicas without the lease. */
  get followerReads(): number {
    return this.#followerReads;
  }

  /** See `Txn.readCurrent`. Nothing of it is remembered. */
  async current(key: Buffer): Promise<Buffer | undefined> {
    const txn = this.#txn;
    const { router } = txn.parts;
    // What is current is for a leaseholder to say; what has happened before now, for any replica that knows it.
    if (router.closesAhead(key)) {
      const [value] = await this.keys([key], {});
      return value;
    }
    let isWanted = true;
    const header = { ...currentHeader, isWanted: () => isWanted };
    try {
      const sent = router.sendBatch(header, [{ kind: 'get', key, lock: 'none' }]);
      const result = resultOf(await txn.unlessStopped(sent));
      if (result.kind !== 'get') throw wrongAnswer();
      return result.value;
    } finally {
      isWanted = false;
    }
  }

  /** The values of `keys`, in their order. */
  async keys(keys: readonly Buffer[], options: ReadOptions): Promise<(Buffer | undefined)[]> {
    const txn = this.#txn;
    const [first] = keys;
    if (first === undefined) return [];
    const lock = options.lock ?? 'none';
    if (lock !== 'none') {
      await txn.prepareToLockRead(first);
      for (const key of keys) txn.locks.add(key, undefined);
    }
    const existence = options.existence === true;
    const asked = existence ? ({ lock, existence } as const) : { lock };
    const requests = keys.map((key): KvRequest => ({ kind: 'get', key, ...asked }));
    const note = (results: readonly KvResult[]): void => {
      const mark = this.#readMark();
      const isKept = lock !== 'none' || options.untilCommit === true;
      for (const [i, key] of keys.entries()) {
        const result = results[i];
        const isThere = result?.kind === 'get' && result.value !== undefined;
        if (isThere && existence) txn.refresher.noteRow(key);
        else txn.refresher.noteRead(key, undefined);
        if (!isKept || (options.waitPolicy === 'skip' && !isThere)) continue;
        const rowOnly = isThere && lock === 'key-share' && options.untilCommit !== true;
        if (rowOnly) txn.kept.row(key, mark);
        else txn.kept.key(key, lock, mark);
      }
    };
    const results = await this.#read(
      options,
      (header) => txn.parts.router.sendBatch(header, requests),
      note,
    );
    return results.map((result) => (result.kind === 'get' ? result.value : undefined));
  }

  async scan(options: ScanOptions): Promise<ScanPage> {
    const txn = this.#txn;
    const lock = options.lock ?? 'none';
    const { start, end } = options;
    if (start.compare(end) >= 0) return { keys: [], values: [], resume: undefined };
    if (lock !== 'none') {
      await txn.prepareToLockRead(start);
      txn.locks.add(start, end);
    }
    const reverse = options.reverse === true;
    const request: ScanRequest = {
      kind: 'scan',
      start,
      end,
      reverse,
      lock,
      maxRows: options.maxRows ?? 0,
      maxBytes: options.maxBytes ?? 0,
      program: options.program,
    };
    // Only what was really scanned has to be refreshed (trap X2).
    const note = ([answer]: readonly KvResult[]): void => {
      const rest = answer?.kind === 'scan' ? answer.resume : undefined;
      const from = reverse && rest !== undefined ? rest.end : start;
      const to = !reverse && rest !== undefined ? rest.start : end;
      txn.refresher.noteRead(from, to);
      const mark = this.#readMark();
      if (mark.snapshot === undefined || answer?.kind !== 'scan') return;
      if (options.untilCommit === true) txn.kept.span(from, to, mark);
      if (lock === 'none') return;
      for (const key of answer.lockedKeys ?? answer.keys) {
        if (lock === 'key-share') txn.kept.row(key, mark);
        else txn.kept.key(key, lock, mark);
      }
    };
    const [result] = await this.#read(
      options,
      (header) => txn.parts.router.sendScan(header, request),
      note,
    );
    if (result?.kind !== 'scan') return { keys: [], values: [], resume: undefined };
    const { keys, values, resume } = result;
    return { keys, values, resume };
  }

  /** Below 'serializable' it tells since when what is read now must not change. */
  #readMark(): ReadMark {
    const { refresher, sequence } = this.#txn;
    const { isSerializable, snapshot } = refresher;
    return { snapshot: isSerializable ? undefined : snapshot, sequence };
  }

  /**
   * Sends a read until it has been answered at the transaction's read timestamp. `note` remembers it in
   * the same step, so that no refresh comes between.
   */
  async #read(
    options: ReadOptions,
    send: (header: HeaderBase) => Promise<BatchResponse>,
    note: (results: readonly KvResult[]) => void,
  ): Promise<readonly KvResult[]> {
    const txn = this.#txn;
    while (this.#firstRead !== undefined) await this.#firstRead;
    const { lockTimeoutMs = this.lockTimeoutMs } = options;
    for (let moves = 0; moves < maxMoves; moves++) {
      txn.checkOpen();
      const mayMove = txn.refresher.mayBeMovedByRange;
      const sentAt = txn.refresher.version;
      let isWanted = true;
      const work = send({
        ...txn.header(options, mayMove),
        lockTimeoutMs,
        isWanted: () => isWanted,
      });
      const settled = work.then(
        () => undefined,
        () => undefined,
      );
      if (mayMove) this.#firstRead = settled;
      let response: BatchResponse;
      try {
        response = await txn.unlessStopped(work);
      } finally {
        isWanted = false;
        if (this.#firstRead === settled) this.#firstRead = undefined;
      }
      // A refresh that is under way does not cover this read.
      while (txn.refresher.refreshing !== undefined) await txn.refresher.refreshing;
      txn.checkOpen();
      if (response.kind === 'ok') {
        if (txn.refresher.version !== sentAt) continue;
        if (mayMove) txn.refresher.movedByRange(response.txn);
        note(response.results);
        if (response.isFollowerRead === true) this.#followerReads++;
        return response.results;
      }
      await this.#recover(response);
    }
    return txn.retry('too many changes of the read timestamp');
  }

  /** Makes room for another try after `response`, or fails. */
  async #recover(response: Extract<BatchResponse, { kind: 'error' }>): Promise<void> {
    const to = retryTimestamp(response);
    if (to === undefined) return this.#txn.fail(response.error);
    await this.#txn.refresher.refreshTo(to);
  }
}
