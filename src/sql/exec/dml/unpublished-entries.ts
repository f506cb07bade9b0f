/**
 * Entries of unique indexes that are still being built. Until the backfill has come by, a row may lack its entry, and its key may
 * have that of another row: a duplicate that the backfill is going to find. So whoever changes a row first locks what is at its
 * key and looks whose it is.
 *
 * INVARIANT 1: an entry is exactly that of one row, which is there.
 * INVARIANT 2: a row without an entry has not been passed by the backfill, and keeps its primary key for as long.
 */
import { type Txn } from '../../../kv/index.ts';
import { type IndexDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum, type Row } from '../../types/index.ts';

export function isUnpublished({ unique, state }: IndexDescriptor): boolean {
  return unique && state !== 'public';
}

export function hasUnpublished({ indexes }: TableDescriptor): boolean {
  return indexes.some(isUnpublished);
}

export interface EntryKey {
  readonly table: TableDescriptor;
  readonly codec: IndexCodec;
  readonly key: Buffer;
}

/** Whose the entries are that one statement comes by. */
export class UnpublishedEntries {
  /** Undefined: nobody's. */
  readonly #owners = new Map<string, Buffer | undefined>();

  async lock(txn: Txn, entries: readonly EntryKey[]): Promise<void> {
    const keys = entries.map(({ key }) => key);
    const values = await txn.getMany(keys, { lock: 'update' });
    for (const [i, entry] of entries.entries()) {
      const value = values[i];
      const row: Datum[] = entry.table.columns.map(() => null);
      if (value !== undefined) entry.codec.decoder(identifying(entry))(entry.key, value, row);
      this.note(entry, value === undefined ? undefined : row);
    }
  }

  /** It is that of `row` from now on; undefined: it is gone. */
  note(entry: EntryKey, row: Row | undefined): void {
    const owner = row === undefined ? undefined : identity(entry, row);
    this.#owners.set(entry.key.toString('latin1'), owner);
  }

  isOfAnother(entry: EntryKey, row: Row): boolean {
    const owner = this.#owners.get(entry.key.toString('latin1'));
    return owner !== undefined && !owner.equals(identity(entry, row));
  }
}

/** Where the columns stand that no two rows have in common. */
function identifying({ table, codec: { index } }: EntryKey): number[] {
  const ids = [...index.columns.map(({ columnId }) => columnId), ...index.suffixColumnIds];
  return ids.map((id) => table.columns.findIndex((column) => column.id === id));
}

function identity(entry: EntryKey, row: Row): Buffer {
  return entry.codec.encodeKeyPrefix(identifying(entry).map((position) => row[position] ?? null));
}
