/** COMMENT ON: kept with the object. */
import { type CommentStmt } from '@pgsql/types';
import { type Descriptor, type NamedRelation } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, noRelation, refuseSystemTable, type Ddl } from './context.ts';
import { constraintNames, requireColumn } from './draft.ts';
import { nameOf, nameParts } from './nodes.ts';
import { recordComment } from './object-events.ts';

const keep = { drain: false } as const;

/** An empty comment removes it. */
function withComment<T extends { readonly comment?: string }>(
  item: T,
  comment: string | undefined,
): T {
  const { comment: _, ...rest } = item;
  return (comment === undefined || comment === '' ? rest : { ...rest, comment }) as T;
}

export async function comment(ddl: Ddl, stmt: CommentStmt): Promise<StatementResult> {
  const { catalog, writer } = ddl;
  const parts = nameParts(stmt.object);
  const text = stmt.comment;
  const last = parts.at(-1) ?? '';
  switch (stmt.objtype) {
    case 'OBJECT_DATABASE': {
      const database = catalog.snapshot.database(last);
      if (database === undefined)
        throw sqlError('invalidCatalogName', `database "${last}" does not exist`);
      writer.replace(withComment<Descriptor>(database, text), keep);
      recordComment(ddl, database, text);
      break;
    }
    case 'OBJECT_SCHEMA': {
      const { database } = catalog;
      const schema =
        database === undefined ? undefined : catalog.snapshot.schema(database.id, last);
      if (schema === undefined)
        throw sqlError('invalidSchemaName', `schema "${last}" does not exist`);
      writer.replace(withComment<Descriptor>(schema, text), keep);
      recordComment(ddl, schema, text);
      break;
    }
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE': {
      const relation = relationNamed(ddl, parts);
      const kind = stmt.objtype.replace('OBJECT_', '').toLowerCase();
      if (relation.kind === 'index' || relation.kind !== kind)
        throw sqlError('wrongObjectType', `"${last}" is not a ${kind}`);
      writer.replace(withComment<Descriptor>(relation, text), keep);
      recordComment(ddl, relation, text);
      break;
    }
    case 'OBJECT_INDEX': {
      const found = relationNamed(ddl, parts);
      if (found.kind !== 'index') throw sqlError('wrongObjectType', `"${last}" is not an index`);
      const { table, index } = found;
      const commented = withComment(index, text);
      writer.replace(
        {
          ...table,
          primaryIndex: index.id === table.primaryIndex.id ? commented : table.primaryIndex,
          indexes: table.indexes.map((other) => (other.id === index.id ? commented : other)),
        },
        keep,
      );
      recordComment(ddl, table, text, { kind: 'index', name: index.name });
      break;
    }
    case 'OBJECT_COLUMN': {
      const relation = relationNamed(ddl, parts.slice(0, -1));
      if (relation.kind !== 'table') {
        throw sqlError('wrongObjectType', `"${parts.at(-2) ?? ''}" is not a table`);
      }
      const column = requireColumn(relation, last);
      const columns = relation.columns.map((other) =>
        other.id === column.id ? withComment(column, text) : other,
      );
      writer.replace({ ...relation, columns }, keep);
      recordComment(ddl, relation, text, { kind: 'column', name: column.name });
      break;
    }
    case 'OBJECT_TABCONSTRAINT': {
      const relation = relationNamed(ddl, parts.slice(0, -1));
      if (relation.kind !== 'table' || !constraintNames(relation).has(last)) {
        throw sqlError(
          'undefinedObject',
          `constraint "${last}" for table "${parts.at(-2) ?? ''}" does not exist`,
        );
      }
      const index = [relation.primaryIndex, ...relation.indexes].find(({ name }) => name === last);
      if (index === undefined) {
        throw sqlError(
          'featureNotSupported',
          'comments on check and foreign key constraints are not supported',
        );
      }
      return comment(ddl, {
        ...stmt,
        objtype: 'OBJECT_INDEX',
        object: indexNode(ddl, relation.schemaId, last),
      });
    }
    case 'OBJECT_EXTENSION':
    case 'OBJECT_ROLE':
      // Accepted: pg_dump writes them. There is nothing to keep them with.
      break;
    default:
      throw sqlError(
        'featureNotSupported',
        `comments on ${(stmt.objtype ?? '').replace('OBJECT_', '').toLowerCase()} are not supported`,
      );
  }
  return done('COMMENT');
}

function indexNode(ddl: Ddl, schemaId: number, name: string): NonNullable<CommentStmt['object']> {
  const parts = [ddl.catalog.snapshot.schemaName(schemaId), name];
  return { List: { items: parts.map((sval) => ({ String: { sval } })) } };
}

function relationNamed(ddl: Ddl, parts: readonly string[]): NamedRelation {
  const name = nameOf(parts);
  const found = ddl.catalog.findNamed(name);
  if (found === undefined) throw noRelation(name);
  refuseSystemTable(found.kind === 'index' ? found.table : found);
  return found;
}
