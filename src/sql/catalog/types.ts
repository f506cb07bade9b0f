/** The catalog as the planner and the session see it. */
import { type Datum, type Row } from '../types/datum.ts';
import { type StatementContext } from '../session/types.ts';
import {
  type DatabaseDescriptor,
  type DescriptorId,
  type SchemaDescriptor,
  type SequenceDescriptor,
  type TableDescriptor,
  type ViewDescriptor,
} from './descriptors.ts';

export interface QualifiedName {
  readonly catalog?: string | undefined;
  readonly schema?: string | undefined;
  readonly name: string;
}

/** A table whose rows are computed: pg_catalog, information_schema, skein_internal. */
export interface VirtualTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly typeOid: number;
    readonly typmod: number;
    /** A system column (tableoid): reachable by name, not part of `*` and not listed. */
    readonly hidden?: boolean;
  }[];
  /**
   * Rows that may match. `equals`: column name -> constant, for columns listed in `indexedColumns`; a table
   * may use it to produce fewer rows, the caller filters again.
   */
  rows(context: StatementContext, equals: ReadonlyMap<string, Datum>): Promise<readonly Row[]>;
  readonly indexedColumns: readonly string[];
}

export type Relation =
  | { readonly kind: 'table'; readonly table: TableDescriptor; readonly schemaName: string }
  | { readonly kind: 'view'; readonly view: ViewDescriptor; readonly schemaName: string }
  | {
      readonly kind: 'sequence';
      readonly sequence: SequenceDescriptor;
      readonly schemaName: string;
      /** What a query reads: last_value, log_cnt, is_called. */
      readonly table: VirtualTable;
    }
  | { readonly kind: 'virtual'; readonly table: VirtualTable };

/**
 * The catalog of one session. Inside a transaction that made DDL it shows the transaction's own
 * descriptors, else the node's cache, whose versions are leased.
 */
export interface Catalog {
  /** Changes whenever a name or descriptor this session can see may have changed: plans are cached under it. */
  readonly version: number;
  /** Resolves by search_path when no schema is given; undefined when there is no such relation. */
  findRelation(name: QualifiedName): Promise<Relation | undefined>;
  tableById(id: DescriptorId): Promise<TableDescriptor | undefined>;
  findDatabase(name: string): Promise<DatabaseDescriptor | undefined>;
  findSchema(name: string): Promise<SchemaDescriptor | undefined>;
  /** Every database, schema, table, sequence and view of the current database (databases: all). */
  all(): Promise<CatalogContents>;
}

export interface CatalogContents {
  readonly databases: readonly DatabaseDescriptor[];
  readonly schemas: readonly SchemaDescriptor[];
  readonly tables: readonly TableDescriptor[];
  readonly sequences: readonly SequenceDescriptor[];
  readonly views: readonly ViewDescriptor[];
}
