/**
 * What a leader knows about one follower, and how much it may send. All transitions are here:
 *
 *                 accepted                      compacted
 *      probe  ---------------> replicate      ------------->  snapshot
 *        ^  <---------------   (rejected,    (from either)       |
 *        |                      unreachable)                     |
 *        +------------- sent or failed --------------------------+   (accepted far enough: replicate)
 *
 * probe: one append at a time, until a response shows where the logs agree. replicate: appends are
 * pipelined, `next` runs ahead of `match` within the window. snapshot: nothing is sent.
 *
 * Events only note what has to be sent; the appends are made when the Ready is taken (`replication.ts`).
 *
 * INVARIANT: match < next. Entries up to `match` are durable at the follower in this leader's log.
 */
import { ByteWindow } from './byte-window.ts';
import { type FollowerProgress, type RaftId } from './types.ts';

export interface WindowLimits {
  readonly inflightBytesMax: number;
  readonly inflightMessagesMax: number;
}

export class Progress {
  readonly id: RaftId;
  match = 0;
  next: number;
  state: FollowerProgress['state'] = 'probe';
  /** It has acknowledged this leader in this term. */
  active = false;
  /** An append is due even if it is empty: it carries the commit index and shows whether earlier ones were lost. */
  wantsAppend = false;
  /** Commit index that the follower is believed to know: the one in the last answered heartbeat. */
  commitKnown = 0;
  private heartbeatCommit = 0;
  /** The last read round that it has confirmed. */
  readRound = 0;
  /** probe: an append is under way; nothing more until a response. */
  private probing = false;
  private readonly window = new ByteWindow();
  /** The leader's `loggedBytes` when all of its log had been sent. */
  private sentBytes = -Infinity;

  constructor(id: RaftId, next: number) {
    this.id = id;
    this.next = next;
  }

  /** No entries may be sent now. */
  paused(limits: WindowLimits): boolean {
    switch (this.state) {
      case 'probe':
        return this.probing;
      case 'replicate':
        return (
          this.window.count >= limits.inflightMessagesMax ||
          this.window.bytes >= limits.inflightBytesMax
        );
      case 'snapshot':
        return true;
    }
  }

  /**
   * While an append is unanswered, fewer than `limit` bytes wait for more to come. `loggedBytes` counts
   * what the leader has appended. Nothing waits before this peer has caught up with it once.
   */
  holdsBack(loggedBytes: number, limit: number): boolean {
    return (
      this.state === 'replicate' && this.window.count > 0 && loggedBytes - this.sentBytes < limit
    );
  }

  /** Everything in the leader's log was sent. */
  sentAll(loggedBytes: number): void {
    this.sentBytes = loggedBytes;
  }

  /** An append with `count` entries from `next` on was sent (none: a probe or a new commit index). */
  sent(count: number, bytes: number): void {
    this.wantsAppend = false;
    if (this.state === 'probe') {
      this.probing = true;
      return;
    }
    if (count === 0) return;
    this.next += count;
    this.window.push(this.next - 1, bytes);
  }

  /**
   * The follower holds everything up to `index`; `firstIndex` is the first entry of the leader's log.
   * False when this is old news.
   */
  accepted(index: number, firstIndex: number): boolean {
    this.active = true;
    const news = index > this.match;
    // The probe was accepted, with news or without: that is where the logs agree. Less is an older answer.
    const probed = this.state === 'probe' && index >= this.next - 1;
    if (news) {
      this.match = index;
      this.next = Math.max(this.next, index + 1);
      this.window.release(index);
    }
    if (index < this.match) return false;
    const caughtUp = this.state === 'snapshot' && this.match + 1 >= firstIndex;
    if (probed || caughtUp) this.becomeReplicate();
    return news || probed || caughtUp;
  }

  /**
   * The follower refused the append behind `previousIndex`; the logs may agree at `agreeIndex`. False
   * when the refusal is out of date (it answers a message that was overtaken).
   */
  rejected(previousIndex: number, agreeIndex: number): boolean {
    this.active = true;
    if (this.state === 'snapshot') return false;
    if (this.state === 'replicate') {
      if (previousIndex <= this.match) return false;
      this.becomeProbe(this.match + 1);
      this.next = Math.max(Math.min(previousIndex, agreeIndex + 1), this.match + 1);
      return true;
    }
    if (previousIndex !== this.next - 1) return false;
    this.next = Math.max(Math.min(previousIndex, agreeIndex + 1), this.match + 1);
    this.probing = false;
    return true;
  }

  /** The next entry is compacted away, and the follower has given no sign of life: it gets nothing before it does. */
  awaitSign(): void {
    this.wantsAppend = false;
    this.probing = true;
  }

  /** The next entry is compacted away: only a snapshot helps. */
  needsSnapshot(): void {
    this.state = 'snapshot';
    this.wantsAppend = false;
    this.probing = false;
    this.window.clear();
  }

  /** The state was streamed up to `index`, or (`ok` false) is tried again after the next heartbeat response. */
  snapshotSent(ok: boolean, index: number): void {
    if (this.state !== 'snapshot') return;
    this.becomeProbe(ok ? Math.max(this.match, index) + 1 : this.match + 1);
    this.probing = !ok;
  }

  unreachable(): void {
    if (this.state === 'replicate') this.becomeProbe(this.match + 1);
  }

  heartbeatSent(commit: number): void {
    this.heartbeatCommit = commit;
  }

  /**
   * A late response may be taken for one to a younger heartbeat, so `commitKnown` may be too large:
   * then a quiet follower applies its last entries later, nothing else.
   */
  heartbeatAnswered(): void {
    this.active = true;
    this.probing = false;
    this.commitKnown = this.heartbeatCommit;
  }

  view(): FollowerProgress {
    const { id, match, next, state, active } = this;
    return { id, match, next, state, active };
  }

  private becomeProbe(next: number): void {
    this.state = 'probe';
    this.next = next;
    this.probing = false;
    this.window.clear();
  }

  private becomeReplicate(): void {
    this.state = 'replicate';
    this.next = this.match + 1;
    this.sentBytes = -Infinity;
    this.probing = false;
    this.window.clear();
  }
}
