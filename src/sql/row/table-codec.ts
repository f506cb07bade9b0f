/** The codecs of a table's indexes, made once per descriptor (which never changes once it exists). */
import { must } from '../../util/index.ts';
import { type TableDescriptor } from '../catalog/descriptors.ts';
import { makeIndexCodec } from './index-codec.ts';
import { type IndexCodec, type TableCodec } from './types.ts';

const codecs = new WeakMap<TableDescriptor, TableCodec>();

export function tableCodec(table: TableDescriptor): TableCodec {
  const known = codecs.get(table);
  if (known !== undefined) return known;
  const made = makeTableCodec(table);
  codecs.set(table, made);
  return made;
}

function makeTableCodec(table: TableDescriptor): TableCodec {
  const indexes: readonly IndexCodec[] = [
    makeIndexCodec(table, table.primaryIndex, true),
    ...table.indexes.map((index) => makeIndexCodec(table, index, false)),
  ];
  const byId = new Map(indexes.map((codec) => [codec.index.id, codec]));
  return {
    table,
    indexes,
    index: (indexId) => must(byId.get(indexId), `table ${table.name} has no index ${indexId}`),
  };
}
