export { tableCodec } from './table-codec.ts';
export { storedFormat } from './index-codec.ts';
export type { IndexCodec, RowDecoder, TableCodec } from './types.ts';
