/** COPY: finds out what goes where, then hands over to `copy-in` or `copy-out`. */
import { type CopyStmt, type Node } from '@pgsql/types';
import { type ColumnDescriptor, type TableDescriptor } from '../../catalog/index.ts';
import { sqlError } from '../../errors.ts';
import { innerStatement } from '../inner-statement.ts';
import { makeStatement, type PreparedStatement } from '../prepared.ts';
import { type Run, type Session } from '../session.ts';
import { copyIn } from './copy-in.ts';
import { copyOptions, type CopyOptions } from './options.ts';
import { copyWriter } from './output.ts';

/** Returns the command tag. `alone`: nothing else is in the transaction, which is committed together with the rows. */
export async function runCopy(
  session: Session,
  statement: PreparedStatement,
  run: Run,
  alone: boolean,
): Promise<string> {
  const parsed = statement.parsed?.statement;
  if (parsed?.kind !== 'postgres' || !('CopyStmt' in parsed.node)) return '';
  const copy = parsed.node.CopyStmt;
  if (copy.filename !== undefined || copy.is_program === true) {
    throw sqlError(
      'insufficientPrivilege',
      'COPY to or from a file of the server is not possible',
      {
        hint: "COPY with STDIN or STDOUT moves data over the connection; psql's \\copy does that.",
      },
    );
  }
  const options = copyOptions(copy);
  if (copy.is_from === true) return copyFrom(session, copy, options, run, alone);
  return copyTo(session, copy, options, run, statement.text);
}

async function copyFrom(
  session: Session,
  copy: CopyStmt,
  options: CopyOptions,
  run: Run,
  alone: boolean,
): Promise<string> {
  if (session.transaction.readOnly) {
    throw sqlError('readOnlySqlTransaction', 'cannot execute COPY FROM in a read-only transaction');
  }
  if (copy.whereClause !== undefined) {
    throw sqlError('featureNotSupported', 'COPY FROM ... WHERE is not supported');
  }
  const txn = await session.transaction.require();
  await session.runner.beginStatement(txn, { mayWrite: true });
  const { table, schemaName } = await targetTable(session, copy);
  const columns = listedColumns(table, copy.attlist ?? []);
  for (const name of [options.forceNotNull, options.forceNull]) checkListed(name, columns);
  const context = session.runner.makeContext(txn, []);
  const count = await copyIn({
    session,
    context,
    table,
    schemaName,
    columns,
    options,
    out: run.out,
    commit: alone ? () => session.runner.commit() : undefined,
  });
  return `COPY ${count}`;
}

async function targetTable(
  session: Session,
  copy: CopyStmt,
): Promise<{ table: TableDescriptor; schemaName: string }> {
  const { relname = '', schemaname, catalogname } = copy.relation ?? {};
  const relation = await session.catalog.findRelation({
    name: relname,
    schema: schemaname,
    catalog: catalogname,
  });
  switch (relation?.kind) {
    case 'table':
      return relation;
    case undefined:
      throw sqlError(
        'undefinedTable',
        `relation "${[schemaname, relname].filter(Boolean).join('.')}" does not exist`,
      );
    default:
      throw sqlError(
        'wrongObjectType',
        `cannot copy to ${relation?.kind ?? 'object'} "${relname}"`,
      );
  }
}

/** The columns of the data, in its order. */
function listedColumns(table: TableDescriptor, list: readonly Node[]): ColumnDescriptor[] {
  const visible = table.columns.filter(
    (column) => column.state === 'public' && column.hidden !== true,
  );
  if (list.length === 0) return visible.filter((column) => column.generatedSql === undefined);
  const seen = new Set<string>();
  return list.map((item) => {
    const name = 'String' in item ? (item.String.sval ?? '') : '';
    const column = visible.find((candidate) => candidate.name === name);
    if (column === undefined) {
      throw sqlError(
        'undefinedColumn',
        `column "${name}" of relation "${table.name}" does not exist`,
      );
    }
    if (seen.has(name))
      throw sqlError('duplicateColumn', `column "${name}" specified more than once`);
    if (column.generatedSql !== undefined) {
      throw sqlError('invalidColumnReference', `column "${name}" is a generated column`, {
        detail: 'Generated columns cannot be used in COPY.',
      });
    }
    seen.add(name);
    return column;
  });
}

function checkListed(names: readonly string[] | 'all', columns: readonly ColumnDescriptor[]): void {
  if (names === 'all') return;
  for (const name of names) {
    if (columns.some((column) => column.name === name)) continue;
    throw sqlError('invalidColumnReference', `FORCE column "${name}" not referenced by COPY`);
  }
}

async function copyTo(
  session: Session,
  copy: CopyStmt,
  options: CopyOptions,
  run: Run,
  text: string,
): Promise<string> {
  const query = copy.query ?? (await selectOf(session, copy));
  const inner = makeStatement('', text, innerStatement(query, text), []);
  if (inner.kind !== 'query') throw sqlError('featureNotSupported', 'COPY query must have rows');
  const result = await session.runner.startQuery(inner, []);
  if (result.columns.length === 0) {
    throw sqlError('featureNotSupported', 'COPY query must have a RETURNING clause');
  }
  const writer = copyWriter(options, result.columns, session.settings.format);
  const { out } = run;
  out.copyOut(result.columns.length, options.format === 'binary' ? 1 : 0);
  if (writer.begin !== undefined) await out.copyChunk(writer.begin);
  let count = 0;
  for (let batch = await result.next(); batch !== undefined; batch = await result.next()) {
    for (const row of batch) {
      const wait = out.copyChunk(writer.row(row));
      if (wait !== undefined) await wait;
    }
    count += batch.length;
    session.checkCanceled();
  }
  if (writer.end !== undefined) await out.copyChunk(writer.end);
  out.copyDone();
  return `COPY ${count}`;
}

/** SELECT of the listed columns of the relation. */
async function selectOf(session: Session, copy: CopyStmt): Promise<Node> {
  const { relname = '', schemaname, catalogname } = copy.relation ?? {};
  const relation = await session.catalog.findRelation({
    name: relname,
    schema: schemaname,
    catalog: catalogname,
  });
  if (relation?.kind === 'view') {
    throw sqlError('wrongObjectType', `cannot copy from view "${relname}"`, {
      hint: 'Try the COPY (SELECT ...) TO variant.',
    });
  }
  const listed = copy.attlist ?? [];
  const fields: readonly Node[][] =
    listed.length === 0
      ? relation?.kind === 'table'
        ? listedColumns(relation.table, []).map((column) => [{ String: { sval: column.name } }])
        : [[{ A_Star: {} }]]
      : listed.map((item) => [item]);
  const targetList = fields.map((parts): Node => ({
    ResTarget: { val: { ColumnRef: { fields: parts } } },
  }));
  const fromClause: Node[] = copy.relation === undefined ? [] : [{ RangeVar: copy.relation }];
  return {
    SelectStmt: { targetList, fromClause, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
  };
}
