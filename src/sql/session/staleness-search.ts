/**
 * Bounded staleness: a statement looks for the freshest timestamp that the replicas nearest to it know all about. It
 * begins where they usually are; one that is behind says how far it is, and the statement, which has told its
 * client nothing yet, begins again there. At the bound, or when that takes too long, it asks the leaseholders, unless only
 * the nearest replicas will do. The catalog is read at the same timestamp, so a plan always fits what it reads.
 */
import {
  compareTimestamps,
  formatTimestamp,
  KvFailure,
  laterTimestamp,
  type Timestamp,
} from '../../kv/index.ts';
import { sqlError } from '../errors.ts';
import { type AsOf } from './as-of.ts';

/** Ranges of one statement may each be a little further behind. */
const maxSteps = 10;

export class StalenessSearch {
  readonly #bound: Extract<AsOf, { kind: 'bounded' }>;
  #at: Timestamp;
  #isNearest = true;
  #steps = 0;

  /** `likely`: what followers usually know. */
  constructor(bound: Extract<AsOf, { kind: 'bounded' }>, likely: Timestamp) {
    this.#bound = bound;
    this.#at = laterTimestamp(bound.oldest, likely);
  }

  get at(): Timestamp {
    return this.#at;
  }

  /** What the replicas nearest to this node do not know fails with 'not-closed'. */
  get isNearest(): boolean {
    return this.#isNearest;
  }

  /** True: the statement failed because a replica is behind, and has to begin again. Throws when it must not. */
  mustStepBack(error: unknown): boolean {
    if (!(error instanceof KvFailure) || error.kvError.kind !== 'not-closed') return false;
    const { closed } = error.kvError;
    const { oldest, nearestOnly } = this.#bound;
    const isKnown = compareTimestamps(closed, oldest) >= 0;
    if (isKnown && compareTimestamps(closed, this.#at) < 0 && this.#steps++ < maxSteps) {
      this.#at = closed;
      return true;
    }
    if (nearestOnly) {
      throw sqlError(
        'featureNotSupported',
        `the nearest replica knows everything up to ${formatTimestamp(closed)}, which is older than ` +
          `the minimum timestamp ${formatTimestamp(oldest)} of a bounded staleness read`,
      );
    }
    this.#at = oldest;
    this.#isNearest = false;
    return true;
  }
}
