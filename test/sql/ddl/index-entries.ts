/** What the indexes of a table hold, against what its rows ask for. */
import { indexPrefix } from '../../../src/encoding/index.ts';
import { type Db } from '../../../src/kv/index.ts';
import { type TableDescriptor } from '../../../src/sql/catalog/index.ts';
import { tableCodec } from '../../../src/sql/row/index.ts';
import { type Datum } from '../../../src/sql/types/index.ts';
import { must, prefixEnd } from '../../../src/util/index.ts';

export interface IndexEntries {
  readonly name: string;
  readonly count: number;
  /** Entries that some row lacks. */
  readonly missing: readonly string[];
  /** Entries that no row asks for. */
  readonly surplus: readonly string[];
}

async function scanIndex(db: Db, tableId: number, indexId: number) {
  const start = indexPrefix({ tableId, indexId });
  const page = await db.begin().scan({ start, end: must(prefixEnd(start)) });
  return page.keys.map((key, at) => ({ key, value: must(page.values[at]) }));
}

/** The primary index first. */
export async function indexEntries(db: Db, table: TableDescriptor): Promise<IndexEntries[]> {
  const codec = tableCodec(table);
  const decode = codec.index(table.primaryIndex.id).decoder(table.columns.map((_, at) => at));
  const rows = (await scanIndex(db, table.id, table.primaryIndex.id)).map(({ key, value }) => {
    const row: Datum[] = table.columns.map(() => null);
    decode(key, value, row);
    return row;
  });
  const all: IndexEntries[] = [];
  for (const index of codec.indexes) {
    // Primary rows may still hold values of dropped columns: only their keys are compared.
    const isPrimary = index.index.id === table.primaryIndex.id;
    const text = (key: Buffer, value: Buffer): string =>
      isPrimary ? key.toString('hex') : `${key.toString('hex')}=${value.toString('hex')}`;
    const wanted = rows.map((row) => text(index.encodeKey(row), index.encodeValue(row)));
    const scanned = await scanIndex(db, table.id, index.index.id);
    const found = scanned.map(({ key, value }) => text(key, value));
    const [isWanted, isFound] = [new Set(wanted), new Set(found)];
    all.push({
      name: index.index.name,
      count: found.length,
      missing: wanted.filter((entry) => !isFound.has(entry)),
      surplus: found.filter((entry) => !isWanted.has(entry)),
    });
  }
  return all;
}
