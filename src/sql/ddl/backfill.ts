/**
 * Filling indexes from the rows of a table: in the statement's own transaction for tables that nobody else
 * sees or that are small, else in chunks with transactions of their own while writers keep the new index
 * up to date (it is write-only). Also the scans that check rows, and the clearing of what was dropped.
 */
import { must, prefixEnd, yieldTurn, type Env } from '../../util/index.ts';
import { indexPrefix } from '../../encoding/index.ts';
import { KvFailure, type Db, type Timestamp, type Txn } from '../../kv/index.ts';
import { type IndexDescriptor, type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { tableCodec, type IndexCodec, type TableCodec } from '../row/index.ts';
import { defaultFormat, typeOps, type Datum } from '../types/index.ts';
import { columnById, containsNulls } from './draft.ts';

const chunkRows = 1000;
const chunkBytes = 1 << 20;

export interface RowChunk {
  readonly rows: readonly Datum[][];
  readonly resume: Buffer | undefined;
}

export function indexSpan(tableId: number, indexId: number): { start: Buffer; end: Buffer } {
  const start = indexPrefix({ tableId, indexId });
  return { start, end: must(prefixEnd(start)) };
}

/** Up to 1,000 rows of the primary index from `from` on, every column decoded. */
export async function readChunk(
  txn: Txn,
  codec: TableCodec,
  from: Buffer | undefined,
): Promise<RowChunk> {
  const { table } = codec;
  const span = indexSpan(table.id, table.primaryIndex.id);
  const start = from ?? span.start;
  const page = await txn.scan({ start, end: span.end, maxRows: chunkRows, maxBytes: chunkBytes });
  const decode = codec.index(table.primaryIndex.id).decoder(table.columns.map((_, at) => at));
  const rows = page.keys.map((key, at) => {
    const row: Datum[] = table.columns.map(() => null);
    decode(key, must(page.values[at]), row);
    return row;
  });
  return { rows, resume: page.resume?.start };
}

export function isEmptyTable(txn: Txn, table: TableDescriptor): Promise<boolean> {
  return isSmallTable(txn, table, 0);
}

/** True when the table has at most `limit` rows; reads no more than that. */
export async function isSmallTable(
  txn: Txn,
  table: TableDescriptor,
  limit: number,
): Promise<boolean> {
  const span = indexSpan(table.id, table.primaryIndex.id);
  let { start } = span;
  let count = 0;
  while (count <= limit) {
    const page = await txn.scan({ start, end: span.end, maxRows: limit + 1 - count });
    count += page.keys.length;
    if (page.resume === undefined) return count <= limit;
    ({ start } = page.resume);
  }
  return false;
}

/** Which rows of a chunk a partial index holds; without it, all. */
export type RowFilter = (txn: Txn, rows: readonly Datum[][]) => Promise<readonly boolean[]>;

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly row: Datum[];
}

/**
 * Writes one index's entries for some rows. Throws 23505 when a unique index would hold a key twice, 23502 for nulls.
 * `expectFree`: entries of a unique index are inserted without a look at what is there; where a key is taken, the
 * commit fails with 'condition-failed', and the caller tries again without it.
 */
export async function writeEntries(
  txn: Txn,
  table: TableDescriptor,
  codec: IndexCodec,
  rows: readonly Datum[][],
  expectFree = false,
): Promise<void> {
  const { index } = codec;
  for (const row of rows) refuseNulls(table, index, row);
  const entries: Entry[] = rows.map((row) => ({
    key: codec.encodeKey(row),
    value: codec.encodeValue(row),
    row,
  }));
  if (!index.unique) {
    for (const entry of entries) txn.put(entry.key, entry.value);
    return;
  }
  const seen = new Set<string>();
  const found = expectFree ? [] : await txn.getMany(entries.map(({ key }) => key));
  for (const [at, entry] of entries.entries()) {
    const text = entry.key.toString('latin1');
    const existing = found[at];
    const isTwice = seen.has(text) || (existing !== undefined && !existing.equals(entry.value));
    if (isTwice) throw duplicateKey(table, index, entry.row);
    seen.add(text);
    if (existing !== undefined) continue;
    if (expectFree) txn.insert(entry.key, entry.value);
    else txn.put(entry.key, entry.value);
  }
}

/** Rows from before a key column became NOT NULL. Throws 23502. */
function refuseNulls(table: TableDescriptor, index: IndexDescriptor, row: readonly Datum[]): void {
  for (const { columnId } of index.columns) {
    const at = table.columns.findIndex((column) => column.id === columnId);
    const column = table.columns[at];
    if ((row[at] ?? null) !== null || column === undefined || column.nullable) continue;
    throw containsNulls(table, column);
  }
}

function duplicateKey(
  table: TableDescriptor,
  index: IndexDescriptor,
  row: readonly Datum[],
): Error {
  const names: string[] = [];
  const values: string[] = [];
  for (const { columnId } of index.columns) {
    const at = table.columns.findIndex((column) => column.id === columnId);
    const column = columnById(table, columnId);
    const value = row[at] ?? null;
    names.push(column?.name ?? '?');
    values.push(
      value === null || column === undefined
        ? 'null'
        : typeOps(column.typeOid).format(value, defaultFormat),
    );
  }
  return sqlError('uniqueViolation', `could not create unique index "${index.name}"`, {
    detail: `Key (${names.join(', ')})=(${values.join(', ')}) is duplicated.`,
    table: table.name,
    constraint: index.name,
  });
}

/** Fills `indexes` of `table` inside `txn`. */
export async function backfillInside(
  txn: Txn,
  table: TableDescriptor,
  indexes: readonly IndexDescriptor[],
  filter: (index: IndexDescriptor) => RowFilter | undefined,
): Promise<void> {
  const codec = tableCodec(table);
  let from: Buffer | undefined;
  do {
    const chunk = await readChunk(txn, codec, from);
    for (const index of indexes) {
      const rows = await filtered(txn, chunk.rows, filter(index));
      await writeEntries(txn, table, codec.index(index.id), rows);
    }
    await txn.flushIfLarge();
    from = chunk.resume;
  } while (from !== undefined);
}

async function filtered(
  txn: Txn,
  rows: readonly Datum[][],
  filter: RowFilter | undefined,
): Promise<readonly Datum[][]> {
  if (filter === undefined || rows.length === 0) return rows;
  const keep = await filter(txn, rows);
  return rows.filter((_, at) => keep[at] === true);
}

export interface OnlineBackfill {
  readonly db: Db;
  readonly env: Env;
  readonly indexIds: readonly number[];
  /** The table as it is now, or undefined when it (or an index) is gone: read inside each chunk's transaction. */
  readonly table: (txn: Txn) => Promise<TableDescriptor | undefined>;
  readonly filter: (table: TableDescriptor, index: IndexDescriptor) => RowFilter | undefined;
  readonly checkCanceled: () => void;
}

/** Fills write-only indexes chunk by chunk. Returns false when the table vanished meanwhile. */
export async function backfillOnline(options: OnlineBackfill): Promise<boolean> {
  const { db, env, indexIds } = options;
  let from: Buffer | undefined;
  do {
    options.checkCanceled();
    const start = from;
    const fill = (expectFree: boolean): Promise<{ resume: Buffer | undefined } | undefined> =>
      db.run({ name: 'backfill index', priority: 'low', bulk: true }, async (txn) => {
        const table = await options.table(txn);
        if (table === undefined) return undefined;
        const codec = tableCodec(table);
        const chunk = await readChunk(txn, codec, start);
        for (const id of indexIds) {
          const index = codec.index(id);
          const filter = options.filter(table, index.index);
          const rows = await filtered(txn, chunk.rows, filter);
          await writeEntries(txn, table, index, rows, expectFree);
        }
        return { resume: chunk.resume };
      });
    // Nearly always no entry is there yet. Where a writer (or an earlier try) was first, or a key is twice: with a look.
    const result = await fill(true).catch((error: unknown) => {
      if (error instanceof KvFailure && error.kvError.kind === 'condition-failed')
        return fill(false);
      throw error;
    });
    if (result === undefined) return false;
    from = result.resume;
    await yieldTurn(env);
  } while (from !== undefined);
  return true;
}

/** Removes the data of an index for good. Nobody is to read it below `threshold` any more. */
export function clearSpan(
  db: Db,
  { tableId, indexId }: { readonly tableId: number; readonly indexId: number },
  threshold: Timestamp,
): Promise<void> {
  const { start, end } = indexSpan(tableId, indexId);
  return db.clearRange(start, end, threshold);
}
