/**
 * The closed timestamp of one replica: at or below it nothing is written any more, so any replica that has applied
 * everything up to then may serve reads there without a lease (trap T9).
 *
 * It is a wall time; the timestamp meant is { wall, logical: 0 }. Two of them are kept:
 *
 *   promised   by the leaseholder here, when a command took it along or a range at rest was closed: no write at or below it is
 *              proposed any more
 *   known      here, whoever promised it: everything at or below it is applied
 *
 * Closing is like reading the whole range at that timestamp under the lease. So a later lease needs to know nothing of it:
 * it begins above everything that was served under earlier ones, and its writes stand above its beginning.
 *
 * Ahead of the clock (`lead.ts`) that is not enough: a transfer does not wait until the lease has run out. Whoever
 * gives its lease away closes once more, in the last entry of its reign, up to `ceiling` (`closing.ts`). Two more times
 * are kept for that, both 0 or in the past unless somebody closes ahead:
 *
 *   floor      writes begin above it: at least `promised`
 *   ahead      some value here, committed or to be committed, stands there
 *
 * A restarted store knows what the commands say that it replays, until it is told more; nothing is kept on disk for it.
 *
 * INVARIANT 1: neither ever falls while the replica lives, not over splits and snapshots either.
 * INVARIANT 2: the leaseholder proposes no write at or below `promised`: writes are forwarded above it when their evaluation begins,
 *   and from then until they are applied (or have failed) nothing at or above them is promised.
 */
import { type Timestamp } from '../../kv/index.ts';
import { type WriteBucket, WriteTracker } from './write-tracker.ts';

export class ClosedTimestamp {
  #known = 0;
  #promised = 0;
  #floor = 0;
  #ahead = 0;
  /** While writes are under way. */
  #writes: WriteTracker | undefined;

  get known(): number {
    return this.#known;
  }

  get promised(): number {
    return Math.max(this.#promised, this.#known);
  }

  /** Everything at or below `wall` is applied here. */
  learn(wall: number): void {
    if (wall > this.#known) this.#known = wall;
  }

  /** A promise that was made for this replica by somebody else: for a group of ranges at rest, or for the left side of a split. */
  promise(wall: number): void {
    if (wall > this.#promised) this.#promised = wall;
  }

  get floor(): number {
    return Math.max(this.#floor, this.promised);
  }

  /** From now on no write begins at or below `wall`; those under way may. */
  raiseFloor(wall: number): void {
    if (wall > this.#floor) this.#floor = wall;
  }

  /** HLC wall microseconds: no value that was ahead of the clock when it was written stands above it. */
  get ahead(): number {
    return this.#ahead;
  }

  /** A transaction has come here with this timestamp, which is ahead of the clock. */
  noteAhead({ wall, logical }: Timestamp): void {
    this.#ahead = Math.max(this.#ahead, logical > 0 ? wall + 1 : wall);
  }

  /** Nothing was closed or written ahead of the clock above it. */
  get ceiling(): number {
    return Math.max(this.floor, this.#ahead);
  }

  /** The right side of a split begins with all that the left one knows. */
  inherit(left: ClosedTimestamp): void {
    this.promise(left.promised);
    this.raiseFloor(left.floor);
    this.#ahead = Math.max(this.#ahead, left.ahead);
  }

  /** A write above `floor` begins. */
  beginWrite({ wall }: Timestamp): WriteBucket {
    this.#writes ??= new WriteTracker();
    return this.#writes.begin(wall);
  }

  endWrite(bucket: WriteBucket): void {
    this.#writes?.end(bucket);
    if (this.#writes?.lowerBound === undefined) this.#writes = undefined;
  }

  /** Promises as much up to `target` as the writes under way allow; what is promised now. */
  close(target: number): number {
    const lowest = this.#writes?.lowerBound;
    this.promise(lowest === undefined ? target : Math.min(target, lowest - 1));
    return this.promised;
  }

  get hasWrites(): boolean {
    return this.#writes !== undefined;
  }
}
