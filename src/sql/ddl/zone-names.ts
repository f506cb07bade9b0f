/** What zones are of: the objects that statements name, and their names in statements. */
import {
  indexesOf,
  quoteIdentifier,
  rangeZones,
  subzoneOf,
  type CatalogSnapshot,
  type IndexDescriptor,
  type SessionCatalog,
  type TableDescriptor,
  type ZoneId,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ZoneTarget } from '../parse/index.ts';
import { indexNamed, indexOf, tableNamed } from './named.ts';

/** The object of a zone, part by part. */
export interface ZoneName {
  /** As ALTER writes it: `TABLE db.public.t`, `PARTITION p OF INDEX db.public.t@i`, `RANGE default`. */
  readonly target: string;
  readonly range?: string;
  readonly database?: string;
  readonly table?: string;
  readonly index?: string;
  readonly partition?: string;
}

/** Undefined for what is gone. */
export function zoneName(snapshot: CatalogSnapshot, zone: ZoneId): ZoneName | undefined {
  const range = rangeZones.find(({ id }) => id === zone.id)?.name;
  if (range !== undefined) return { target: `RANGE ${range}`, range };
  const descriptor = snapshot.byId(zone.id);
  if (descriptor?.kind === 'database') {
    const { name: database } = descriptor;
    return { target: `DATABASE ${quoteIdentifier(database)}`, database };
  }
  if (descriptor?.kind !== 'table') return undefined;
  const database = snapshot.byId(descriptor.databaseId)?.name ?? '';
  const path = [database, snapshot.schemaName(descriptor.schemaId), descriptor.name];
  const tableText = path.map(quoteIdentifier).join('.');
  const ofTable = { database, table: descriptor.name };
  if (zone.subId === 0) return { target: `TABLE ${tableText}`, ...ofTable };
  const subzone = subzoneOf(descriptor, zone.subId);
  if (subzone === undefined) return undefined;
  const indexText = `INDEX ${tableText}@${quoteIdentifier(subzone.index.name)}`;
  const ofIndex = { ...ofTable, index: subzone.index.name };
  if (subzone.partition === undefined) return { target: indexText, ...ofIndex };
  const { name: partition } = subzone.partition;
  return {
    target: `PARTITION ${quoteIdentifier(partition)} OF ${indexText}`,
    ...ofIndex,
    partition,
  };
}

/** The zones that a statement means: one, but for a partition of all indexes. Throws when the object does not exist. */
export function zonesNamed(catalog: SessionCatalog, target: ZoneTarget): readonly ZoneId[] {
  switch (target.kind) {
    case 'range': {
      const range = rangeZones.find(({ name }) => name === target.name.toLowerCase());
      if (range !== undefined) return [{ id: range.id, subId: 0 }];
      throw sqlError('invalidParameterValue', `there is no zone named "${target.name}"`, {
        hint: `Zones: ${rangeZones.map(({ name }) => name).join(', ')}.`,
      });
    }
    case 'database': {
      const database = catalog.snapshot.database(target.name);
      if (database !== undefined) return [{ id: database.id, subId: 0 }];
      throw sqlError('invalidCatalogName', `database "${target.name}" does not exist`);
    }
    case 'table':
      return [{ id: tableNamed(catalog, target.name).id, subId: 0 }];
    case 'index':
    case 'index-name': {
      const { table, index } = indexOf(catalog, target);
      return [{ id: table.id, subId: index.id }];
    }
    case 'partition': {
      const table = tableNamed(catalog, target.table);
      return partitionsNamed(table, target.partition, indexesMeant(table, target.of));
    }
  }
}

function indexesMeant(
  table: TableDescriptor,
  of: Extract<ZoneTarget, { kind: 'partition' }>['of'],
): readonly IndexDescriptor[] {
  switch (of.kind) {
    case 'primary':
      return [table.primaryIndex];
    case 'index':
      return [indexNamed(table, of.name)];
    case 'every-index':
      return indexesOf(table);
  }
}

function partitionsNamed(
  table: TableDescriptor,
  name: string,
  indexes: readonly IndexDescriptor[],
): ZoneId[] {
  const partitions = indexes.flatMap(({ partitioning }) => partitioning?.partitions ?? []);
  const found = partitions.filter((partition) => partition.name === name);
  if (found.length > 0) return found.map(({ id }) => ({ id: table.id, subId: id }));
  const where =
    indexes.length === 1 ? `index "${indexes[0]?.name ?? ''}"` : `table "${table.name}"`;
  throw sqlError('undefinedObject', `${where} has no partition "${name}"`);
}
