/** Tables and indexes as SHOW RANGES finds them in ranges. */
import { keyMin } from '../../encoding/index.ts';
import { maxBytes, minBytes, must } from '../../util/index.ts';
import { type DatabaseDescriptor, type SessionCatalog } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type RangesFrom } from '../parse/index.ts';
import { indexOf, tableNamed, type TableIndex } from './named.ts';
import { keyText, type KeySpan, spanOfIndex, tableSpan } from './range-keys.ts';

/** A table or an index, or what is shown of it. */
export interface RangeObject {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
  readonly tableId: number;
  readonly index: { readonly name: string; readonly id: number } | undefined;
  readonly span: KeySpan;
  readonly startText: string;
  readonly endText: string;
}

/** Tables (or indexes) of what the statement is about, in key order. */
export function objectsOf(
  catalog: SessionCatalog,
  from: RangesFrom,
  perIndex: boolean,
): RangeObject[] {
  const { snapshot } = catalog;
  const databaseName = (id: number): string => snapshot.byId(id)?.name ?? '';
  let places: Place[];
  let inTable: TableIndex['table'] | undefined;
  switch (from.kind) {
    case 'table': {
      inTable = tableNamed(catalog, from.name);
      places = placesIn([inTable], perIndex);
      break;
    }
    case 'index':
    case 'index-name': {
      const of = indexOf(catalog, from);
      places = [{ table: of.table, of }];
      break;
    }
    case 'cluster':
      places = snapshot
        .contents(0)
        .databases.flatMap((database) => placesIn(snapshot.contents(database.id).tables, perIndex));
      break;
    default:
      places = placesIn(snapshot.contents(databaseOf(catalog, from).id).tables, perIndex);
  }
  const objects = places.map(({ table, of }): RangeObject => {
    const span = of === undefined ? tableSpan(table) : spanOfIndex(of);
    const text = (key: Buffer): string => {
      const full = keyText(snapshot, key);
      const prefix = inTable === undefined ? '' : `/Table/${inTable.id}`;
      return prefix !== '' && full.startsWith(`${prefix}/`)
        ? `…${full.slice(prefix.length)}`
        : full;
    };
    return {
      database: databaseName(table.databaseId),
      schema: snapshot.schemaName(table.schemaId),
      table: table.name,
      tableId: table.id,
      index: of?.index,
      span,
      startText: text(span.start),
      endText: text(span.end),
    };
  });
  return objects.sort((a, b) => a.span.start.compare(b.span.start));
}

interface Place {
  readonly table: TableIndex['table'];
  readonly of: TableIndex | undefined;
}

function placesIn(tables: readonly TableIndex['table'][], perIndex: boolean): Place[] {
  if (!perIndex) return tables.map((table) => ({ table, of: undefined }));
  return tables.flatMap((table) =>
    [table.primaryIndex, ...table.indexes].map((index) => ({ table, of: { table, index } })),
  );
}

function databaseOf(
  catalog: SessionCatalog,
  from: Extract<RangesFrom, { kind: 'database' | 'current-catalog' }>,
): DatabaseDescriptor {
  const name = from.kind === 'database' ? from.name : catalog.databaseName;
  const database = catalog.snapshot.database(name);
  if (database !== undefined) return database;
  throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
}

/** From the first object to the last; nothing when there is none. */
export function hull(objects: readonly RangeObject[]): KeySpan {
  const spans = objects.map(({ span }) => span);
  const [first] = spans;
  if (first === undefined) return { start: keyMin, end: keyMin };
  return spans.reduce((all, span) => ({
    start: minBytes(all.start, span.start),
    end: maxBytes(all.end, span.end),
  }));
}

/** Those of `items` that share keys with `span`; the items are in key order and share none with each other. */
export function overlapping<T>(
  items: readonly T[],
  spanOf: (item: T) => KeySpan,
  span: KeySpan,
): readonly T[] {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spanOf(must(items[middle])).end.compare(span.start) > 0) high = middle;
    else low = middle + 1;
  }
  let end = low;
  while (end < items.length && spanOf(must(items[end])).start.compare(span.end) < 0) end++;
  return items.slice(low, end);
}
