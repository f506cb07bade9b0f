/**
 * CatalogSnapshot: everything the catalog holds at one version, immutable, indexed by id and by name. A
 * node keeps the newest one in memory; a transaction pins one; a transaction that made DDL has its own.
 */
import {
  type ColumnDescriptor,
  type DatabaseDescriptor,
  type Descriptor,
  type DescriptorId,
  type IndexDescriptor,
  type SchemaDescriptor,
  type SequenceDescriptor,
  type TableDescriptor,
  type ViewDescriptor,
} from './descriptors.ts';
import { type Role, type RoleMembership } from './roles.ts';
import { type CatalogContents } from './types.ts';
import { type ZoneConfig } from './zones.ts';

export interface CatalogData {
  readonly version: number;
  readonly descriptors: ReadonlyMap<DescriptorId, Descriptor>;
  readonly roles: ReadonlyMap<string, Role>;
  readonly memberships: readonly RoleMembership[];
  /** Cluster settings that differ from their defaults: name -> value in text form. */
  readonly settings: ReadonlyMap<string, string>;
  /** `id/subId` -> what is set on that object. */
  readonly zones: ReadonlyMap<string, ZoneConfig>;
}

export type RelationDescriptor = TableDescriptor | SequenceDescriptor | ViewDescriptor;

/** What a relation name stands for; indexes share the namespace of their schema. */
export type NamedRelation =
  | RelationDescriptor
  | { readonly kind: 'index'; readonly table: TableDescriptor; readonly index: IndexDescriptor };

export class CatalogSnapshot {
  readonly data: CatalogData;
  readonly #databases = new Map<string, DatabaseDescriptor>();
  readonly #schemas = new Map<string, SchemaDescriptor>();
  readonly #relations = new Map<string, RelationDescriptor>();
  #indexes:
    | Map<string, { readonly table: TableDescriptor; readonly index: IndexDescriptor }>
    | undefined;
  readonly #contents = new Map<DescriptorId, CatalogContents>();
  /** Derived values kept per snapshot by other layers (rows of pg_catalog). */
  readonly #derived = new Map<string, unknown>();

  constructor(data: CatalogData) {
    this.data = data;
    for (const descriptor of data.descriptors.values()) {
      switch (descriptor.kind) {
        case 'database':
          this.#databases.set(descriptor.name, descriptor);
          break;
        case 'schema':
          this.#schemas.set(`${descriptor.databaseId}/${descriptor.name}`, descriptor);
          break;
        default:
          if (isLive(descriptor)) {
            this.#relations.set(`${descriptor.schemaId}/${descriptor.name}`, descriptor);
          }
      }
    }
  }

  get version(): number {
    return this.data.version;
  }

  byId(id: DescriptorId): Descriptor | undefined {
    return this.data.descriptors.get(id);
  }

  tableById(id: DescriptorId): TableDescriptor | undefined {
    const found = this.data.descriptors.get(id);
    return found?.kind === 'table' ? found : undefined;
  }

  database(name: string): DatabaseDescriptor | undefined {
    return this.#databases.get(name);
  }

  schema(databaseId: DescriptorId, name: string): SchemaDescriptor | undefined {
    return this.#schemas.get(`${databaseId}/${name}`);
  }

  schemaName(schemaId: DescriptorId): string {
    return this.data.descriptors.get(schemaId)?.name ?? '';
  }

  relation(schemaId: DescriptorId, name: string): RelationDescriptor | undefined {
    return this.#relations.get(`${schemaId}/${name}`);
  }

  index(
    schemaId: DescriptorId,
    name: string,
  ): { readonly table: TableDescriptor; readonly index: IndexDescriptor } | undefined {
    if (this.#indexes === undefined) {
      this.#indexes = new Map();
      for (const descriptor of this.data.descriptors.values()) {
        if (descriptor.kind !== 'table' || descriptor.state === 'dropped') continue;
        for (const index of [descriptor.primaryIndex, ...descriptor.indexes]) {
          if (index.state === 'dropped') continue;
          if (isImplicitKey(descriptor) && index === descriptor.primaryIndex) continue;
          this.#indexes.set(`${descriptor.schemaId}/${index.name}`, { table: descriptor, index });
        }
      }
    }
    return this.#indexes.get(`${schemaId}/${name}`);
  }

  /** A relation or index of that name. */
  named(schemaId: DescriptorId, name: string): NamedRelation | undefined {
    const relation = this.relation(schemaId, name);
    if (relation !== undefined) return relation;
    const index = this.index(schemaId, name);
    return index === undefined ? undefined : { kind: 'index', ...index };
  }

  /** All databases; everything else of one database, in id order. */
  contents(databaseId: DescriptorId): CatalogContents {
    let contents = this.#contents.get(databaseId);
    if (contents === undefined) {
      const schemas: SchemaDescriptor[] = [];
      const tables: TableDescriptor[] = [];
      const sequences: SequenceDescriptor[] = [];
      const views: ViewDescriptor[] = [];
      for (const descriptor of sorted(this.data.descriptors.values())) {
        if (descriptor.kind === 'database' || descriptor.databaseId !== databaseId) continue;
        if (descriptor.kind === 'schema') schemas.push(descriptor);
        else if (descriptor.kind === 'table') {
          if (descriptor.state === 'public') tables.push(descriptor);
        } else if (descriptor.kind === 'sequence') sequences.push(descriptor);
        else views.push(descriptor);
      }
      const databases = sorted(this.#databases.values());
      contents = { databases, schemas, tables, sequences, views };
      this.#contents.set(databaseId, contents);
    }
    return contents;
  }

  /** The value `make` gave for this snapshot the first time. */
  derive<T>(key: string, make: () => T): T {
    const found = this.#derived.get(key);
    if (found !== undefined) return found as T;
    const made = make();
    this.#derived.set(key, made);
    return made;
  }

  /** A copy with some descriptors replaced (undefined: removed) and other parts exchanged. */
  with(
    changes: ReadonlyMap<DescriptorId, Descriptor | undefined>,
    parts: Partial<Omit<CatalogData, 'descriptors'>> = {},
  ): CatalogSnapshot {
    if (changes.size === 0) return new CatalogSnapshot({ ...this.data, ...parts });
    const descriptors = new Map(this.data.descriptors);
    for (const [id, descriptor] of changes) {
      if (descriptor === undefined) descriptors.delete(id);
      else descriptors.set(id, descriptor);
    }
    return new CatalogSnapshot({ ...this.data, ...parts, descriptors });
  }
}

export const emptySnapshot = new CatalogSnapshot({
  version: 0,
  descriptors: new Map(),
  roles: new Map(),
  memberships: [],
  settings: new Map(),
  zones: new Map(),
});

/** True when the primary key is the hidden row id of a table declared without one. */
export function isImplicitKey(table: TableDescriptor): boolean {
  return implicitKeyOf(table) !== undefined;
}

/** The hidden row id that is the primary key of a table declared without one. */
export function implicitKeyOf(table: TableDescriptor): ColumnDescriptor | undefined {
  const [first, second] = table.primaryIndex.columns;
  if (first === undefined || second !== undefined) return undefined;
  return table.columns.find((column) => column.id === first.columnId && column.hidden === true);
}

function isLive(descriptor: RelationDescriptor): boolean {
  return descriptor.kind !== 'table' || descriptor.state === 'public';
}

function sorted<T extends { readonly id: number }>(descriptors: Iterable<T>): T[] {
  return [...descriptors].sort((a, b) => a.id - b.id);
}
