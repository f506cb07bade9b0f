/** Relations as pg_class sees them: tables, indexes, views, sequences of the current database, and virtual tables. */
import {
  indexOid,
  isImplicitKey,
  systemIds,
  type IndexDescriptor,
  type SequenceDescriptor,
  type TableDescriptor,
  type ViewDescriptor,
  type VirtualTable,
} from '../catalog/index.ts';
import { type Source } from './build.ts';

export const schemaOids: Readonly<Record<string, number>> = {
  pg_catalog: 11,
  information_schema: 12900,
  skein_internal: 12901,
};

export type Entry =
  | {
      readonly kind: 'r';
      readonly oid: number;
      readonly name: string;
      readonly schemaOid: number;
      readonly owner: string;
      readonly table: TableDescriptor;
    }
  | {
      readonly kind: 'i';
      readonly oid: number;
      readonly name: string;
      readonly schemaOid: number;
      readonly owner: string;
      readonly table: TableDescriptor;
      readonly index: IndexDescriptor;
    }
  | {
      readonly kind: 'v';
      readonly oid: number;
      readonly name: string;
      readonly schemaOid: number;
      readonly owner: string;
      readonly view: ViewDescriptor;
    }
  | {
      readonly kind: 'S';
      readonly oid: number;
      readonly name: string;
      readonly schemaOid: number;
      readonly owner: string;
      readonly sequence: SequenceDescriptor;
    }
  | {
      readonly kind: 'virtual';
      readonly oid: number;
      readonly name: string;
      readonly schemaOid: number;
      readonly owner: string;
      readonly virtual: VirtualTable;
    };

export interface Relations {
  readonly all: readonly Entry[];
  readonly byOid: ReadonlyMap<number, Entry>;
}

/** Indexes that users see: not those being built, nor the hidden key. */
export function visibleIndexes(table: TableDescriptor): IndexDescriptor[] {
  const primary = isImplicitKey(table) ? [] : [table.primaryIndex];
  return [...primary, ...table.indexes.filter((index) => index.state === 'public')];
}

/** The position of a column as clients count: pg_attribute.attnum. */
export function columnNumber(columnId: number): number {
  return columnId;
}

export function relationsOf(
  source: Pick<Source, 'snapshot' | 'databaseId'>,
  virtual: readonly VirtualTable[],
): Relations {
  return source.snapshot.derive(`relations/${source.databaseId}`, () => {
    const contents = source.snapshot.contents(source.databaseId);
    const all: Entry[] = [];
    for (const table of contents.tables) {
      const { owner } = table;
      all.push({
        kind: 'r',
        oid: table.id,
        name: table.name,
        schemaOid: table.schemaId,
        owner,
        table,
      });
      for (const index of visibleIndexes(table)) {
        const oid = indexOid(table.id, index.id);
        all.push({
          kind: 'i',
          oid,
          name: index.name,
          schemaOid: table.schemaId,
          owner,
          table,
          index,
        });
      }
    }
    for (const view of contents.views) {
      all.push({
        kind: 'v',
        oid: view.id,
        name: view.name,
        schemaOid: view.schemaId,
        owner: view.owner,
        view,
      });
    }
    for (const sequence of contents.sequences) {
      const { id: oid, name, schemaId: schemaOid, owner } = sequence;
      all.push({ kind: 'S', oid, name, schemaOid, owner, sequence });
    }
    for (const table of virtual) {
      const schemaOid = schemaOids[table.schema] ?? 0;
      all.push({
        kind: 'virtual',
        oid: table.oid,
        name: table.name,
        schemaOid,
        owner: 'root',
        virtual: table,
      });
    }
    return { all, byOid: new Map(all.map((entry) => [entry.oid, entry])) };
  });
}

export function isSystemDatabase(databaseId: number): boolean {
  return databaseId === systemIds.systemDatabase;
}
