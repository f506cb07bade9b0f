/** Parts of a table that can have zones of their own: its indexes, and the partitions of an index, which name spans of it. */
import { indexPrefix } from '../../encoding/index.ts';
import { must, prefixEnd } from '../../util/index.ts';
import { quoteLiteral } from './quote.ts';
import { storedFormat, tableCodec } from '../row/index.ts';
import { typeOps, type Datum } from '../types/index.ts';
import {
  type IndexDescriptor,
  type PartitionDescriptor,
  type Partitioning,
  type PartitionValue,
  type TableDescriptor,
} from './descriptors.ts';

export interface Subzone {
  readonly index: IndexDescriptor;
  /** Undefined: the whole index. */
  readonly partition: PartitionDescriptor | undefined;
}

interface KeySpan {
  readonly start: Buffer;
  readonly end: Buffer;
}

/** The primary index first. */
export function indexesOf(table: TableDescriptor): readonly IndexDescriptor[] {
  return [table.primaryIndex, ...table.indexes];
}

/** The indexes that can find what a foreign key to these columns refers to. */
export function referencedIndexes(
  table: TableDescriptor,
  columnIds: readonly number[],
): IndexDescriptor[] {
  return indexesOf(table).filter(
    (index) =>
      index.unique &&
      index.state === 'public' &&
      index.predicateSql === undefined &&
      index.columns.length === columnIds.length &&
      index.columns.every((column) => columnIds.includes(column.columnId)),
  );
}

/** The part of `table` that `subId` stands for. */
export function subzoneOf(table: TableDescriptor, subId: number): Subzone | undefined {
  for (const index of indexesOf(table)) {
    if (index.id === subId) return { index, partition: undefined };
    const partition = index.partitioning?.partitions.find(({ id }) => id === subId);
    if (partition !== undefined) return { index, partition };
  }
  return undefined;
}

export function subzoneSpans(table: TableDescriptor, { index, partition }: Subzone): KeySpan[] {
  const { partitioning } = index;
  if (partition !== undefined && partitioning !== undefined) {
    return partitionSpans(table, index, partitioning.kind, partition);
  }
  const start = indexPrefix({ tableId: table.id, indexId: index.id });
  return [{ start, end: must(prefixEnd(start)) }];
}

/** One span for each row of a list, one in all for a range. */
export function partitionSpans(
  table: TableDescriptor,
  index: IndexDescriptor,
  kind: Partitioning['kind'],
  { bounds }: Pick<PartitionDescriptor, 'bounds'>,
): KeySpan[] {
  if (kind === 'list') {
    return bounds.map((row) => {
      const start = prefixOf(table, index, row);
      return { start, end: must(prefixEnd(start)) };
    });
  }
  const [from = [], to = []] = bounds;
  return [{ start: boundKey(table, index, from), end: boundKey(table, index, to) }];
}

/** The key at which a bound of a range stands: before all keys with its values, or behind them for MAXVALUE. */
function boundKey(
  table: TableDescriptor,
  index: IndexDescriptor,
  row: readonly PartitionValue[],
): Buffer {
  const prefix = prefixOf(table, index, row);
  const open = row.find(({ kind }) => kind === 'min' || kind === 'max');
  return open?.kind === 'max' ? must(prefixEnd(prefix)) : prefix;
}

/** The key of the values in front of the first that is none. */
function prefixOf(
  table: TableDescriptor,
  index: IndexDescriptor,
  row: readonly PartitionValue[],
): Buffer {
  const values: Datum[] = [];
  for (const [at, value] of row.entries()) {
    const { columnId } = must(index.columns[at]);
    const column = must(table.columns.find(({ id }) => id === columnId));
    if (value.kind === 'null') values.push(null);
    else if (value.kind !== 'value') break;
    else values.push(typeOps(column.typeOid).parse(value.text, column.typmod, storedFormat));
  }
  return tableCodec(table).index(index.id).encodeKeyPrefix(values);
}

/** `IN`-list or bounds as SQL: `(1, 'x'), (2, DEFAULT)`, `(MINVALUE) TO (5)`. */
export function partitionValues(
  kind: Partitioning['kind'],
  { bounds }: Pick<PartitionDescriptor, 'bounds'>,
): string {
  return bounds
    .map((row) => `(${row.map(valueText).join(', ')})`)
    .join(kind === 'list' ? ', ' : ' TO ');
}

const words = { null: 'NULL', default: 'DEFAULT', min: 'MINVALUE', max: 'MAXVALUE' };

function valueText(value: PartitionValue): string {
  if (value.kind !== 'value') return words[value.kind];
  return /^-?\d+(\.\d+)?$/.test(value.text) ? value.text : quoteLiteral(value.text);
}
