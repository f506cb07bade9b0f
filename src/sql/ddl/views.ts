/**
 * Views. The query is stored as text with every relation qualified and `*` spelled out, so that it means the same
 * whatever search_path is later and whatever columns its tables get.
 */
import { type Node, type RangeVar, type SelectStmt, type ViewStmt } from '@pgsql/types';
import { type DescriptorId, type ViewDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { planStatement } from '../plan/index.ts';
import { type StatementResult } from '../session/types.ts';
import { formatType, oids } from '../types/index.ts';
import {
  done,
  noRelation,
  qualifiedText,
  relationExists,
  schemaForCreate,
  type Ddl,
} from './context.ts';
import { deparseQuery } from './deparse-select.ts';
import { rangeName, stringOf, strings } from './nodes.ts';
import { recordObject } from './object-events.ts';
import { showSchema } from '../parse/index.ts';

export async function createView(ddl: Ddl, stmt: ViewStmt): Promise<StatementResult> {
  const { query } = stmt;
  if (query === undefined) throw sqlError('syntaxError', 'a query is expected');
  if (stmt.view?.relpersistence === 't') {
    throw sqlError('featureNotSupported', 'temporary views are not supported');
  }
  if (stmt.withCheckOption !== undefined && stmt.withCheckOption !== 'NO_CHECK_OPTION') {
    throw sqlError('featureNotSupported', 'WITH CHECK OPTION is not supported');
  }
  const name = rangeName(stmt.view);
  const schema = schemaForCreate(ddl, name);
  const existing = ddl.catalog.snapshot.named(schema.id, name.name);
  if (existing !== undefined && stmt.replace !== true) throw relationExists(name.name);
  if (existing !== undefined && existing.kind !== 'view') {
    throw sqlError('wrongObjectType', `"${name.name}" is not a view`);
  }
  const dependsOn = new Set<DescriptorId>();
  const text = deparseQuery(await expandStars(ddl, query), (range) => {
    const target = rangeName(range);
    const found = ddl.catalog.findNamed(target);
    if (found !== undefined && found.kind !== 'index') {
      dependsOn.add(found.id);
      return qualifiedText(ddl.catalog, found);
    }
    const virtual = virtualText(ddl, range);
    if (virtual === undefined) throw noRelation(target, range.location);
    return virtual;
  });
  const columns = await outputColumns(ddl, query, strings(stmt.aliases));
  const view: ViewDescriptor = {
    kind: 'view',
    id: existing?.id ?? (await ddl.writer.newId()),
    version: existing?.version ?? 1,
    databaseId: schema.databaseId,
    schemaId: schema.id,
    name: name.name,
    owner: existing?.owner ?? ddl.context.eval.currentUser,
    columns,
    query: text,
    dependsOn: [...dependsOn],
    ...(existing?.comment === undefined ? {} : { comment: existing.comment }),
  };
  if (existing === undefined) ddl.writer.create(view);
  else {
    if (dependsOn.has(existing.id)) {
      throw sqlError(
        'invalidObjectDefinition',
        `infinite recursion detected in rules for relation "${view.name}"`,
      );
    }
    checkReplacement(existing, view);
    ddl.writer.replace(view);
  }
  recordObject(ddl, 'create', view);
  return done('CREATE VIEW');
}

function virtualText(ddl: Ddl, range: RangeVar): string | undefined {
  if (range.schemaname === showSchema) return `[${range.relname ?? ''}]`;
  const { catalog } = ddl;
  const schemas =
    range.schemaname === undefined ? ['pg_catalog', ...catalog.searchPath] : [range.schemaname];
  for (const schema of schemas) {
    const table = catalog.virtual.find(schema, range.relname ?? '');
    if (table !== undefined) return `${table.schema}.${table.name}`;
  }
  return undefined;
}

async function outputColumns(
  ddl: Ddl,
  query: Node,
  aliases: readonly string[],
): Promise<ViewDescriptor['columns']> {
  const { context } = ddl;
  const plan = await planStatement({
    statement: query,
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  if (aliases.length > plan.columns.length) {
    throw sqlError('syntaxError', 'CREATE VIEW specifies more column names than columns');
  }
  const seen = new Set<string>();
  return plan.columns.map((column, at) => {
    const name = aliases[at] ?? column.name;
    if (seen.has(name))
      throw sqlError('duplicateColumn', `column "${name}" specified more than once`);
    seen.add(name);
    return {
      name,
      typeOid: column.typeOid === oids.unknown ? oids.text : column.typeOid,
      typmod: column.typmod,
    };
  });
}

/** CREATE OR REPLACE may only add columns at the end. Throws 42P16. */
function checkReplacement(old: ViewDescriptor, view: ViewDescriptor): void {
  const invalid = (message: string): never => {
    throw sqlError('invalidTableDefinition', message);
  };
  if (view.columns.length < old.columns.length) invalid('cannot drop columns from view');
  for (const [at, column] of old.columns.entries()) {
    const now = view.columns[at];
    if (now === undefined) continue;
    if (now.name !== column.name) {
      invalid(`cannot change name of view column "${column.name}" to "${now.name}"`);
    }
    if (now.typeOid !== column.typeOid || now.typmod !== column.typmod) {
      invalid(
        `cannot change data type of view column "${column.name}" from ${formatType(column.typeOid, column.typmod)} to ${formatType(now.typeOid, now.typmod)}`,
      );
    }
  }
}

/** `*` and `t.*` of the outermost select lists as the columns they mean now. */
async function expandStars(ddl: Ddl, query: Node): Promise<Node> {
  if (!('SelectStmt' in query)) return query;
  return { SelectStmt: await expandSelect(ddl, query.SelectStmt, query.SelectStmt.withClause) };
}

async function expandSelect(
  ddl: Ddl,
  stmt: SelectStmt,
  withClause: SelectStmt['withClause'],
): Promise<SelectStmt> {
  const scope = stmt.withClause ?? withClause;
  if (stmt.larg !== undefined && stmt.rarg !== undefined) {
    return {
      ...stmt,
      larg: await expandSelect(ddl, stmt.larg, scope),
      rarg: await expandSelect(ddl, stmt.rarg, scope),
    };
  }
  const targets: Node[] = [];
  for (const node of stmt.targetList ?? []) {
    const prefix = starPrefix(node);
    if (prefix === undefined) targets.push(node);
    else {
      for (const name of await starColumns(ddl, stmt, scope, node)) {
        const fields: Node[] = [...prefix, { String: { sval: name } }];
        targets.push({ ResTarget: { val: { ColumnRef: { fields } } } });
      }
    }
  }
  return stmt.targetList === undefined ? stmt : { ...stmt, targetList: targets };
}

/** The fields before the star; undefined when the target is none. */
function starPrefix(node: Node): Node[] | undefined {
  if (!('ResTarget' in node)) return undefined;
  const value = node.ResTarget.val;
  if (value === undefined || !('ColumnRef' in value)) return undefined;
  const fields = value.ColumnRef.fields ?? [];
  const last = fields.at(-1);
  if (last === undefined || !('A_Star' in last)) return undefined;
  return fields.slice(0, -1).filter((field) => stringOf(field) !== '');
}

async function starColumns(
  ddl: Ddl,
  stmt: SelectStmt,
  withClause: SelectStmt['withClause'],
  target: Node,
): Promise<string[]> {
  const { context } = ddl;
  const probe: SelectStmt = {
    targetList: [target],
    ...(stmt.fromClause === undefined ? {} : { fromClause: stmt.fromClause }),
    ...(withClause === undefined ? {} : { withClause }),
    limitOption: 'LIMIT_OPTION_DEFAULT',
    op: 'SETOP_NONE',
  };
  const plan = await planStatement({
    statement: { SelectStmt: probe },
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  return plan.columns.map((column) => column.name);
}
