/**
 * The past of a feed: all committed versions of a span above a timestamp, as a snapshot of the engine has them. Versions of one key come
 * oldest first; keys one after the other. Read as the consumer asks for it.
 */
import { compareTimestamps, type ChangedValue, type Timestamp } from '../../kv/index.ts';
import {
  decodeVersion,
  decodeVersionKey,
  headSpan,
  HeadReader,
  keyOfHead,
  versionKey,
  versionsOf,
  type EngineSnapshot,
} from '../../storage/index.ts';
import { yieldTurn, type Env } from '../../util/index.ts';
import { copyOf } from './head-changes.ts';

const pageRows = 256;

export interface CatchUpOptions {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly after: Timestamp;
}

export class CatchUp {
  readonly #env: Pick<Env, 'timers'>;
  readonly #snapshot: EngineSnapshot;
  readonly #pages: AsyncGenerator<ChangedValue[], undefined>;

  /** Owns `snapshot` from now on. */
  constructor(env: Pick<Env, 'timers'>, snapshot: EngineSnapshot, options: CatchUpOptions) {
    this.#env = env;
    this.#snapshot = snapshot;
    this.#pages = pagesOf(snapshot, options);
  }

  /** Some versions more, perhaps none; undefined at the end. */
  async next(): Promise<readonly ChangedValue[] | undefined> {
    await yieldTurn(this.#env);
    return (await this.#pages.next()).value;
  }

  /** Behind the page that is being read. */
  async close(): Promise<void> {
    await this.#pages.return(undefined);
    this.#snapshot.close();
  }
}

async function* pagesOf(
  snapshot: EngineSnapshot,
  { start, end, after }: CatchUpOptions,
): AsyncGenerator<ChangedValue[], undefined> {
  const heads = snapshot.iterate(headSpan(start, end));
  const head = new HeadReader();
  try {
    for (;;) {
      const page = await heads.next(pageRows);
      if (page.length === 0) return undefined;
      let found: ChangedValue[] = [];
      for (const [engineKey, record] of page) {
        head.read(record);
        const { timestamp, value } = head;
        if (timestamp === undefined || compareTimestamps(timestamp, after) <= 0) continue;
        const key = Buffer.from(keyOfHead(engineKey));
        let previous = await valueAt(snapshot, key, after);
        for await (const older of olderVersions(snapshot, key, after)) {
          for (const version of older) {
            found.push({ kind: 'value', key, ...version, previous });
            previous = version.value;
          }
          if (found.length < pageRows) continue;
          yield found;
          found = [];
        }
        found.push({ kind: 'value', key, value: copyOf(value), timestamp, previous });
      }
      yield found;
    }
  } finally {
    await heads.close();
  }
}

interface Version {
  readonly timestamp: Timestamp;
  readonly value: Buffer | undefined;
}

/** Versions above `after` that are not the newest one, oldest first. */
async function* olderVersions(
  snapshot: EngineSnapshot,
  key: Buffer,
  after: Timestamp,
): AsyncGenerator<Version[], undefined> {
  // Newest first in the engine: those above `after` stand before it.
  const { start } = versionsOf(key);
  const rows = snapshot.iterate({ start, end: versionKey(key, after), reverse: true });
  try {
    for (;;) {
      const page = await rows.next(pageRows);
      if (page.length === 0) return undefined;
      yield page.map(([engineKey, stored]) => ({
        timestamp: decodeVersionKey(engineKey).timestamp,
        value: copyOf(decodeVersion(stored)),
      }));
    }
  } finally {
    await rows.close();
  }
}

/** The value of a key whose newest version stands above `at`. */
async function valueAt(
  snapshot: EngineSnapshot,
  key: Buffer,
  at: Timestamp,
): Promise<Buffer | undefined> {
  const rows = snapshot.iterate({ start: versionKey(key, at), end: versionsOf(key).end });
  try {
    const [row] = await rows.next(1);
    return row && copyOf(decodeVersion(row[1]));
  } finally {
    await rows.close();
  }
}
