/**
 * The clock of a node's machine, and whether the node may serve by it (traps T10, T11).
 *
 * Transactions are right only while clocks differ by less than the maximum offset: a value that was written before a read
 * began must have a timestamp below the read's uncertainty limit. A node whose clock is out of bounds therefore refuses to
 * serve, from the very reading that shows it, until the clock has agreed with the others' for a while again.
 *
 * What it goes on doing needs a clock that only goes forward, not a right one: it stores the log, votes, and promises support
 * until *its own* HLC has passed some time. But an HLC that once followed a clock far ahead stays there, and with one far
 * behind everybody else seems too far ahead to be heard. So while most others agree with each other and not with this
 * machine, readings are their time (the median) instead of its own.
 *
 * INVARIANT: while `complaint` was undefined, every reading was this machine's own and agreed with most nodes heard of.
 */
import { type Clock } from '../util/index.ts';
import { ClockOffsets } from './clock-offsets.ts';
import { type NodeId } from './ids.ts';

/** So long a clock must have agreed with the others' before it is trusted again. */
const settleMs = 3_000;
/** A verdict is made anew after so long, or when the wall clock has moved by so much against the monotonic one. */
const judgedForMs = 100;
const jitterMicros = 2_000;
/** Two readings of one moment are not further apart, unless the process stood still between them. */
const momentMs = 10;
const momentsTried = 3;

export class MachineClock {
  readonly #clock: Clock;
  readonly #maxOffsetMicros: number;
  readonly #offsets: ClockOffsets;
  #judged = { distance: 0, untilMs: 0 };
  #complaint: string | undefined;
  /** Distance of the others' clocks from the monotonic one, while readings are theirs. */
  #others: number | undefined;
  /** Monotonic; since when a clock that was wrong has agreed again. */
  #agreesSinceMs: number | undefined;

  constructor(clock: Clock, maxOffsetMicros: number) {
    this.#clock = clock;
    this.#maxOffsetMicros = maxOffsetMicros;
    this.#offsets = new ClockOffsets(maxOffsetMicros);
  }

  /** What the machine's clock shows, right or wrong: for others to measure. */
  shownMicros(): number {
    return this.#clock.wallMicros();
  }

  /** Wall microseconds, as far as they can be believed. */
  readMicros(): number {
    const wall = this.#clock.wallMicros();
    if (this.#offsets.isEmpty && this.#complaint === undefined) return wall;
    const nowMs = this.#clock.monotonicMs();
    const moved = Math.abs(wall - nowMs * 1000 - this.#judged.distance);
    if (nowMs >= this.#judged.untilMs || moved > jitterMicros) this.#judge();
    return this.#others === undefined ? wall : Math.round(nowMs * 1000 + this.#others);
  }

  /**
   * Why this node must serve nobody, or undefined. `issuedMicros`: the latest time it has given out; before the clock has
   * caught up with that it is not trusted again.
   */
  complaint(issuedMicros: number): string | undefined {
    const read = this.readMicros();
    if (this.#complaint === undefined || this.#agreesSinceMs === undefined) return this.#complaint;
    const agreesForMs = this.#clock.monotonicMs() - this.#agreesSinceMs;
    if (agreesForMs >= settleMs && issuedMicros <= read + this.#maxOffsetMicros) {
      this.#complaint = undefined;
      this.#agreesSinceMs = undefined;
    }
    return this.#complaint;
  }

  /** `node` has answered what was sent at `sentMs` (monotonic); its clock showed `shownMicros` somewhere on the way. */
  note(node: NodeId, shownMicros: number, sentMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (sentMs > nowMs) return;
    const distance = shownMicros - ((sentMs + nowMs) / 2) * 1000;
    this.#offsets.note(node, { distance, uncertainty: (nowMs - sentMs) * 500 }, nowMs);
    this.#judged = { ...this.#judged, untilMs: 0 };
  }

  /** Mean distance of other machines' clocks from this one's, in microseconds. */
  meanOffsetMicros(): number {
    return this.#offsets.meanMicros(this.#distance(), this.#clock.monotonicMs());
  }

  #judge(): void {
    const distance = this.#distance();
    const nowMs = this.#clock.monotonicMs();
    this.#judged = { distance, untilMs: nowMs + judgedForMs };
    const verdict = this.#offsets.judge(distance, nowMs);
    // Nobody to compare with: it is as trustworthy as it was.
    if (verdict === undefined) return;
    if (verdict.kind === 'differs') {
      this.#complaint = verdict.sentence;
      this.#others = verdict.others;
      this.#agreesSinceMs = undefined;
    } else {
      this.#others = undefined;
      if (this.#complaint !== undefined) this.#agreesSinceMs ??= nowMs;
    }
  }

  /** Of the wall clock from the monotonic one, in microseconds. */
  #distance(): number {
    for (let tried = 1; ; tried++) {
      const beforeMs = this.#clock.monotonicMs();
      const wall = this.#clock.wallMicros();
      const afterMs = this.#clock.monotonicMs();
      if (afterMs - beforeMs <= momentMs || tried === momentsTried) return wall - afterMs * 1000;
    }
  }
}
