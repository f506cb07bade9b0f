/** Virtual tables from a shape and a function that makes rows as objects. */
import { type CollectedReport, type ReportName } from '../../kv/index.ts';
import { type CatalogSnapshot, type SessionCatalog, type VirtualTable } from '../catalog/index.ts';
import { sessionCatalogOf } from '../ddl/index.ts';
import { type StatementContext } from '../session/types.ts';
import { oids, typeByCatalogName, type Datum, type Row } from '../types/index.ts';
import { shapes } from './shapes.ts';

/** Column name -> value; a column that is left out is null. */
export type Record_ = Readonly<Record<string, Datum>>;

export interface Source {
  readonly context: StatementContext;
  readonly catalog: SessionCatalog;
  readonly snapshot: CatalogSnapshot;
  /** 0 when the session's database was dropped. */
  readonly databaseId: number;
}

/** What all nodes say; nothing from those that do not answer. */
export async function reported<K extends ReportName>(
  { context }: Source,
  name: K,
): Promise<CollectedReport<K>['rows']> {
  return (await context.reports?.collect(name))?.rows ?? [];
}

export type RowMaker = (source: Source) => readonly Record_[] | Promise<readonly Record_[]>;

export interface TableOptions {
  /**
   * Rows depend on the catalog version and the current database only (and on search_path where
   * `perPath`): they are made once per version and looked up by the indexed columns.
   */
  readonly cached?: boolean;
  readonly perPath?: boolean;
  readonly indexed?: readonly string[];
}

interface CachedRows {
  readonly rows: readonly Row[];
  readonly byColumn: Map<string, Map<Datum, Row[]>>;
}

export interface Column {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
}

export function columnsOf(shape: string): Column[] {
  return shape.split(' ').map((part) => {
    const [name = '', type = 'text'] = part.split(':');
    return { name, typeOid: typeByCatalogName(type)?.oid ?? oids.text, typmod: -1 };
  });
}

export function sourceOf(context: StatementContext): Source {
  const catalog = sessionCatalogOf(context);
  return {
    context,
    catalog,
    snapshot: catalog.snapshot,
    databaseId: catalog.database?.id ?? 0,
  };
}

/** A table with its own shape (skein_internal). */
export function virtualTable(
  schema: string,
  name: string,
  oid: number,
  shape: string,
  make: RowMaker,
  options: TableOptions = {},
): VirtualTable {
  const listed = columnsOf(shape);
  const columns = [...listed, { name: 'tableoid', typeOid: oids.oid, typmod: -1, hidden: true }];
  const toRow = (record: Record_): Row => {
    const row: Datum[] = listed.map((column) => record[column.name] ?? null);
    row.push(oid);
    return row;
  };
  const indexedColumns = options.cached === true ? (options.indexed ?? []) : [];
  return {
    oid,
    schema,
    name,
    columns,
    indexedColumns,
    async rows(context, equals) {
      const source = sourceOf(context);
      if (options.cached !== true) return (await make(source)).map(toRow);
      const scope = options.perPath === true ? source.catalog.searchPath.join('\0') : '';
      const key = `${schema}.${name}/${source.databaseId}/${scope}`;
      const cached = await source.snapshot.derive<Promise<CachedRows>>(key, async () => ({
        rows: (await make(source)).map(toRow),
        byColumn: new Map(),
      }));
      for (const column of indexedColumns) {
        const wanted = equals.get(column);
        if (wanted === undefined || wanted === null) continue;
        return lookUp(cached, columns, column).get(wanted) ?? [];
      }
      return cached.rows;
    },
  };
}

function lookUp(cached: CachedRows, columns: readonly Column[], column: string): Map<Datum, Row[]> {
  let index = cached.byColumn.get(column);
  if (index !== undefined) return index;
  index = new Map();
  const at = columns.findIndex(({ name }) => name === column);
  for (const row of cached.rows) {
    const value = row[at] ?? null;
    const same = index.get(value);
    if (same === undefined) index.set(value, [row]);
    else same.push(row);
  }
  cached.byColumn.set(column, index);
  return index;
}

/** A table that PostgreSQL has too. */
export function standardTable(
  qualified: string,
  make: RowMaker,
  options: TableOptions = {},
): VirtualTable {
  const shape = shapes.find(([name]) => name === qualified);
  if (shape === undefined) throw new Error(`no shape of ${qualified}`);
  const [schema = '', name = ''] = qualified.split('.');
  return virtualTable(schema, name, shape[1], shape[2], make, options);
}
