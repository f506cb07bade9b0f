/** The tables and indexes that cluster statements name. */
import {
  type IndexDescriptor,
  type SessionCatalog,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type NameParts } from '../parse/index.ts';
import { noRelation } from './context.ts';
import { nameOf } from './nodes.ts';

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
