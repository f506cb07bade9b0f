/**
 * A changefeed without a sink: the changes of some tables as rows for the client who asked, until it stops asking. It holds no
 * transaction and no lease of the catalog, so it is in nobody's way: each row is read with the definition that held when it was written.
 *
 * Delivery is that of a `SpanFeed`: at least once, in order for each key; what is resolved is complete.
 */
import {
  laterTimestamp,
  type ChangedValue,
  type Db,
  type Resolved,
  type SpanFeed,
  type Timestamp,
  type Txn,
} from '../../kv/index.ts';
import { isBetween, must, nextKey, prefixEnd, type Env } from '../../util/index.ts';
import { descriptorKey, type TableDescriptor } from '../catalog/index.ts';
import { tableCodec } from '../row/index.ts';
import { type Row } from '../types/index.ts';
import { keyNeedsValue, resolvedMessage, RowMessages, wrapped } from './message.ts';
import { type ChangefeedOptions } from './options.ts';
import { TableHistory } from './table-history.ts';

export interface ChangefeedParts {
  readonly env: Env;
  readonly db: Db;
  readonly tables: readonly TableDescriptor[];
  readonly options: ChangefeedOptions;
  /** What is at or before it counts as known; with an initial scan, as it was then. */
  readonly from: Timestamp;
}

/** Rows (table, key, value) for the client; resolves when it may be told more. */
export type Tell = (rows: readonly Row[]) => Promise<void>;

interface Target {
  readonly name: string;
  readonly start: Buffer;
  readonly end: Buffer;
  /** Of the table's record. */
  readonly descriptorKey: Buffer;
  readonly history: TableHistory;
}

const scanRows = 1_000;
const scanBytes = 1 << 20;

export class Changefeed {
  readonly #parts: ChangefeedParts;
  readonly #targets: readonly Target[];
  readonly #messages = new WeakMap<TableDescriptor, RowMessages>();
  readonly #withPrevious: boolean;
  #feed: SpanFeed | undefined;
  /** Reads the rows as they are: it may wait for somebody's commit. */
  #scanning: Txn | undefined;
  #stopped = false;
  #toldResolvedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ChangefeedParts) {
    this.#parts = parts;
    this.#withPrevious = parts.options.diff || parts.tables.some(keyNeedsValue);
    this.#targets = parts.tables.map((table) => {
      const start = tableCodec(table).index(table.primaryIndex.id).prefix;
      return {
        name: table.name,
        start,
        end: must(prefixEnd(start)),
        descriptorKey: descriptorKey(table.id),
        history: new TableHistory(parts.db, table),
      };
    });
  }

  /** Ends the call of `run` that is under way, at its next step. */
  stop(): void {
    this.#stopped = true;
    this.#scanning?.cancel();
    this.#feed?.close();
  }

  /** Returns when it is stopped. `check` is called before each step, and throws to end the feed. */
  async run(tell: Tell, check: () => void): Promise<void> {
    const { db, options, from } = this.#parts;
    if (options.initialScan) {
      for (const target of this.#targets) await this.#scan(target, tell, check);
    }
    if (this.#stopped) return;
    const feed = db.feed({
      spans: this.#targets.flatMap(({ start, end, descriptorKey: key }) => [
        { start, end },
        { start: key, end: nextKey(key) },
      ]),
      after: from,
      withPrevious: this.#withPrevious,
    });
    this.#feed = feed;
    try {
      for (;;) {
        check();
        if (this.#stopped) return;
        await this.#next(feed, tell);
      }
    } finally {
      feed.close();
    }
  }

  async #next(feed: SpanFeed, tell: Tell): Promise<void> {
    const events = await feed.next();
    const changes = events.filter((event) => event.kind === 'value');
    await this.#lookAhead(changes);
    const rows: Row[] = [];
    for (const event of events) {
      const row = event.kind === 'value' ? await this.#changed(event) : this.#resolved(event);
      if (row !== undefined) rows.push(row);
    }
    if (rows.length > 0) await tell(rows);
  }

  /** Mostly the newest definition is that of all changes: then it is read once. */
  async #lookAhead(changes: readonly ChangedValue[]): Promise<void> {
    const newest = changes.reduce<Timestamp | undefined>(
      (latest, { timestamp }) => (latest ? laterTimestamp(latest, timestamp) : timestamp),
      undefined,
    );
    if (newest === undefined) return;
    for (const { history } of this.#targets) await history.at(newest);
  }

  async #changed(change: ChangedValue): Promise<Row | undefined> {
    const { key, value, timestamp, previous } = change;
    const target = this.#targets.find(({ start, end }) => isBetween(key, start, end));
    // A change of a definition: `#lookAhead` has seen whether the feed can go on.
    if (target === undefined) return undefined;
    // Where there was nothing, nothing has changed.
    if (value === undefined && previous === undefined && this.#withPrevious) return undefined;
    const messages = await this.#messagesAt(target, timestamp);
    const before = previous && messages.row(key, previous);
    const after = value && messages.row(key, value);
    const keyText = messages.key(after ?? before ?? messages.row(key, Buffer.alloc(0)));
    return this.#row(target, keyText, {
      after: messages.object(after),
      before: messages.object(before),
      timestamp,
    });
  }

  #row(
    { name }: Target,
    key: string,
    parts: { readonly after: string; readonly before: string; readonly timestamp: Timestamp },
  ): Row {
    const value = wrapped(this.#parts.options, { key, ...parts });
    return [name, Buffer.from(key), value === null ? null : Buffer.from(value)];
  }

  #resolved({ timestamp }: Resolved): Row | undefined {
    const { env, options } = this.#parts;
    const { resolvedEveryMs } = options;
    const nowMs = env.clock.monotonicMs();
    if (resolvedEveryMs === undefined || nowMs - this.#toldResolvedAtMs < resolvedEveryMs) {
      return undefined;
    }
    this.#toldResolvedAtMs = nowMs;
    return [null, null, Buffer.from(resolvedMessage(timestamp))];
  }

  /** The rows as they were at `from`. */
  async #scan(target: Target, tell: Tell, check: () => void): Promise<void> {
    const { db, from } = this.#parts;
    const messages = await this.#messagesAt(target, from);
    const txn = db.begin({ name: 'changefeed', asOf: from });
    this.#scanning = txn;
    try {
      let rest: { readonly start: Buffer; readonly end: Buffer } | undefined = target;
      while (rest !== undefined && !this.#stopped) {
        check();
        const { start, end } = rest;
        const page = await txn.scan({ start, end, maxRows: scanRows, maxBytes: scanBytes });
        const rows = page.keys.map((key, i) => {
          const row = messages.row(key, must(page.values[i]));
          const after = messages.object(row);
          return this.#row(target, messages.key(row), { after, before: 'null', timestamp: from });
        });
        if (rows.length > 0) await tell(rows);
        rest = page.resume;
      }
    } finally {
      this.#scanning = undefined;
      await txn.rollback();
    }
  }

  async #messagesAt({ history }: Target, time: Timestamp): Promise<RowMessages> {
    const table = await history.at(time);
    let messages = this.#messages.get(table);
    if (messages === undefined) {
      messages = new RowMessages(table);
      this.#messages.set(table, messages);
    }
    return messages;
  }
}
