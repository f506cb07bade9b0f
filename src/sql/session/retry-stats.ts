/** How often statements of this node had to be run again, by fingerprint: what SHOW RETRIES tells. */
import { type SessionCounters } from './services.ts';
import { type RetryInfo } from '../virtual/index.ts';
import { findLiterals, shapeText } from './literals.ts';

/**
 * restart          a statement that stands alone, or a message that is one transaction, runs again
 * statement-retry  a statement of a transaction runs again on a new snapshot
 * replay           a transaction's statements run again, with the same answers
 * refused          they did not, though they had to
 * error            a client was told of a serialization failure (40001)
 */
export type RetryKind = 'restart' | 'statement-retry' | 'replay' | 'refused' | 'error';

type RetryRecord = { -readonly [Name in keyof RetryInfo]: RetryInfo[Name] };

/** Fingerprints that are remembered; those of long ago go first. */
const maxRecords = 1000;
const maxFingerprintLength = 512;

export class RetryStats {
  readonly #counters: SessionCounters;
  readonly #records = new Map<string, RetryRecord>();

  constructor(counters: SessionCounters) {
    this.#counters = counters;
  }

  note(kind: RetryKind, text: string, reason: string, wallMicros: number): void {
    const record = this.#record(fingerprintOf(text));
    record.lastReason = reason;
    record.lastAt = wallMicros;
    switch (kind) {
      case 'restart':
        record.restarts++;
        this.#counters.restarts++;
        return;
      case 'statement-retry':
        record.statementRetries++;
        this.#counters.statementRetries++;
        return;
      case 'replay':
        record.replays++;
        this.#counters.replays++;
        return;
      case 'refused':
        record.replaysRefused++;
        this.#counters.replaysRefused++;
        return;
      case 'error':
        record.errors++;
        this.#counters.retryErrors++;
        return;
    }
  }

  /** The latest last. */
  list(): readonly RetryInfo[] {
    return [...this.#records.values()];
  }

  #record(fingerprint: string): RetryRecord {
    const known = this.#records.get(fingerprint);
    this.#records.delete(fingerprint);
    const record = known ?? {
      fingerprint,
      restarts: 0,
      statementRetries: 0,
      replays: 0,
      replaysRefused: 0,
      errors: 0,
      lastReason: '',
      lastAt: 0,
    };
    this.#records.set(fingerprint, record);
    if (this.#records.size > maxRecords) {
      for (const [oldest] of this.#records) {
        this.#records.delete(oldest);
        break;
      }
    }
    return record;
  }
}

/** The text with `_` for its literals, where they are easily found. */
function fingerprintOf(text: string): string {
  const shape = findLiterals(text);
  const marked = shape === undefined ? text : shapeText(shape);
  return marked.replaceAll(/\s+/g, ' ').trim().slice(0, maxFingerprintLength);
}
