/** PREPARE, EXECUTE and DEALLOCATE: the same statements as those of the extended protocol. */
import {
  type DeallocateStmt,
  type ExecuteStmt,
  type Node,
  type PrepareStmt,
  type TypeName,
} from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { arrayTypeOf, type Datum, typeByCatalogName, typeByName, typeOf } from '../types/index.ts';
import { innerStatement } from './inner-statement.ts';
import { makeStatement, type PreparedStatement } from './prepared.ts';
import { type Run, type Session } from './session.ts';
import { type ResultColumn } from './types.ts';

export async function prepareStatement(
  session: Session,
  node: PrepareStmt,
  text: string,
): Promise<string> {
  const { name = '', query, argtypes = [] } = node;
  if (query === undefined) throw sqlError('syntaxError', 'a statement is missing');
  session.checkStatementName(name);
  const types = argtypes.map((type) => ('TypeName' in type ? typeOidOf(type.TypeName) : 0));
  const statement = makeStatement(name, text, innerStatement(query, text), types);
  if (statement.kind !== 'query') throw sqlError('syntaxError', 'only queries can be prepared');
  await session.planner.plan(statement);
  session.statements.set(name, statement);
  return 'PREPARE';
}

export async function executePrepared(
  session: Session,
  node: ExecuteStmt,
  run: Run,
): Promise<string> {
  const statement = session.statement(node.name ?? '');
  const params = await argumentValues(session, statement, node.params ?? []);
  const result = await session.runner.startQuery(statement, params);
  if (result.columns.length > 0) run.out.beginResult(result.columns, run.formats, run.describe);
  return session.runner.drain(result, run.out);
}

export function executeColumns(session: Session, node: ExecuteStmt): readonly ResultColumn[] {
  return session.statement(node.name ?? '').columns;
}

/** Evaluates the arguments of EXECUTE as one SELECT of casts to the parameter types. */
async function argumentValues(
  session: Session,
  statement: PreparedStatement,
  args: readonly Node[],
): Promise<readonly Datum[]> {
  const plan = await session.planner.plan(statement);
  const { parameterTypes } = plan;
  if (args.length !== parameterTypes.length) {
    throw sqlError(
      'syntaxError',
      `wrong number of parameters for prepared statement "${statement.name}"`,
      {
        detail: `Expected ${parameterTypes.length} parameters but got ${args.length}.`,
      },
    );
  }
  if (args.length === 0) return [];
  const targetList = args.map((arg, i): Node => ({
    ResTarget: { val: castTo(arg, parameterTypes[i] ?? 0) },
  }));
  const select: Node = {
    SelectStmt: { targetList, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
  };
  const result = await session.runner.startQuery(
    makeStatement('', '', innerStatement(select, ''), []),
    [],
  );
  let row: readonly Datum[] = [];
  for (let batch = await result.next(); batch !== undefined; batch = await result.next()) {
    row = batch[0] ?? row;
  }
  await result.close();
  return row;
}

function castTo(arg: Node, oid: number): Node {
  if (oid === 0) return arg;
  const names: Node[] = [
    { String: { sval: 'pg_catalog' } },
    { String: { sval: typeOf(oid).name } },
  ];
  return { TypeCast: { arg, typeName: { names, typemod: -1 } } };
}

function typeOidOf(type: TypeName): number {
  const names = (type.names ?? []).map((part) =>
    'String' in part ? (part.String.sval ?? '') : '',
  );
  const name = names.at(-1) ?? '';
  const found = names.length > 1 ? typeByCatalogName(name) : typeByName(name);
  if (found === undefined)
    throw sqlError('undefinedObject', `type "${names.join('.')}" does not exist`);
  if (type.arrayBounds === undefined || type.arrayBounds.length === 0) return found.oid;
  return arrayTypeOf(found.oid) ?? found.oid;
}

export function deallocate(session: Session, node: DeallocateStmt): string {
  if (node.isall === true || node.name === undefined) {
    session.statements.clear();
    return 'DEALLOCATE ALL';
  }
  session.statement(node.name);
  session.statements.delete(node.name);
  return 'DEALLOCATE';
}
