/**
 * Finds everything a statement (and the views in it) may refer to before binding starts, so that
 * binding needs no await. Walks the raw tree; names that turn out to be CTEs cost one look-up.
 */
import { type Node, type RangeVar } from '@pgsql/types';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Catalog, type Relation } from '../../catalog/types.ts';
import { sqlError } from '../../errors.ts';
import { parseExpression, parseQuery } from '../sql-text.ts';
import { type Prefetched, relationKey } from './binder.ts';

const maxViewDepth = 64;

interface Work {
  readonly catalog: Catalog;
  readonly relations: Map<string, Relation>;
  readonly seen: Set<string>;
  readonly views: Map<number, Node>;
  readonly defaults: Map<number, ReadonlyMap<number, Node>>;
  readonly predicates: Map<number, ReadonlyMap<number, Node>>;
}

export async function prefetch(catalog: Catalog, statement: Node): Promise<Prefetched> {
  const work: Work = {
    catalog,
    relations: new Map(),
    seen: new Set(),
    views: new Map(),
    defaults: new Map(),
    predicates: new Map(),
  };
  await fetchTree(work, statement, 0);
  return work;
}

async function fetchTree(work: Work, tree: unknown, depth: number): Promise<void> {
  if (depth > maxViewDepth) {
    throw sqlError('statementTooComplex', 'views are nested too deeply');
  }
  const found: Found = { names: [], written: [] };
  collect(tree, found);
  for (const name of found.names) await fetchRelation(work, name, depth);
  for (const name of found.written) {
    const relation = work.relations.get(relationKey(name.schemaname, name.relname ?? ''));
    if (relation?.kind === 'table') await fetchExpressions(work, relation.table);
  }
}

async function fetchRelation(work: Work, name: RangeVar, depth: number): Promise<void> {
  const key = relationKey(name.schemaname, name.relname ?? '');
  if (work.seen.has(key)) return;
  work.seen.add(key);
  const relation = await work.catalog.findRelation({
    catalog: name.catalogname,
    schema: name.schemaname,
    name: name.relname ?? '',
  });
  if (relation === undefined) return;
  work.relations.set(key, relation);
  if (relation.kind !== 'view' || work.views.has(relation.view.id)) return;
  const query = await parseQuery(relation.view.query);
  work.views.set(relation.view.id, query);
  await fetchTree(work, query, depth + 1);
}

interface TableNodes {
  /** By column position. */
  readonly defaults: ReadonlyMap<number, Node>;
  /** Of partial unique indexes, by index id. */
  readonly predicates: ReadonlyMap<number, Node>;
}

/** Parsed once per descriptor version. */
const parsedTables = new WeakMap<TableDescriptor, TableNodes>();

async function fetchExpressions(work: Work, table: TableDescriptor): Promise<void> {
  let parsed = parsedTables.get(table);
  if (parsed === undefined) {
    parsed = await parseTable(table);
    parsedTables.set(table, parsed);
  }
  work.defaults.set(table.id, parsed.defaults);
  work.predicates.set(table.id, parsed.predicates);
}

async function parseTable(table: TableDescriptor): Promise<TableNodes> {
  const defaults = new Map<number, Node>();
  for (const [position, { defaultSql }] of table.columns.entries()) {
    if (defaultSql !== undefined) defaults.set(position, await parseExpression(defaultSql));
  }
  const predicates = new Map<number, Node>();
  for (const { id, unique, predicateSql } of table.indexes) {
    if (unique && predicateSql !== undefined) {
      predicates.set(id, await parseExpression(predicateSql));
    }
  }
  return { defaults, predicates };
}

interface Found {
  readonly names: RangeVar[];
  /** Targets of INSERT and UPDATE. */
  readonly written: RangeVar[];
}

/** Every RangeVar below `tree`, without recursion: trees may be deep. */
function collect(tree: unknown, found: Found): void {
  const stack: unknown[] = [tree];
  while (stack.length > 0) {
    const node = stack.pop();
    if (Array.isArray(node)) {
      for (const item of node) stack.push(item);
      continue;
    }
    if (typeof node !== 'object' || node === null) continue;
    if ('relname' in node && typeof node.relname === 'string') found.names.push(node as RangeVar);
    const target =
      'InsertStmt' in node ? node.InsertStmt : 'UpdateStmt' in node ? node.UpdateStmt : undefined;
    if (target !== undefined) {
      const { relation } = target as { readonly relation?: RangeVar };
      if (relation !== undefined) found.written.push(relation);
    }
    for (const child of Object.values(node)) {
      if (typeof child === 'object' && child !== null) stack.push(child);
    }
  }
}
