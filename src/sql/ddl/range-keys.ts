/**
 * Keys as text for people: `/Table/106/1/"amsterdam"`, `/Meta2/...`, `/Max`. Where a table or an index is looked at, its
 * own part is left out: `…/1/"amsterdam"`, `…/"amsterdam"`; a range that reaches beyond says where to.
 */
import {
  decodeIndexPrefix,
  keyMax,
  keyMin,
  meta1Start,
  meta2Start,
  metaEnd,
  tableKeyPrefix,
  tablesStart,
} from '../../encoding/index.ts';
import { must, prefixEnd } from '../../util/index.ts';
import { type CatalogSnapshot, type TableDescriptor } from '../catalog/index.ts';
import { tableCodec } from '../row/index.ts';
import { quoteJson } from '../types/index.ts';
import { indexSpan } from './backfill.ts';
import { type TableIndex } from './named.ts';

export interface KeySpan {
  readonly start: Buffer;
  readonly end: Buffer;
}

export function tableSpan(table: TableDescriptor): KeySpan {
  const start = tableKeyPrefix(table.id);
  return { start, end: must(prefixEnd(start)) };
}

export function spanOfIndex({ table, index }: TableIndex): KeySpan {
  return indexSpan(table.id, index.id);
}

export function keyText(snapshot: CatalogSnapshot, key: Buffer): string {
  if (key.compare(keyMin) <= 0) return '/Min';
  if (key.compare(keyMax) >= 0) return '/Max';
  if (key.compare(meta2Start) < 0) return `/Meta1${under(snapshot, key, meta1Start)}`;
  if (key.compare(metaEnd) < 0) return `/Meta2${under(snapshot, key, meta2Start)}`;
  if (key.compare(tablesStart) < 0) {
    return key.length === 1 ? '/System' : `/System/${quoteJson(key.subarray(1).toString())}`;
  }
  return tableKeyParts(snapshot, key).join('');
}

function under(snapshot: CatalogSnapshot, key: Buffer, prefix: Buffer): string {
  return key.length === prefix.length ? '' : keyText(snapshot, key.subarray(prefix.length));
}

/** `/Table/106`, `/1`, `/"amsterdam"`; what does not decode as hex. */
function tableKeyParts(snapshot: CatalogSnapshot, key: Buffer): readonly [string, string, string] {
  try {
    const place = decodeIndexPrefix(key);
    if (place === undefined) return ['/Table', '', ''];
    const table = `/Table/${place.tableId}`;
    if (place.indexId === undefined) return [table, '', ''];
    const descriptor = snapshot.tableById(place.tableId);
    const index = [descriptor?.primaryIndex, ...(descriptor?.indexes ?? [])].find(
      (candidate) => candidate?.id === place.indexId,
    );
    const rest = key.subarray(place.rest);
    const row =
      descriptor !== undefined && index !== undefined
        ? tableCodec(descriptor).index(index.id).prettyKey(key)
        : rest.length === 0
          ? ''
          : `/0x${rest.toString('hex')}`;
    return [table, `/${place.indexId}`, row];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [`/0x${key.toString('hex')}`, '', ''];
  }
}

/** How the ends of ranges are written. */
export interface KeyScope {
  start(key: Buffer): string | null;
  end(key: Buffer): string | null;
}

export function fullScope(snapshot: CatalogSnapshot): KeyScope {
  const text = (key: Buffer): string => keyText(snapshot, key);
  return { start: text, end: text };
}

/** `of` without index: the whole table. */
export function objectScope(
  snapshot: CatalogSnapshot,
  table: TableDescriptor,
  of: TableIndex | undefined,
): KeyScope {
  const whole = tableSpan(table);
  const span = of === undefined ? whole : spanOfIndex(of);
  const name = of === undefined ? 'Table' : 'Index';
  const text = (key: Buffer): string => {
    const [, index, row] = tableKeyParts(snapshot, key);
    return of === undefined ? `…${index}${row}` : `…${row}`;
  };
  return {
    start(key) {
      if (key.equals(span.start)) return `…/<${name}Min>`;
      if (key.equals(whole.start)) return '…/TableMin';
      return key.compare(span.start) < 0 ? `<before:${keyText(snapshot, key)}>` : text(key);
    },
    end(key) {
      if (key.equals(span.end)) return `…/<${name}Max>`;
      if (key.equals(whole.end)) return '…/<TableMax>';
      return key.compare(span.end) > 0 ? `<after:${keyText(snapshot, key)}>` : text(key);
    },
  };
}

/** Without options: nothing for a range that reaches to the end of `span` or beyond, no table and index. */
export function shortScope(snapshot: CatalogSnapshot, span: KeySpan): KeyScope {
  const text = (key: Buffer): string => {
    const [, index, row] = tableKeyParts(snapshot, key);
    // The boundary of an index is not a row of it.
    return row === '' ? `…${index}` : row;
  };
  return {
    start: (key) => (key.compare(span.start) <= 0 ? null : text(key)),
    end: (key) => (key.compare(span.end) >= 0 ? null : text(key)),
  };
}
