/** Keys that statements about ranges are given as rows: VALUES (...) or a query, a value per column of an index. */
import { type Node } from '@pgsql/types';
import { must } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { planStatement } from '../plan/index.ts';
import { tableCodec } from '../row/index.ts';
import { type StatementContext } from '../session/types.ts';
import { formatType, oids, typeOf, typeOps, type Datum, type Row } from '../types/index.ts';
import { resultColumn } from './context.ts';
import { type TableIndex } from './named.ts';

/** Statements about keys answer with them. */
export const keyColumns = [resultColumn('key', oids.bytea), resultColumn('pretty', oids.text)];

export interface NodeRows {
  readonly types: readonly number[];
  readonly rows: readonly Row[];
}

/** All rows of a query that is part of a statement. */
export async function runNode(node: Node, context: StatementContext): Promise<NodeRows> {
  const plan = await planStatement({
    statement: node,
    parameterTypes: [],
    catalog: context.catalog,
    eval: context.eval,
  });
  const result = await plan.execute({ ...context, autocommit: false });
  const rows: Row[] = [];
  for (;;) {
    const batch = await result.next();
    if (batch === undefined) return { types: plan.columns.map((column) => column.typeOid), rows };
    rows.push(...batch);
  }
}

/**
 * The key that begins with these values. `clause` names itself in errors: 42601 for more values than the index has columns,
 * 42804 for types that do not fit, 22P02 and the like for texts that are no such value.
 */
export function keyOfRow(
  context: StatementContext,
  { table, index }: TableIndex,
  clause: string,
  types: readonly number[],
  row: Row,
): Buffer {
  const columns = index.columns.map(({ columnId }) =>
    must(table.columns.find(({ id }) => id === columnId)),
  );
  if (types.length > columns.length) {
    throw sqlError(
      'syntaxError',
      `${clause} data column count ${types.length} exceeds the ${columns.length} columns of index "${index.name}"`,
    );
  }
  const values = row.map((value, at): Datum => {
    const column = must(columns[at]);
    const from = must(types[at]);
    if (from === column.typeOid) return value;
    if (!fits(from, column.typeOid)) {
      throw sqlError(
        'datatypeMismatch',
        `${clause} data column ${at + 1} ("${column.name}") must be of type ${formatType(column.typeOid, -1)}, not ${formatType(from, -1)}`,
      );
    }
    if (value === null) return null;
    const text = typeOps(from).format(value, context.eval);
    return typeOps(column.typeOid).parse(text, column.typmod, context.eval);
  });
  return tableCodec(table).index(index.id).encodeKeyPrefix(values);
}

/** Literals take any type, others one of the same family. */
function fits(from: number, to: number): boolean {
  if (from === oids.unknown || from === oids.text) return true;
  return typeOf(from).category === typeOf(to).category;
}
