/**
 * Looks for the key at which a range's load divides: a reservoir of keys that were asked for, each with a count of
 * what lies to its left, to its right, and across it. Constants are CockroachDB's.
 */
import { compareBytes, equalBytes, type Random } from '../../util/index.ts';

interface Candidate {
  readonly key: Buffer;
  left: number;
  right: number;
  /** Spans that the key would cut in two. */
  contained: number;
}

const candidatesMax = 20;
const observationsMin = 100;
/** |left - right| / (left + right) below this divides well. */
const imbalanceMax = 0.25;
/** A split that cuts more of the requests than this share makes more work than it spreads. */
const containedMax = 0.5;
/** A key that makes this share of the reservoir is what the load is about. */
const popularShare = 0.25;
/** This share of the requests lies on one side of the one before. */
const directionShare = 0.8;

export type SplitFinding =
  | { readonly kind: 'key'; readonly key: Buffer }
  /** Why no key divides the load. */
  | { readonly kind: 'none'; readonly reason: string };

export class SplitFinder {
  readonly startedMs: number;
  readonly #random: Random;
  readonly #candidates: Candidate[] = [];
  #observed = 0;
  #before: Buffer | undefined;
  #rightward = 0;
  #leftward = 0;

  constructor(startedMs: number, random: Random) {
    this.startedMs = startedMs;
    this.#random = random;
  }

  /** A request for [start, end), or for the key `start`; the buffer is only lent. */
  record(start: Buffer, end: Buffer | undefined): void {
    for (const each of this.#candidates) {
      if (compareBytes(start, each.key) >= 0) each.right++;
      else if (end === undefined || compareBytes(end, each.key) <= 0) each.left++;
      else each.contained++;
    }
    this.#noteDirection(start);
    const at =
      this.#candidates.length < candidatesMax
        ? this.#candidates.length
        : Math.floor(this.#random.float() * (this.#observed + 1));
    this.#observed++;
    if (at >= candidatesMax) return;
    this.#candidates[at] = { key: Buffer.from(start), left: 0, right: 0, contained: 0 };
  }

  find(): SplitFinding {
    let best: { readonly key: Buffer; readonly imbalance: number } | undefined;
    let isObserved = false;
    for (const { key, left, right, contained } of this.#candidates) {
      if (left + right + contained < observationsMin) continue;
      isObserved = true;
      if (contained >= (left + right + contained) * containedMax) continue;
      const imbalance = Math.abs(left - right) / (left + right);
      if (imbalance >= imbalanceMax) continue;
      if (best === undefined || imbalance < best.imbalance) best = { key, imbalance };
    }
    if (best !== undefined) return { kind: 'key', key: best.key };
    if (!isObserved) return { kind: 'none', reason: 'too few requests were seen' };
    const popular = this.#hasPopularKey() ? 'popular key detected' : 'no popular key';
    const direction = this.#hasDirection() ? 'clear direction detected' : 'no clear direction';
    return { kind: 'none', reason: `no split key found: ${popular}, ${direction}` };
  }

  #noteDirection(key: Buffer): void {
    if (this.#before !== undefined) {
      const order = compareBytes(key, this.#before);
      if (order > 0) this.#rightward++;
      if (order < 0) this.#leftward++;
    }
    this.#before = key;
  }

  #hasPopularKey(): boolean {
    const enough = Math.max(2, this.#candidates.length * popularShare);
    return this.#candidates.some(
      ({ key }) => this.#candidates.filter((other) => equalBytes(other.key, key)).length >= enough,
    );
  }

  #hasDirection(): boolean {
    return Math.max(this.#rightward, this.#leftward) > this.#observed * directionShare;
  }
}
