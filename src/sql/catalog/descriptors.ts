/**
 * Descriptors: what the catalog stores about an object, one row of system.descriptor each (id, JSON).
 * Plain immutable data. Every change makes a descriptor with version + 1.
 *
 * INVARIANT 1: ids (of objects, and of columns and indexes within a table) are never used twice.
 * INVARIANT 2: at any time at most two adjacent versions of a descriptor are in use in the cluster.
 * INVARIANT 3: primaryIndex is unique, its columns are NOT NULL, and `indexes` does not contain it.
 */

export type DescriptorId = number;

/**
 * Online schema changes pass delete-only -> write-only -> public (Rae et al., "Online, asynchronous
 * schema change in F1", 2013). 'dropped' elements are only kept while data is being removed.
 */
export type ElementState = 'public' | 'write-only' | 'delete-only' | 'dropped';

/** One GRANT: what `grantee` ('public' for all) may do; `column` for column privileges. */
export interface PrivilegeGrant {
  readonly grantee: string;
  readonly grantor: string;
  /** select, insert, update, delete, truncate, references, trigger, usage, create, connect, temporary. */
  readonly privilege: string;
  readonly grantOption: boolean;
  readonly column?: string;
}

export interface DatabaseDescriptor {
  readonly kind: 'database';
  readonly id: DescriptorId;
  readonly version: number;
  readonly name: string;
  readonly owner: string;
  readonly comment?: string;
  readonly privileges?: readonly PrivilegeGrant[];
  /** Session variables that sessions of this database start with. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface SchemaDescriptor {
  readonly kind: 'schema';
  readonly id: DescriptorId;
  readonly version: number;
  readonly databaseId: DescriptorId;
  readonly name: string;
  readonly owner: string;
  readonly comment?: string;
  readonly privileges?: readonly PrivilegeGrant[];
}

export interface ColumnDescriptor {
  readonly id: number;
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  readonly nullable: boolean;
  /** SQL text of DEFAULT, deparsed with qualified names. */
  readonly defaultSql?: string;
  /** For rows written before the column was added: text form of the constant (fast default), absent = null. */
  readonly missingText?: string;
  readonly identity?: 'always' | 'by-default';
  /** GENERATED ALWAYS AS (...) STORED. */
  readonly generatedSql?: string;
  /** The implicit rowid of a table without primary key. */
  readonly hidden?: boolean;
  readonly ownedSequenceIds?: readonly DescriptorId[];
  readonly state: ElementState;
  readonly comment?: string;
}

/** A value that bounds a partition. `default`: this column and those behind it may have any value. */
export type PartitionValue =
  | { readonly kind: 'value'; readonly text: string }
  | { readonly kind: 'null' | 'default' | 'min' | 'max' };

export interface PartitionDescriptor {
  /** Not that of another index or partition of the table: the `sub_id` of its zone. */
  readonly id: number;
  readonly name: string;
  /** Of a list: rows of leading values. Of a range: its first key and the one behind its last, in index order. */
  readonly bounds: readonly (readonly PartitionValue[])[];
}

/** Names for spans of an index, so that zones can be set on them. Rows that are in no partition are as good. */
export interface Partitioning {
  readonly kind: 'list' | 'range';
  /** So many leading columns of the index. */
  readonly columns: number;
  readonly partitions: readonly PartitionDescriptor[];
}

export interface IndexDescriptor {
  readonly id: number;
  readonly name: string;
  readonly unique: boolean;
  readonly columns: readonly { readonly columnId: number; readonly descending: boolean }[];
  /** Primary key columns that are not among `columns`: part of the key (not unique) or of the value (unique). */
  readonly suffixColumnIds: readonly number[];
  /** INCLUDE / STORING; the primary index stores every column. */
  readonly storedColumnIds: readonly number[];
  /** Made by a PRIMARY KEY or UNIQUE constraint. */
  readonly isConstraint: boolean;
  /** Partial index. */
  readonly predicateSql?: string;
  readonly nullsNotDistinct?: boolean;
  readonly partitioning?: Partitioning;
  readonly state: ElementState;
  /** Being built for a new primary key: the index whose place it is going to take. */
  readonly replaces?: number;
  readonly comment?: string;
}

export interface CheckDescriptor {
  readonly name: string;
  readonly sql: string;
  readonly columnIds: readonly number[];
  readonly validated: boolean;
  /**
   * It stands for NOT NULL of its one column until the rows that were there have been looked at. A number of its own: another
   * statement may take it back meanwhile, and a third one begin anew.
   */
  readonly becomesNotNull?: number;
}

export type ReferentialAction = 'no action' | 'restrict' | 'cascade' | 'set null' | 'set default';

/** Stored at the referencing table; the referenced one lists it in `referencedBy`. */
export interface ForeignKeyDescriptor {
  readonly name: string;
  readonly columnIds: readonly number[];
  readonly referencedTableId: DescriptorId;
  readonly referencedColumnIds: readonly number[];
  readonly onDelete: ReferentialAction;
  readonly onUpdate: ReferentialAction;
  readonly match: 'simple' | 'full';
  readonly validated: boolean;
}

export interface TableDescriptor {
  readonly kind: 'table';
  readonly id: DescriptorId;
  readonly version: number;
  readonly databaseId: DescriptorId;
  readonly schemaId: DescriptorId;
  readonly name: string;
  readonly owner: string;
  /** In order of creation; includes columns that are not public. */
  readonly columns: readonly ColumnDescriptor[];
  readonly primaryIndex: IndexDescriptor;
  readonly indexes: readonly IndexDescriptor[];
  readonly checks: readonly CheckDescriptor[];
  readonly foreignKeys: readonly ForeignKeyDescriptor[];
  readonly referencedBy: readonly { readonly tableId: DescriptorId; readonly name: string }[];
  readonly nextColumnId: number;
  readonly nextIndexId: number;
  readonly state: 'public' | 'dropped';
  readonly comment?: string;
  readonly privileges?: readonly PrivilegeGrant[];
}

export interface SequenceDescriptor {
  readonly kind: 'sequence';
  readonly id: DescriptorId;
  readonly version: number;
  readonly databaseId: DescriptorId;
  readonly schemaId: DescriptorId;
  readonly name: string;
  readonly owner: string;
  readonly typeOid: number;
  /** Decimal text: bigints do not travel in JSON. */
  readonly start: string;
  readonly increment: string;
  readonly minValue: string;
  readonly maxValue: string;
  readonly cycle: boolean;
  readonly cache: string;
  readonly ownedBy?: { readonly tableId: DescriptorId; readonly columnId: number };
  readonly comment?: string;
  readonly privileges?: readonly PrivilegeGrant[];
}

export interface ViewDescriptor {
  readonly kind: 'view';
  readonly id: DescriptorId;
  readonly version: number;
  readonly databaseId: DescriptorId;
  readonly schemaId: DescriptorId;
  readonly name: string;
  readonly owner: string;
  readonly columns: readonly {
    readonly name: string;
    readonly typeOid: number;
    readonly typmod: number;
  }[];
  readonly query: string;
  readonly dependsOn: readonly DescriptorId[];
  readonly comment?: string;
  readonly privileges?: readonly PrivilegeGrant[];
}

export type Descriptor =
  | DatabaseDescriptor
  | SchemaDescriptor
  | TableDescriptor
  | SequenceDescriptor
  | ViewDescriptor;
