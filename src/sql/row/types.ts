/**
 * Rows as key-value pairs. A table row is one pair under the primary index: the key holds the primary
 * key columns in order-preserving form, the value all other columns (and those key columns whose key
 * form loses something). A secondary index entry is one pair: see IndexDescriptor for what stands
 * in the key and what in the value.
 *
 * A TableCodec is compiled once per descriptor version and cached; its functions are monomorphic.
 * In all of them a row is an array of datums aligned with `table.columns`.
 */
import { type Datum, type Row } from '../types/datum.ts';
import { type IndexDescriptor, type TableDescriptor } from '../catalog/descriptors.ts';

export interface TableCodec {
  readonly table: TableDescriptor;
  /** Primary first, then `table.indexes` in order (also those being built). */
  readonly indexes: readonly IndexCodec[];
  index(indexId: number): IndexCodec;
}

export interface IndexCodec {
  readonly index: IndexDescriptor;
  /** /table/index: every entry's key starts with it. */
  readonly prefix: Buffer;
  /** Undefined when a partial index leaves the row out is decided by the caller; keys never fail. */
  encodeKey(row: Row): Buffer;
  encodeValue(row: Row): Buffer;
  /** Key prefix for the first `values.length` index columns: spans of lookups and range scans. */
  encodeKeyPrefix(values: readonly Datum[]): Buffer;
  /** True when a unique index cannot enforce this row (a NULL among its columns): the key then carries the primary key. */
  hasNullKey(row: Row): boolean;
  /** A decoder that fills only `columnPositions` of the row (positions in table.columns), the rest stays null. */
  decoder(columnPositions: readonly number[]): RowDecoder;
  /** Positions in table.columns this index can deliver (all, for the primary). */
  readonly coveredPositions: readonly number[];
  /** Human form of a key for SHOW RANGES: /1/"abc"/2. Key parts that do not decode print as hex. */
  prettyKey(key: Buffer): string;
}

/** `target` has one slot per table column. Throws RangeError on bytes no encoder makes. */
export type RowDecoder = (key: Buffer, value: Buffer, target: Datum[]) => void;
