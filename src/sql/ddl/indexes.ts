/**
 * CREATE INDEX and the building of indexes. An index of a table that nobody else can see, or that is
 * empty, is filled at once and is public when the transaction commits (the barrier of the catalog keeps writers
 * away at that moment); inside a transaction block the same is done for small tables. Otherwise the transaction
 * adds the index as write-only, and after the commit it is filled in chunks and made public.
 */
import { type IndexElem, type IndexStmt } from '@pgsql/types';
import { type Txn } from '../../kv/index.ts';
import {
  changeCatalog,
  quoteIdentifier,
  readDescriptor,
  type CatalogWriter,
  type IndexDescriptor,
  type TableDescriptor,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { typeOps, type Datum } from '../types/index.ts';
import {
  backfillInside,
  backfillOnline,
  isEmptyTable,
  isSmallTable,
  type RowFilter,
} from './backfill.ts';
import { checkCollation } from './columns.ts';
import { checkBoolean, isNameTaken, makeIndex } from './constraints.ts';
import {
  chooseName,
  done,
  findNamed,
  qualifiedText,
  refuseNewPrimaryKey,
  refuseSystemTable,
  refuseInBlock,
  relationExists,
  runQuery,
  sessionCatalogOf,
  type Ddl,
} from './context.ts';
import { columnById, requireColumn, settleNotNull, type TableDraft } from './draft.ts';
import { recordIndex, recordStep } from './object-events.ts';
import { abandonIndexes, indexBuildType, type IndexBuildPayload } from '../jobs/index.ts';
import { collectLater } from './drop-data.ts';
import { stringOf, strings, visitNodes } from './nodes.ts';
import { storedExpression, storedPredicate } from './stored-expressions.ts';

/** Rows up to which an index is filled inside a transaction block. */
const smallTableRows = 10_000;

export async function createIndex(ddl: Ddl, stmt: IndexStmt): Promise<StatementResult> {
  const { context } = ddl;
  const relation = findNamed(ddl, stmt.relation);
  if (relation.kind !== 'table') {
    throw sqlError(
      'wrongObjectType',
      `cannot create index on relation "${stmt.relation?.relname ?? ''}"`,
    );
  }
  refuseSystemTable(relation);
  if (stmt.concurrent === true) refuseInBlock(context, 'CREATE INDEX CONCURRENTLY');
  const draft: TableDraft = { ...relation };
  if (stmt.idxname !== undefined && isNameTaken(ddl, draft, stmt.idxname)) {
    if (stmt.if_not_exists !== true) throw relationExists(stmt.idxname);
    context.notice('NOTICE', '42P07', `relation "${stmt.idxname}" already exists, skipping`);
    return done('CREATE INDEX');
  }
  let index = describeIndex(ddl, draft, stmt);
  if (index.predicateSql !== undefined && stmt.whereClause !== undefined) {
    await checkBoolean(ddl, relation, index.predicateSql, 'WHERE');
    index = { ...index, predicateSql: storedPredicate(ddl, relation, stmt.whereClause) };
  }
  await installIndexes(ddl, draft, [index], `CREATE INDEX ${index.name} ON ${draft.name}`);
  recordIndex(ddl, 'create', relation, index);
  return done('CREATE INDEX');
}

const methods = new Set(['btree', 'hash', undefined]);

function describeIndex(ddl: Ddl, draft: TableDraft, stmt: IndexStmt): IndexDescriptor {
  if (!methods.has(stmt.accessMethod)) {
    const known = ['gin', 'gist', 'brin', 'spgist'].includes(stmt.accessMethod ?? '');
    throw known
      ? sqlError('featureNotSupported', `access method "${stmt.accessMethod}" is not supported`)
      : sqlError('undefinedObject', `access method "${stmt.accessMethod}" does not exist`);
  }
  const names: string[] = [];
  const columns = (stmt.indexParams ?? []).flatMap((node) => {
    if (!('IndexElem' in node)) return [];
    const element = node.IndexElem;
    const column = requireColumn(draft, indexedColumn(element));
    names.push(column.name);
    return [{ columnId: column.id, descending: isDescending(element) }];
  });
  const included = (stmt.indexIncludingParams ?? []).map((node) => {
    const name = 'IndexElem' in node ? indexedColumn(node.IndexElem) : stringOf(node);
    return requireColumn(draft, name).id;
  });
  let predicateSql: string | undefined;
  if (stmt.whereClause !== undefined) {
    visitNodes(stmt.whereClause, 'SubLink', () => {
      throw sqlError('featureNotSupported', 'cannot use subquery in index predicate');
    });
    predicateSql = storedExpression(ddl, stmt.whereClause);
  }
  const primary = new Set(draft.primaryIndex.columns.map(({ columnId }) => columnId));
  const keys = new Set(columns.map(({ columnId }) => columnId));
  return makeIndex(draft, {
    name:
      stmt.idxname ??
      chooseName(
        {
          table: draft.name,
          columns: [...names, ...included.map((id) => columnById(draft, id)?.name ?? '')],
          suffix: 'idx',
        },
        (name) => isNameTaken(ddl, draft, name),
      ),
    unique: stmt.unique === true,
    columns: distinctColumns(columns),
    storedColumnIds: [...new Set(included)].filter((id) => !primary.has(id) && !keys.has(id)),
    isConstraint: false,
    predicateSql,
    nullsNotDistinct: stmt.nulls_not_distinct,
  });
}

/** A column that stands twice adds nothing the second time. */
function distinctColumns(columns: IndexDescriptor['columns']): IndexDescriptor['columns'] {
  return columns.filter(
    (column, at) => columns.findIndex(({ columnId }) => columnId === column.columnId) === at,
  );
}

function indexedColumn(element: IndexElem): string {
  if (element.expr !== undefined || element.name === undefined) {
    throw sqlError('featureNotSupported', 'indexes on expressions are not supported', {
      hint: 'Add a generated column (GENERATED ALWAYS AS (...) STORED) and index that.',
    });
  }
  if (element.collation !== undefined) checkCollation(strings(element.collation));
  return element.name;
}

/** Nulls sort last ascending and first descending; the other two combinations do not exist here. */
function isDescending(element: IndexElem): boolean {
  const descending = element.ordering === 'SORTBY_DESC';
  const wanted = descending ? 'SORTBY_NULLS_FIRST' : 'SORTBY_NULLS_LAST';
  const given = element.nulls_ordering ?? 'SORTBY_NULLS_DEFAULT';
  if (given !== 'SORTBY_NULLS_DEFAULT' && given !== wanted) {
    throw sqlError(
      'featureNotSupported',
      `${descending ? 'DESC NULLS LAST' : 'ASC NULLS FIRST'} is not supported in an index`,
    );
  }
  return descending;
}

/**
 * Adds filled (or to be filled) indexes to the table the draft describes, and stores it. Indexes must carry ids of
 * the draft.
 */
export async function installIndexes(
  ddl: Ddl,
  draft: TableDraft,
  indexes: readonly IndexDescriptor[],
  description: string,
): Promise<void> {
  // The exchange would leave out an index that it does not know.
  refuseNewPrimaryKey(draft);
  const { context, writer } = ddl;
  const { txn } = context;
  const isNew = writer.isNew(draft.id);
  const limit = context.autocommit ? 0 : smallTableRows;
  const atOnce =
    isNew || (limit === 0 ? await isEmptyTable(txn, draft) : await isSmallTable(txn, draft, limit));
  const state = atOnce ? 'public' : 'write-only';
  const added = indexes.map((index): IndexDescriptor => ({ ...index, state }));
  draft.indexes = [...draft.indexes, ...added];
  const table = writer.replace({ ...draft });
  if (atOnce) {
    await backfillInside(txn, table, added, (index) => partialFilter(context, table, index));
    return;
  }
  await buildLater(ddl, table.id, added, description, (changing, current) => {
    const ids = new Set(added.map(({ id }) => id));
    changing.replace({
      ...current,
      indexes: current.indexes.map((index) =>
        ids.has(index.id) ? { ...index, state: 'public' } : index,
      ),
    });
  });
}

/**
 * Fills write-only indexes once the transaction has committed, then lets `publish` change the table. When they
 * cannot be filled they are taken back and the statement fails with the reason. `obsoleteIds`: indexes that
 * `publish` takes out of the table, whose data is then cleared. `notNullIds`: checks that the transaction has added to stand for NOT
 * NULL, which rows are held to as they are filled in.
 */
export async function buildLater(
  ddl: Ddl,
  tableId: number,
  indexes: readonly IndexDescriptor[],
  description: string,
  publish: (writer: CatalogWriter, table: TableDescriptor) => void,
  more: {
    readonly obsoleteIds?: readonly number[];
    readonly notNullIds?: readonly number[];
  } = {},
): Promise<void> {
  const { context, catalog } = ddl;
  const { db, env } = context;
  const { cache } = catalog;
  const indexIds = indexes.map(({ id }) => id);
  const notNullIds = more.notNullIds ?? [];
  const payload: IndexBuildPayload = { tableId, indexIds, notNullIds };
  const job = await context.jobs.createOwn(context.txn, {
    type: indexBuildType,
    description,
    user: context.eval.currentUser,
    runningStatus: 'populating schema',
    payload,
  });
  context.ddl.add({
    description,
    drop: () => context.jobs.letGo(job),
    run: () =>
      context.jobs.runHere(job, {
        revert: ({ job: { error } }) =>
          abandonIndexes(cache, payload, {
            pin: catalog.pinned,
            tell: (writer, table) => recordStep(ddl, writer, table, error ?? 'canceled'),
          }),
        run: async ({ check, succeedWith }) => {
          const found = await backfillOnline({
            db,
            env,
            indexIds,
            table: async (txn) => {
              const table = await tableWithIndexes(txn, tableId, indexIds);
              return table && settleNotNull(table, notNullIds);
            },
            filter: (table, index) => partialFilter(context, table, index),
            checkCanceled: () => {
              check();
              context.checkCanceled();
            },
          });
          if (!found)
            throw sqlError('undefinedTable', 'the table was dropped while its index was built');
          const options = {
            name: 'publish index',
            pin: catalog.pinned,
            checkCanceled: () => context.checkCanceled(),
          };
          await changeCatalog(cache, options, async (writer) => {
            const table = writer.snapshot.tableById(tableId);
            if (table === undefined || !hasIndexes(table, indexIds)) return;
            publish(writer, settleNotNull(table, notNullIds));
            await succeedWith(writer.txn);
            recordStep(ddl, writer, table);
            const spans = (more.obsoleteIds ?? []).map((indexId) => ({ tableId, indexId }));
            const { databaseId } = table;
            await collectLater(
              { ...context, txn: writer.txn },
              { description: `GC for ${description}`, databaseId, spans },
            );
          });
          context.jobs.wake();
        },
      }),
  });
}

function hasIndexes(table: TableDescriptor, indexIds: readonly number[]): boolean {
  return indexIds.every((id) => table.indexes.some((index) => index.id === id));
}

async function tableWithIndexes(
  txn: Txn,
  tableId: number,
  indexIds: readonly number[],
): Promise<TableDescriptor | undefined> {
  const table = await readDescriptor(txn, tableId);
  return table?.kind === 'table' && table.state === 'public' && hasIndexes(table, indexIds)
    ? table
    : undefined;
}

/**
 * Which rows a partial index holds, decided by a query over the span of primary keys that the rows cover (they
 * are in the order of these), in the transaction that read them.
 */
export function partialFilter(
  context: StatementContext,
  table: TableDescriptor,
  index: IndexDescriptor,
): RowFilter | undefined {
  const { predicateSql } = index;
  if (predicateSql === undefined) return undefined;
  const keys = table.primaryIndex.columns.flatMap(({ columnId, descending }) => {
    const column = columnById(table, columnId);
    const at = table.columns.findIndex(({ id }) => id === columnId);
    return column === undefined ? [] : [{ column, at, descending }];
  });
  const names = keys.map(({ column }) => quoteIdentifier(column.name));
  const hash = (values: readonly Datum[]): string =>
    values
      .map((value, at) => {
        const key = keys[at];
        return value === null || key === undefined
          ? 'null'
          : `${String(typeOps(key.column.typeOid).hashKey(value))}`;
      })
      .join('\0');
  return async (txn, rows) => {
    const [first, last] = [rows[0], rows.at(-1)];
    const [lead] = keys;
    if (first === undefined || last === undefined || lead === undefined) return [];
    const ends = lead.descending ? [last, first] : [first, last];
    const from = qualifiedText(sessionCatalogOf(context), table);
    const matching = await runQuery(
      { ...context, txn },
      `SELECT ${names.join(', ')} FROM ${from} WHERE ${names[0]} >= $1 AND ${names[0]} <= $2 AND (${predicateSql})`,
      ends.map((row) => ({ oid: lead.column.typeOid, value: row[lead.at] ?? null })),
    );
    const wanted = new Set(matching.map(hash));
    return rows.map((row) => wanted.has(hash(keys.map(({ at }) => row[at] ?? null))));
  };
}
