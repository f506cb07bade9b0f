/** From entries of an index to the rows that they lead to. */
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { tableCodec } from '../../row/index.ts';
import { type IndexCodec } from '../../row/types.ts';
import { type Datum } from '../../types/index.ts';

/** Reads the row's own key from an entry. */
export function rowKeyReader(
  table: TableDescriptor,
  codec: IndexCodec,
): (key: Buffer, value: Buffer) => Buffer {
  const primary = must(tableCodec(table).indexes[0]);
  const decode = codec.decoder(
    table.primaryIndex.columns.map(({ columnId }) =>
      table.columns.findIndex((column) => column.id === columnId),
    ),
  );
  const row: Datum[] = table.columns.map(() => null);
  return (key, value) => {
    decode(key, value, row);
    return primary.encodeKey(row);
  };
}
