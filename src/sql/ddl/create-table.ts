/** CREATE TABLE, with LIKE, and CREATE TABLE AS. */
import {
  type Constraint,
  type CreateStmt,
  type CreateTableAsStmt,
  type RangeVar,
  type TableLikeClause,
} from '@pgsql/types';
import { type SchemaDescriptor, type TableDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { planStatement } from '../plan/index.ts';
import { type StatementResult } from '../session/types.ts';
import { oids, typeOf } from '../types/index.ts';
import { addColumn, checkColumnExpressions, feedFromSequence } from './columns.ts';
import {
  addCheck,
  addForeignKey,
  checkBoolean,
  implicitKey,
  indexName,
  makeIndex,
  primaryKey,
  uniqueConstraint,
} from './constraints.ts';
import { done, findNamed, relationExists, schemaForCreate, type Ddl } from './context.ts';
import {
  columnById,
  columnNames,
  findColumn,
  publicColumns,
  replaceColumn,
  suffixFor,
  type TableDraft,
} from './draft.ts';
import { rangeName, strings } from './nodes.ts';
import { recordObject } from './object-events.ts';

const noKey: TableDescriptor['primaryIndex'] = {
  id: 0,
  name: '',
  unique: true,
  columns: [],
  suffixColumnIds: [],
  storedColumnIds: [],
  isConstraint: false,
  state: 'public',
};

async function newDraft(ddl: Ddl, schema: SchemaDescriptor, name: string): Promise<TableDraft> {
  return {
    kind: 'table',
    id: await ddl.writer.newId(),
    version: 1,
    databaseId: schema.databaseId,
    schemaId: schema.id,
    name,
    owner: ddl.context.eval.currentUser,
    columns: [],
    primaryIndex: noKey,
    indexes: [],
    checks: [],
    foreignKeys: [],
    referencedBy: [],
    nextColumnId: 1,
    nextIndexId: 1,
    state: 'public',
  };
}

/** The schema for a new relation, or undefined when IF NOT EXISTS ends the statement. Throws 42P07, 0A000. */
export function placeForNew(
  ddl: Ddl,
  range: RangeVar | undefined,
  ifNotExists: boolean | undefined,
): SchemaDescriptor | undefined {
  if (range?.relpersistence === 't') {
    throw sqlError('featureNotSupported', 'temporary tables are not supported');
  }
  const name = rangeName(range);
  const schema = schemaForCreate(ddl, name);
  if (ddl.catalog.snapshot.named(schema.id, name.name) === undefined) return schema;
  if (ifNotExists !== true) throw relationExists(name.name);
  ddl.context.notice('NOTICE', '42P07', `relation "${name.name}" already exists, skipping`);
  return undefined;
}

export async function createTable(ddl: Ddl, stmt: CreateStmt): Promise<StatementResult> {
  if (stmt.partspec !== undefined || stmt.partbound !== undefined) {
    throw sqlError('featureNotSupported', 'partitioned tables are not supported', {
      hint: 'Tables are cut into ranges by themselves; no partitions are needed.',
    });
  }
  if ((stmt.inhRelations ?? []).length > 0 || stmt.ofTypename !== undefined) {
    throw sqlError('featureNotSupported', 'table inheritance is not supported');
  }
  const schema = placeForNew(ddl, stmt.relation, stmt.if_not_exists);
  if (schema === undefined) return done('CREATE TABLE');
  const draft = await newDraft(ddl, schema, rangeName(stmt.relation).name);
  const constraints: { readonly constraint: Constraint; readonly column?: string }[] = [];
  for (const element of [...(stmt.tableElts ?? []), ...(stmt.constraints ?? [])]) {
    if ('ColumnDef' in element) {
      const added = await addColumn(ddl, schema, draft, element.ColumnDef);
      for (const constraint of added.constraints) {
        constraints.push({ constraint, column: added.column.name });
      }
    } else if ('Constraint' in element) constraints.push({ constraint: element.Constraint });
    else if ('TableLikeClause' in element)
      await addLike(ddl, schema, draft, element.TableLikeClause);
  }
  finishKeys(ddl, draft, constraints);
  for (const { constraint, column } of constraints) {
    switch (constraint.contype) {
      case 'CONSTR_CHECK':
        addCheck(ddl, draft, { ...constraint, skip_validation: false }, column);
        break;
      case 'CONSTR_FOREIGN':
        addForeignKey(ddl, draft, { ...constraint, skip_validation: false });
        break;
      case 'CONSTR_NOTNULL':
        for (const name of strings(constraint.keys)) {
          const found = findColumn(draft, name);
          if (found !== undefined) replaceColumn(draft, { ...found, nullable: false });
        }
        break;
      case 'CONSTR_EXCLUSION':
        throw sqlError('featureNotSupported', 'exclusion constraints are not supported');
      default:
    }
  }
  ddl.writer.create({ ...draft });
  recordObject(ddl, 'create', draft);
  await checkColumnExpressions(ddl, draft, draft.columns);
  for (const check of draft.checks) await checkBoolean(ddl, draft, check.sql, 'CHECK');
  return done('CREATE TABLE');
}

/** The primary key first: every other index carries its columns. */
function finishKeys(
  ddl: Ddl,
  draft: TableDraft,
  constraints: readonly { readonly constraint: Constraint }[],
): void {
  const primaries = constraints.filter(({ constraint }) => constraint.contype === 'CONSTR_PRIMARY');
  const [first, second] = primaries;
  const hasKey = draft.primaryIndex.id !== 0;
  if (second !== undefined || (hasKey && first !== undefined)) {
    throw sqlError(
      'invalidTableDefinition',
      `multiple primary keys for table "${draft.name}" are not allowed`,
    );
  }
  if (first !== undefined) draft.primaryIndex = primaryKey(ddl, draft, first.constraint);
  else if (!hasKey) draft.primaryIndex = implicitKey(draft);
  // Indexes copied by LIKE were made before the key was known.
  draft.indexes = draft.indexes.map((index) => ({
    ...index,
    suffixColumnIds: suffixFor(draft.primaryIndex, index.columns),
  }));
  for (const { constraint } of constraints) {
    if (constraint.contype !== 'CONSTR_UNIQUE') continue;
    draft.indexes = [...draft.indexes, uniqueConstraint(ddl, draft, constraint)];
  }
}

/** Bits of TableLikeClause.options (parsenodes.h). */
const likeOption = {
  comments: 1,
  constraints: 4,
  defaults: 8,
  generated: 16,
  identity: 32,
  indexes: 64,
} as const;

async function addLike(
  ddl: Ddl,
  schema: SchemaDescriptor,
  draft: TableDraft,
  clause: TableLikeClause,
): Promise<void> {
  const source = findNamed(ddl, clause.relation);
  const has = (bit: number): boolean => ((clause.options ?? 0) & bit) !== 0;
  if (source.kind === 'view') {
    for (const column of source.columns) addPlain(draft, column);
    return;
  }
  if (source.kind !== 'table') {
    throw sqlError(
      'wrongObjectType',
      `relation "${clause.relation?.relname ?? ''}" is invalid in LIKE clause`,
    );
  }
  const idOf = new Map<number, number>();
  for (const column of publicColumns(source)) {
    const added = addPlain(draft, column);
    idOf.set(column.id, added.id);
    let copy = { ...added, nullable: column.nullable };
    const ownsSequence = column.ownedSequenceIds !== undefined;
    if (column.identity !== undefined) {
      if (has(likeOption.identity)) {
        copy = { ...copy, identity: column.identity };
        copy = await feedFromSequence(ddl, schema, draft, copy, { typeOid: column.typeOid });
      }
    } else if (column.defaultSql !== undefined && has(likeOption.defaults)) {
      copy = { ...copy, defaultSql: column.defaultSql };
    } else if (ownsSequence && !has(likeOption.defaults)) copy = { ...copy };
    if (column.generatedSql !== undefined && has(likeOption.generated)) {
      copy = { ...copy, generatedSql: column.generatedSql };
    }
    if (column.comment !== undefined && has(likeOption.comments)) {
      copy = { ...copy, comment: column.comment };
    }
    replaceColumn(draft, copy);
  }
  const newId = (id: number): number => idOf.get(id) ?? 0;
  if (has(likeOption.constraints)) {
    for (const check of source.checks) {
      // It stands for the NOT NULL that the copy has already.
      if (check.becomesNotNull !== undefined) continue;
      draft.checks = [...draft.checks, { ...check, columnIds: check.columnIds.map(newId) }];
    }
  }
  if (!has(likeOption.indexes)) return;
  const columnsOf = (columns: TableDescriptor['primaryIndex']['columns']) =>
    columns.map(({ columnId, descending }) => ({ columnId: newId(columnId), descending }));
  if (source.primaryIndex.isConstraint) {
    draft.primaryIndex = makeIndex(draft, {
      name: indexName(ddl, draft, undefined, { suffix: 'pkey' }),
      unique: true,
      columns: columnsOf(source.primaryIndex.columns),
      isConstraint: true,
    });
  }
  for (const index of source.indexes) {
    if (index.state !== 'public') continue;
    const columns = columnsOf(index.columns);
    const names = columnNames(
      draft,
      columns.map(({ columnId }) => columnId),
    );
    const suffix = index.isConstraint ? 'key' : 'idx';
    draft.indexes = [
      ...draft.indexes,
      makeIndex(draft, {
        name: indexName(ddl, draft, undefined, { columns: names, suffix }),
        unique: index.unique,
        columns,
        storedColumnIds: index.storedColumnIds.map(newId),
        isConstraint: index.isConstraint,
        predicateSql: index.predicateSql,
        nullsNotDistinct: index.nullsNotDistinct,
      }),
    ];
  }
}

function addPlain(
  draft: TableDraft,
  source: { readonly name: string; readonly typeOid: number; readonly typmod: number },
): TableDescriptor['columns'][number] {
  if (findColumn(draft, source.name) !== undefined) {
    throw sqlError('duplicateColumn', `column "${source.name}" specified more than once`);
  }
  const column = {
    id: draft.nextColumnId++,
    name: source.name,
    typeOid: source.typeOid,
    typmod: source.typmod,
    nullable: true,
    state: 'public' as const,
  };
  draft.columns = [...draft.columns, column];
  return columnById(draft, column.id) ?? column;
}

export async function createTableAs(ddl: Ddl, stmt: CreateTableAsStmt): Promise<StatementResult> {
  if (stmt.objtype === 'OBJECT_MATVIEW') {
    throw sqlError('featureNotSupported', 'materialized views are not supported');
  }
  const { query, into } = stmt;
  if (query === undefined || into === undefined)
    throw sqlError('syntaxError', 'a query is expected');
  const schema = placeForNew(ddl, into.rel, stmt.if_not_exists);
  if (schema === undefined) return done('CREATE TABLE AS');
  const { context } = ddl;
  const plan = await planStatement({
    statement: query,
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  const names = strings(into.colNames);
  if (names.length > plan.columns.length) {
    throw sqlError('syntaxError', 'too many column names were specified');
  }
  const draft = await newDraft(ddl, schema, rangeName(into.rel).name);
  for (const [at, column] of plan.columns.entries()) {
    const name = names[at] ?? column.name;
    const typeOid = column.typeOid === oids.unknown ? oids.text : column.typeOid;
    if (typeOf(typeOid).category === 'P') {
      throw sqlError(
        'invalidTableDefinition',
        `column "${name}" has pseudo-type ${typeOf(typeOid).displayName}`,
      );
    }
    addPlain(draft, { name, typeOid, typmod: column.typmod });
  }
  draft.primaryIndex = implicitKey(draft);
  ddl.writer.create({ ...draft });
  recordObject(ddl, 'create', draft);
  if (into.skipData === true) return done('CREATE TABLE AS');
  const relation: RangeVar = {
    schemaname: schema.name,
    relname: draft.name,
    inh: true,
    relpersistence: 'p',
    ...(into.rel?.catalogname === undefined ? {} : { catalogname: into.rel.catalogname }),
  };
  const insert = await planStatement({
    statement: { InsertStmt: { relation, selectStmt: query, override: 'OVERRIDING_NOT_SET' } },
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  const result = await insert.execute({ ...context, autocommit: false });
  while ((await result.next()) !== undefined);
  return done(result.tag().replace('INSERT 0', 'SELECT'));
}
