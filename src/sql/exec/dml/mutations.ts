/**
 * The writes of one statement. They are gathered while the statement reads and handed to the
 * transaction when all reading is done, so a statement never sees its own writes. Deletions of index
 * entries go first: a unique key may move from one row to another within a statement.
 */
import { decodeIndexPrefix } from '../../../encoding/index.ts';
import { KvFailure } from '../../../kv/index.ts';
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { sqlError } from '../../errors.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum, type Row } from '../../types/index.ts';
import { rowBytes, type Runtime } from '../runtime.ts';
import { keyText, type TableRules } from './table-rules.ts';
import {
  hasUnpublished,
  isUnpublished,
  UnpublishedEntries,
  type EntryKey,
} from './unpublished-entries.ts';

export interface Mutation {
  readonly rules: TableRules;
  /** Undefined: an insertion. */
  readonly before: Row | undefined;
  /** Undefined: a deletion. */
  readonly after: Row | undefined;
  /** Of an insertion: its primary key was made up for it (`InsertOptions`). */
  readonly hasFreshKey?: boolean;
}

const lockedAtOnce = 1024;

export class Mutations {
  readonly #rt: Runtime;
  #pending: Mutation[] = [];
  /** Written, but with their references still to be checked. */
  #written: Mutation[] = [];
  /** Names of the rows that the statement has changed or deleted. */
  readonly #modified = new Set<string>();
  readonly #tables = new Map<number, TableDescriptor>();
  #unpublished = new UnpublishedEntries();

  constructor(rt: Runtime) {
    this.#rt = rt;
  }

  add(mutation: Mutation): void {
    const { table } = mutation.rules;
    this.#tables.set(table.id, table);
    this.#pending.push(mutation);
  }

  /**
   * False when the statement has changed or deleted the row before, in whatever part of it: all parts start from the same
   * row, so PostgreSQL leaves out all but the first.
   */
  claim(table: TableDescriptor, row: Row): boolean {
    const name = rowName(table, row);
    if (this.#modified.has(name)) return false;
    this.#modified.add(name);
    return true;
  }

  /** What is not written yet; another array once it is. */
  get pending(): readonly Mutation[] {
    return this.#pending;
  }

  /** Claims the memory of what waits; called per batch. */
  account(rows: readonly Row[]): void {
    this.#rt.hold(rows.reduce((sum, row) => sum + rowBytes(row), 0));
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  /** Writes what is pending into the transaction. */
  async apply(): Promise<void> {
    const { txn } = this.#rt;
    const pending = this.#pending;
    this.#pending = [];
    this.#unpublished = await this.#lockUnpublished(pending);
    for (const mutation of pending) await this.#removeEntries(mutation);
    for (const [i, mutation] of pending.entries()) {
      await this.#addEntries(mutation);
      if (i % 1024 === 1023) {
        await this.guard(() => txn.flushIfLarge());
        await this.#rt.breathe();
      }
    }
    for (const mutation of pending)
      if (hasReferences(mutation.rules.table)) this.#written.push(mutation);
    await this.guard(() => txn.flushIfLarge());
  }

  /** What was written since the last call, for the checks of foreign keys. */
  takeWritten(): Mutation[] {
    const written = this.#written;
    this.#written = [];
    return written;
  }

  /** Nobody else is to change the entries of these rows: whose they are decides what is written. */
  async #lockUnpublished(pending: readonly Mutation[]): Promise<UnpublishedEntries> {
    const entries = new UnpublishedEntries();
    if (![...this.#tables.values()].some(hasUnpublished)) return entries;
    let keys: EntryKey[] = [];
    for (const { rules, before } of pending) {
      if (before === undefined) continue;
      const { table } = rules;
      for (const codec of tableCodec(table).indexes) {
        if (!isUnpublished(codec.index) || codec.hasNullKey(before)) continue;
        if (!(await this.#contains(rules, codec, before))) continue;
        keys.push({ table, codec, key: codec.encodeKey(before) });
      }
      if (keys.length < lockedAtOnce) continue;
      await entries.lock(this.#rt.txn, keys);
      await this.#rt.breathe();
      keys = [];
    }
    if (keys.length > 0) await entries.lock(this.#rt.txn, keys);
    return entries;
  }

  async #removeEntries({ rules, before, after }: Mutation): Promise<void> {
    if (before === undefined) return;
    const { txn } = this.#rt;
    for (const codec of tableCodec(rules.table).indexes) {
      if (codec.index.state === 'dropped' || !(await this.#contains(rules, codec, before)))
        continue;
      const key = codec.encodeKey(before);
      if (
        after !== undefined &&
        codec.index.state !== 'delete-only' &&
        (await this.#contains(rules, codec, after))
      ) {
        if (key.equals(codec.encodeKey(after))) continue;
      }
      if (isUnpublished(codec.index)) {
        const entry = { table: rules.table, codec, key };
        if (this.#unpublished.isOfAnother(entry, before)) continue;
        this.#unpublished.note(entry, undefined);
      }
      txn.delete(key);
    }
  }

  async #addEntries({ rules, before, after, hasFreshKey = false }: Mutation): Promise<void> {
    if (after === undefined) return;
    const { txn } = this.#rt;
    const { indexes } = tableCodec(rules.table);
    const [primary] = indexes;
    for (const codec of indexes) {
      const { state, unique } = codec.index;
      if (state === 'dropped' || state === 'delete-only') continue;
      if (!(await this.#contains(rules, codec, after))) continue;
      const key = codec.encodeKey(after);
      const value = codec.encodeValue(after);
      const stays =
        before !== undefined &&
        (await this.#contains(rules, codec, before)) &&
        key.equals(codec.encodeKey(before));
      if (isUnpublished(codec.index)) {
        const entry = { table: rules.table, codec, key };
        if (stays && this.#unpublished.isOfAnother(entry, before)) {
          // The backfill finds both rows, unless it has been where this one moves to.
          const from = must(primary).encodeKey(before);
          if (!must(primary).encodeKey(after).equals(from)) txn.insert(key, value);
          continue;
        }
        this.#unpublished.note(entry, after);
      }
      if (stays) {
        // Written even when nothing changed: an entry being backfilled may not be there yet; and at REPEATABLE READ, by which
        // updates keep each other out, a row has to show that it was updated.
        const isTrace = codec === primary && txn.meta.isolation === 'snapshot';
        if (state !== 'public' || isTrace || !value.equals(codec.encodeValue(must(before))))
          txn.put(key, value);
      } else if ((unique || codec === primary) && !codec.hasNullKey(after)) {
        txn.insert(key, value, { isFresh: codec === primary && hasFreshKey });
      } else txn.put(key, value);
    }
  }

  async #contains(rules: TableRules, codec: IndexCodec, row: Row): Promise<boolean> {
    const predicate = rules.predicates.get(codec.index.id);
    if (predicate === undefined) return true;
    const value = predicate.sync
      ? predicate.run(row, this.#rt)
      : await predicate.run(row, this.#rt);
    return value === true;
  }

  /** Whether the row has an entry in the index. */
  contains(rules: TableRules, codec: IndexCodec, row: Row): Promise<boolean> {
    return this.#contains(rules, codec, row);
  }

  /** Runs a step of the transaction that may find a key taken, and names the constraint then. */
  async guard<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof KvFailure) || error.kvError.kind !== 'condition-failed') throw error;
      throw this.#uniqueViolation(error.kvError.key, error.kvError.existing) ?? error;
    }
  }

  #uniqueViolation(key: Buffer, existing: Buffer | undefined): Error | undefined {
    const where = decodeIndexPrefix(key);
    const table = where === undefined ? undefined : this.#tables.get(where.tableId);
    if (where?.indexId === undefined || table === undefined) return undefined;
    const codec = tableCodec(table).indexes.find(
      (candidate) => candidate.index.id === where.indexId,
    );
    if (codec === undefined) return undefined;
    const ids = codec.index.columns.map((column) => column.columnId);
    const positions = ids.map((id) => table.columns.findIndex((column) => column.id === id));
    const row: Datum[] = table.columns.map(() => null);
    codec.decoder(positions)(key, existing ?? Buffer.alloc(0), row);
    const values = positions.map((position) => row[position] ?? null);
    return sqlError(
      'uniqueViolation',
      `duplicate key value violates unique constraint "${codec.index.name}"`,
      {
        detail: `${keyText(table, ids, values, this.#rt.eval)} already exists.`,
        table: table.name,
        constraint: codec.index.name,
      },
    );
  }
}

function hasReferences(table: TableDescriptor): boolean {
  return table.foreignKeys.length > 0 || table.referencedBy.length > 0;
}

/** The row's primary key as a name that no other row of any table has. */
export function rowName(table: TableDescriptor, row: Row): string {
  return must(tableCodec(table).indexes[0]).encodeKey(row).toString('latin1');
}

const current = new WeakMap<Runtime, Mutations>();

/** The statement's one collection of writes. */
export function mutationsOf(rt: Runtime): Mutations {
  let mutations = current.get(rt);
  if (mutations === undefined) {
    mutations = new Mutations(rt);
    current.set(rt, mutations);
  }
  return mutations;
}
