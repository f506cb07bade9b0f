/** The tables and indexes that cluster statements name. */
import {
  type IndexDescriptor,
  type SessionCatalog,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type IndexTarget, type NameParts } from '../parse/index.ts';
import { noRelation } from './context.ts';
import { nameOf, nameText } from './nodes.ts';

/** The table that `parts` name; 42P01 and 42809. */
export function tableNamed(catalog: SessionCatalog, parts: NameParts): TableDescriptor {
  const name = nameOf(parts);
  const found = catalog.findNamed(name);
  if (found === undefined) throw noRelation(name);
  if (found.kind === 'table') return found;
  throw sqlError('wrongObjectType', `"${name.name}" is not a table`);
}

/** 42704 for an index that `table` lacks. */
export function indexNamed(table: TableDescriptor, name: string): IndexDescriptor {
  const index = [table.primaryIndex, ...table.indexes].find((candidate) => candidate.name === name);
  if (index === undefined) throw sqlError('undefinedObject', `index "${name}" does not exist`);
  return index;
}

export interface TableIndex {
  readonly table: TableDescriptor;
  readonly index: IndexDescriptor;
}

/** The index that a statement about ranges names; a table stands for its primary index. */
export function indexOf(catalog: SessionCatalog, target: IndexTarget): TableIndex {
  switch (target.kind) {
    case 'table': {
      const table = tableNamed(catalog, target.name);
      return { table, index: table.primaryIndex };
    }
    case 'index': {
      const table = tableNamed(catalog, target.table);
      return { table, index: indexNamed(table, target.index) };
    }
    case 'index-name': {
      const name = nameOf(target.name);
      const found = catalog.findNamed(name);
      if (found?.kind === 'index') return { table: found.table, index: found.index };
      throw sqlError('undefinedObject', `index "${nameText(name)}" does not exist`);
    }
  }
}
