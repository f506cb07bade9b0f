/**
 * Recognises a range that grows at its end: rising keys (serial numbers, times) send all new rows behind the greatest one.
 * Cutting such a range in the middle leaves two halves that never grow again; it is better cut where it grows.
 */
import { compareBytes } from '../../util/index.ts';

/** Looked at over so long; in thirds, so that what ended is forgotten. */
const windowMs = 30_000;
const slots = 3;
const slotMs = windowMs / slots;
const writesMin = 100;
const risingShare = 0.9;

interface Slot {
  rising: number;
  other: number;
}

export class AppendWatch {
  readonly #slots: Slot[] = [];
  #slotStartedMs: number;
  #sinceMs: number;
  #greatest: Buffer | undefined;

  constructor(nowMs: number) {
    this.#slotStartedMs = nowMs;
    this.#sinceMs = nowMs;
    this.#slots.push({ rising: 0, other: 0 });
  }

  /** A row was written; the buffer is only lent. */
  record(key: Buffer, nowMs: number): void {
    this.#advance(nowMs);
    const slot = this.#slots[0];
    if (slot === undefined) return;
    if (this.#greatest === undefined || compareBytes(key, this.#greatest) > 0) {
      slot.rising++;
      this.#greatest = Buffer.from(key);
    } else slot.other++;
  }

  /** The newest key of a range that has been growing at its end for the whole window; undefined otherwise. */
  newest(nowMs: number): Buffer | undefined {
    this.#advance(nowMs);
    if (nowMs - this.#sinceMs < windowMs) return undefined;
    let rising = 0;
    let writes = 0;
    for (const slot of this.#slots) {
      rising += slot.rising;
      writes += slot.rising + slot.other;
    }
    return writes >= writesMin && rising > writes * risingShare ? this.#greatest : undefined;
  }

  #advance(nowMs: number): void {
    if (nowMs - this.#slotStartedMs < slotMs) return;
    const steps = Math.min(slots, Math.floor((nowMs - this.#slotStartedMs) / slotMs));
    // A greatest key that nothing has gone beyond may be far from where rows are added.
    if (this.#slots[0]?.rising === 0) this.#greatest = undefined;
    for (let i = 0; i < steps; i++) this.#slots.unshift({ rising: 0, other: 0 });
    this.#slots.length = Math.min(this.#slots.length, slots);
    this.#slotStartedMs += Math.floor((nowMs - this.#slotStartedMs) / slotMs) * slotMs;
  }
}
