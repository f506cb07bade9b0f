/** Which statement goes where. */
import { alterDatabaseSet, alterRoleSet } from './setting-defaults.ts';
import { type Node, type ReindexStmt } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { StatementEvents } from '../events/index.ts';
import { type StatementContext, type StatementResult } from '../session/types.ts';
import { alterTable } from './alter-table.ts';
import { runCluster } from './cluster.ts';
import { comment } from './comments.ts';
import {
  done,
  refuseInBlock,
  sessionCatalogOf,
  startDdl,
  type Ddl,
  type UtilityContext,
} from './context.ts';
import { createTable, createTableAs } from './create-table.ts';
import {
  alterDatabase,
  alterOwner,
  createDatabase,
  createSchema,
  dropDatabase,
} from './databases.ts';
import { dropObjects } from './drop.ts';
import { grant } from './grants.ts';
import { createIndex } from './indexes.ts';
import { defBool, rangeName, nameText } from './nodes.ts';
import { rename, setSchema } from './rename.ts';
import { alterRole, createRole, dropRole, grantRole } from './roles.ts';
import { alterSequence, createSequence } from './sequences.ts';
import { truncateTables } from './truncate.ts';
import { type RunUtility } from './types.ts';
import { createView } from './views.ts';

export const runUtility: RunUtility = async (statement, context) => {
  const events = new StatementEvents(context.eventLog, context.eval, statement.text);
  const own: UtilityContext = { ...context, events };
  const result =
    statement.kind === 'cluster'
      ? await runCluster(statement.statement, own)
      : await runPostgres(statement.node, own);
  events.write(context.txn, commandOf(statement, result));
  return result;
};

/** The tag without its count; CREATE TABLE AS answers like a SELECT. */
function commandOf(statement: Parameters<RunUtility>[0], result: StatementResult): string {
  if (statement.kind === 'postgres' && 'CreateTableAsStmt' in statement.node) {
    return 'CREATE TABLE AS';
  }
  return result.tag().replace(/ \d+$/, '');
}

async function runPostgres(node: Node, context: UtilityContext): Promise<StatementResult> {
  const ddl = (command: string): Promise<Ddl> => startDdl(context, command);
  if ('CreateStmt' in node) return createTable(await ddl('CREATE TABLE'), node.CreateStmt);
  if ('CreateTableAsStmt' in node) {
    return createTableAs(await ddl('CREATE TABLE AS'), node.CreateTableAsStmt);
  }
  if ('IndexStmt' in node) return createIndex(await ddl('CREATE INDEX'), node.IndexStmt);
  if ('ViewStmt' in node) return createView(await ddl('CREATE VIEW'), node.ViewStmt);
  if ('CreateSeqStmt' in node)
    return createSequence(await ddl('CREATE SEQUENCE'), node.CreateSeqStmt);
  if ('AlterSeqStmt' in node) return alterSequence(await ddl('ALTER SEQUENCE'), node.AlterSeqStmt);
  if ('AlterTableStmt' in node) return alterTable(await ddl('ALTER TABLE'), node.AlterTableStmt);
  if ('DropStmt' in node) {
    if (node.DropStmt.concurrent === true) refuseInBlock(context, 'DROP INDEX CONCURRENTLY');
    return dropObjects(await ddl('DROP'), node.DropStmt);
  }
  if ('TruncateStmt' in node) return truncateTables(await ddl('TRUNCATE TABLE'), node.TruncateStmt);
  if ('RenameStmt' in node) return rename(await ddl('ALTER'), node.RenameStmt);
  if ('AlterObjectSchemaStmt' in node) {
    return setSchema(await ddl('ALTER'), node.AlterObjectSchemaStmt);
  }
  if ('AlterOwnerStmt' in node) return alterOwner(await ddl('ALTER'), node.AlterOwnerStmt);
  if ('CreatedbStmt' in node) {
    return createDatabase(await alone(context, 'CREATE DATABASE'), node.CreatedbStmt);
  }
  if ('DropdbStmt' in node)
    return dropDatabase(await alone(context, 'DROP DATABASE'), node.DropdbStmt);
  if ('AlterDatabaseStmt' in node) {
    return alterDatabase(await ddl('ALTER DATABASE'), node.AlterDatabaseStmt);
  }
  if ('CreateSchemaStmt' in node) {
    return createSchema(await ddl('CREATE SCHEMA'), node.CreateSchemaStmt, (element) =>
      runPostgres(element, context),
    );
  }
  if ('CreateRoleStmt' in node) return createRole(await ddl('CREATE ROLE'), node.CreateRoleStmt);
  if ('AlterRoleStmt' in node) return alterRole(await ddl('ALTER ROLE'), node.AlterRoleStmt);
  if ('AlterDatabaseSetStmt' in node) {
    return alterDatabaseSet(await ddl('ALTER DATABASE'), node.AlterDatabaseSetStmt);
  }
  if ('AlterRoleSetStmt' in node)
    return alterRoleSet(await ddl('ALTER ROLE'), node.AlterRoleSetStmt);
  if ('DropRoleStmt' in node) return dropRole(await ddl('DROP ROLE'), node.DropRoleStmt);
  if ('GrantRoleStmt' in node) return grantRole(await ddl('GRANT ROLE'), node.GrantRoleStmt);
  if ('GrantStmt' in node) return grant(await ddl('GRANT'), node.GrantStmt);
  if ('CommentStmt' in node) return comment(await ddl('COMMENT'), node.CommentStmt);
  if ('AlterDefaultPrivilegesStmt' in node) {
    throw sqlError('featureNotSupported', 'ALTER DEFAULT PRIVILEGES is not supported');
  }
  return runMaintenance(node, context);
}

async function alone(context: UtilityContext, command: string): Promise<Ddl> {
  refuseInBlock(context, command);
  return startDdl(context, command);
}

/** Extensions whose functions are built in, or that do nothing here. */
const knownExtensions = new Set([
  'plpgsql',
  'pgcrypto',
  'uuid-ossp',
  'pg_stat_statements',
  'citext',
  'btree_gin',
  'btree_gist',
]);
const builtinExtensions = new Set(['plpgsql', 'pgcrypto', 'uuid-ossp', 'pg_stat_statements']);

/** What PostgreSQL calls a REINDEX that goes through several transactions. */
function loneReindex({ kind, params = [] }: ReindexStmt): string | undefined {
  const isConcurrent = params.some(
    (node) =>
      'DefElem' in node && node.DefElem.defname === 'concurrently' && defBool(node.DefElem.arg),
  );
  if (isConcurrent) return 'CONCURRENTLY';
  switch (kind) {
    case 'REINDEX_OBJECT_DATABASE':
      return 'DATABASE';
    case 'REINDEX_OBJECT_SCHEMA':
      return 'SCHEMA';
    case 'REINDEX_OBJECT_SYSTEM':
      return 'SYSTEM';
    default:
      return undefined;
  }
}

/** Statements about physical upkeep, which goes on by itself here: checked for their names, then done. */
async function runMaintenance(node: Node, context: StatementContext): Promise<StatementResult> {
  const catalog = sessionCatalogOf(context);
  const check = (range: Parameters<typeof rangeName>[0]): void => {
    const name = rangeName(range);
    if (range === undefined || catalog.findNamed(name) !== undefined) return;
    if (
      catalog.findVirtual(name.schema === undefined ? { ...name, schema: 'pg_catalog' } : name) !==
      undefined
    )
      return;
    throw sqlError('undefinedTable', `relation "${nameText(name)}" does not exist`);
  };
  if ('VacuumStmt' in node) {
    const isVacuum = node.VacuumStmt.is_vacuumcmd === true;
    if (isVacuum) refuseInBlock(context, 'VACUUM');
    for (const item of node.VacuumStmt.rels ?? []) {
      if ('VacuumRelation' in item) check(item.VacuumRelation.relation);
    }
    return done(isVacuum ? 'VACUUM' : 'ANALYZE');
  }
  if ('ReindexStmt' in node) {
    const lone = loneReindex(node.ReindexStmt);
    if (lone !== undefined) refuseInBlock(context, `REINDEX ${lone}`);
    check(node.ReindexStmt.relation);
    return done('REINDEX');
  }
  if ('ClusterStmt' in node) {
    if (node.ClusterStmt.relation === undefined) refuseInBlock(context, 'CLUSTER');
    check(node.ClusterStmt.relation);
    return done('CLUSTER');
  }
  if ('CheckPointStmt' in node) return done('CHECKPOINT');
  if ('ConstraintsSetStmt' in node) return done('SET CONSTRAINTS');
  if ('LockStmt' in node) return lockTables(node.LockStmt, context);
  if ('CreateExtensionStmt' in node) {
    const name = node.CreateExtensionStmt.extname ?? '';
    if (!knownExtensions.has(name)) {
      throw sqlError('featureNotSupported', `extension "${name}" is not available`, {
        hint: 'The extension must first be installed on the system where the server is running.',
      });
    }
    if (!builtinExtensions.has(name)) {
      throw sqlError('featureNotSupported', `extension "${name}" is not supported`);
    }
    context.notice('NOTICE', '42710', `extension "${name}" already exists, skipping`);
    return done('CREATE EXTENSION');
  }
  if ('RefreshMatViewStmt' in node) {
    throw sqlError('featureNotSupported', 'materialized views are not supported');
  }
  const kind = (Object.keys(node)[0] ?? 'statement').replace(/Stmt$/, '');
  throw sqlError('featureNotSupported', `statement ${kind} is not supported`);
}

/** PostgreSQL's AccessShareLock: what pg_dump takes. Using a table keeps its definition as it is anyway. */
const accessShare = 1;

async function lockTables(
  stmt: Extract<Node, { LockStmt: unknown }>['LockStmt'],
  context: StatementContext,
): Promise<StatementResult> {
  if (context.autocommit) {
    throw sqlError('noActiveSqlTransaction', 'LOCK TABLE can only be used in transaction blocks');
  }
  for (const item of stmt.relations ?? []) {
    if (!('RangeVar' in item)) continue;
    const name = rangeName(item.RangeVar);
    if ((await context.catalog.findRelation(name)) === undefined) {
      throw sqlError('undefinedTable', `relation "${nameText(name)}" does not exist`);
    }
  }
  if (stmt.mode === accessShare) return done('LOCK TABLE');
  throw sqlError('featureNotSupported', 'LOCK TABLE is supported in ACCESS SHARE mode only', {
    hint: 'Transactions are serializable; lock rows with SELECT ... FOR UPDATE.',
  });
}
