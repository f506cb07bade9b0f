/**
 * Where the rows of COPY go. Most tables take the short way: rows are encoded and put into the
 * transaction directly. Tables whose rows need more (foreign keys, checks, generated columns, partial
 * indexes, defaults that are not simple) go through INSERT plans, a batch of rows at a time.
 */
import { type Node } from '@pgsql/types';
import {
  implicitKeyOf,
  quoteIdentifier,
  quoteList,
  type ColumnDescriptor,
  type TableDescriptor,
} from '../../catalog/index.ts';
import { SqlFailure, sqlError, sqlStates } from '../../errors.ts';
import { KvFailure } from '../../../kv/index.ts';
import { functionsByName } from '../../functions/index.ts';
import { parseExpression } from '../../parse/index.ts';
import { type IndexCodec, tableCodec } from '../../row/index.ts';
import { type Datum, type Row, typeOf, typeOps } from '../../types/index.ts';
import { type StatementContext } from '../types.ts';
import { innerStatement } from '../inner-statement.ts';
import { makeStatement } from '../prepared.ts';
import { constantText } from '../set-values.ts';
import { type CopyInTarget } from './copy-in.ts';

export interface RowSink {
  /** The rows are in; with the transaction committed, if that was asked for. */
  finish(): Promise<void>;
  /** `values` in the order of the listed columns. A promise: wait before adding more. */
  add(values: readonly Datum[]): Promise<void> | undefined;
}

/** Rows between two looks at the size of the transaction's buffer. */
const flushRows = 512;
/** Most parameters of one INSERT of the long way. */
const maxInsertParameters = 4000;

export async function openRowSink(target: CopyInTarget): Promise<RowSink> {
  const defaults = directDefaults(target);
  if (defaults === undefined) return new InsertSink(target);
  return new DirectSink(target, defaults);
}

type Default = (() => Datum) | undefined;

/** For each column of the table what it gets when it is not listed; undefined: take the long way. */
function directDefaults(target: CopyInTarget): Default[] | undefined {
  const { table, columns, context } = target;
  if (table.checks.length > 0 || table.foreignKeys.length > 0) return undefined;
  if (table.indexes.some((index) => index.predicateSql !== undefined)) return undefined;
  const defaults: Default[] = [];
  for (const column of table.columns) {
    if (column.generatedSql !== undefined) return undefined;
    if (column.identity !== undefined && !columns.includes(column)) return undefined;
    if (columns.includes(column) || column.defaultSql === undefined || column.state === 'dropped') {
      defaults.push(undefined);
      continue;
    }
    // The key of a table without one is a row id.
    const value =
      column.hidden === true
        ? () => target.session.host.uniqueRowId()
        : simpleDefault(column, column.defaultSql, context);
    if (value === undefined) return undefined;
    defaults.push(value);
  }
  return defaults;
}

/** A constant, or a function without arguments that answers at once (unique_rowid, now, gen_random_uuid). */
function simpleDefault(
  column: ColumnDescriptor,
  sql: string,
  context: StatementContext,
): (() => Datum) | undefined {
  const node = withoutCasts(parseExpression(sql));
  if ('A_Const' in node) {
    if (node.A_Const.isnull === true) return () => null;
    const value = typeOps(column.typeOid).parse(constantText(node), column.typmod, context.eval);
    return () => value;
  }
  if (!('FuncCall' in node) || (node.FuncCall.args ?? []).length > 0) return undefined;
  const last = node.FuncCall.funcname?.at(-1);
  const name = last !== undefined && 'String' in last ? (last.String.sval ?? '') : '';
  const fn = functionsByName(name).find(
    (candidate) => candidate.args.length === 0 && candidate.kind === 'scalar' && !candidate.async,
  );
  if (fn?.kind !== 'scalar' || fn.result !== column.typeOid) return undefined;
  const types = [fn.result];
  return () => {
    const value = fn.call([], context.eval, types);
    if (value instanceof Promise) throw sqlError('internalError', `${name}() is not asynchronous`);
    return value;
  };
}

function withoutCasts(node: Node): Node {
  return 'TypeCast' in node && node.TypeCast.arg !== undefined && 'A_Const' in node.TypeCast.arg
    ? node.TypeCast.arg
    : node;
}

class DirectSink implements RowSink {
  readonly #context: StatementContext;
  readonly #table: TableDescriptor;
  readonly #schemaName: string;
  /** Position in table.columns of each listed column. */
  readonly #positions: readonly number[];
  readonly #defaults: readonly Default[];
  readonly #hasDefaults: boolean;
  readonly #notNull: readonly number[];
  readonly #indexes: readonly IndexCodec[];
  readonly #hasFreshKey: boolean;
  readonly #commit: CopyInTarget['commit'];
  #pending = 0;

  constructor(target: CopyInTarget, defaults: readonly Default[]) {
    const { table, columns, context } = target;
    this.#context = context;
    this.#commit = target.commit;
    this.#table = table;
    this.#schemaName = target.schemaName;
    this.#positions = columns.map((column) => table.columns.indexOf(column));
    this.#defaults = defaults;
    this.#hasDefaults = defaults.some((value) => value !== undefined);
    this.#notNull = table.columns.flatMap((column, i) =>
      !column.nullable && (column.state === 'public' || column.state === 'write-only') ? [i] : [],
    );
    this.#indexes = tableCodec(table).indexes.filter(
      ({ index }) => index.state === 'public' || index.state === 'write-only',
    );
    const key = implicitKeyOf(table);
    this.#hasFreshKey = key !== undefined && !columns.includes(key);
  }

  add(values: readonly Datum[]): Promise<void> | undefined {
    const row: Datum[] = this.#hasDefaults
      ? this.#defaults.map((value) => value?.() ?? null)
      : Array.from<Datum>({ length: this.#defaults.length }).fill(null);
    for (let i = 0; i < values.length; i++) row[this.#positions[i] ?? 0] = values[i] ?? null;
    for (const position of this.#notNull) {
      if (row[position] === null) throw this.#nullError(position, row);
    }
    const { txn } = this.#context;
    for (const codec of this.#indexes) {
      const key = codec.encodeKey(row);
      const value = codec.encodeValue(row);
      if (codec.index.unique && !codec.hasNullKey(row)) {
        txn.insert(key, value, { isFresh: this.#hasFreshKey && codec === this.#indexes[0] });
      } else txn.put(key, value);
    }
    this.#pending++;
    if (this.#pending < flushRows) return undefined;
    this.#pending = 0;
    return this.#flush();
  }

  async #flush(): Promise<void> {
    try {
      await this.#context.txn.flushIfLarge();
    } catch (error) {
      throw this.#translated(error);
    }
  }

  async finish(): Promise<void> {
    try {
      // A commit makes the checks by itself, without a round trip for each of them.
      if (this.#commit !== undefined) await this.#commit();
      else await this.#context.txn.checkInserts();
    } catch (error) {
      throw this.#translated(error);
    }
  }

  #nullError(position: number, row: Row): SqlFailure {
    const column = this.#table.columns[position]?.name ?? '';
    return sqlError(
      'notNullViolation',
      `null value in column "${column}" of relation "${this.#table.name}" violates not-null constraint`,
      {
        detail: `Failing row contains (${this.#describe(row)}).`,
        schema: this.#schemaName,
        table: this.#table.name,
        column,
      },
    );
  }

  #describe(row: Row): string {
    return this.#table.columns
      .flatMap((column, i) =>
        column.state === 'public' && column.hidden !== true
          ? [this.#text(column, row[i] ?? null)]
          : [],
      )
      .join(', ');
  }

  #text(column: ColumnDescriptor, value: Datum): string {
    return value === null ? 'null' : typeOps(column.typeOid).format(value, this.#context.eval);
  }

  #translated(error: unknown): unknown {
    if (!(error instanceof KvFailure) || error.kvError.kind !== 'condition-failed') return error;
    const { key } = error.kvError;
    const codec = this.#indexes.find(({ prefix }) => key.subarray(0, prefix.length).equals(prefix));
    if (codec === undefined) return error;
    const { columns } = this.#table;
    const positions = codec.index.columns.map(({ columnId }) =>
      columns.findIndex((column) => column.id === columnId),
    );
    const row: Datum[] = columns.map(() => null);
    codec.decoder(positions)(key, error.kvError.existing ?? Buffer.alloc(0), row);
    const names = positions.map((position) => columns[position]?.name ?? '').join(', ');
    const values = positions.flatMap((position) => {
      const column = columns[position];
      return column === undefined ? [] : [this.#text(column, row[position] ?? null)];
    });
    return new SqlFailure(
      sqlStates.uniqueViolation,
      `duplicate key value violates unique constraint "${codec.index.name}"`,
      {
        detail: `Key (${names})=(${values.join(', ')}) already exists.`,
        schema: this.#schemaName,
        table: this.#table.name,
        constraint: codec.index.name,
      },
    );
  }
}

/** INSERT INTO table (columns) VALUES ($1, ...), (...): planned once per batch size. */
class InsertSink implements RowSink {
  readonly #target: CopyInTarget;
  readonly #batchRows: number;
  readonly #statements = new Map<number, ReturnType<typeof makeStatement>>();
  #values: Datum[] = [];
  #rows = 0;

  constructor(target: CopyInTarget) {
    this.#target = target;
    this.#batchRows = Math.max(
      1,
      Math.min(200, Math.floor(maxInsertParameters / Math.max(1, target.columns.length))),
    );
  }

  add(values: readonly Datum[]): Promise<void> | undefined {
    for (const value of values) this.#values.push(value);
    this.#rows++;
    return this.#rows >= this.#batchRows ? this.#insert() : undefined;
  }

  async finish(): Promise<void> {
    if (this.#rows > 0) await this.#insert();
    await this.#target.commit?.();
  }

  async #insert(): Promise<void> {
    const values = this.#values;
    const statement = this.#statement(this.#rows);
    this.#values = [];
    this.#rows = 0;
    const { session } = this.#target;
    const result = await session.runner.startQuery(statement, values);
    while ((await result.next()) !== undefined);
    await result.close();
    await this.#target.context.txn.flushIfLarge();
  }

  #statement(rows: number): ReturnType<typeof makeStatement> {
    let statement = this.#statements.get(rows);
    if (statement !== undefined) return statement;
    const { table, schemaName, columns } = this.#target;
    const valuesLists: Node[] = [];
    let number = 1;
    for (let row = 0; row < rows; row++) {
      const items = columns.map((column): Node => ({
        TypeCast: {
          arg: { ParamRef: { number: number++ } },
          typeName: {
            names: [
              { String: { sval: 'pg_catalog' } },
              { String: { sval: typeOf(column.typeOid).name } },
            ],
            typemod: -1,
          },
        },
      }));
      valuesLists.push({ List: { items } });
    }
    const node: Node = {
      InsertStmt: {
        relation: { schemaname: schemaName, relname: table.name, inh: true, relpersistence: 'p' },
        cols: columns.map((column): Node => ({ ResTarget: { name: column.name } })),
        selectStmt: {
          SelectStmt: { valuesLists, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
        },
        override: columns.some((column) => column.identity === 'always')
          ? 'OVERRIDING_SYSTEM_VALUE'
          : 'OVERRIDING_NOT_SET',
      },
    };
    const types = Array.from({ length: rows }, () =>
      columns.map((column) => column.typeOid),
    ).flat();
    // The text only names the plan in the cache: no two tables may share it.
    const into = `${quoteIdentifier(schemaName)}.${quoteIdentifier(table.name)}`;
    const text = `COPY ${into} (${quoteList(columns.map(({ name }) => name))}) ${rows}`;
    statement = makeStatement('', text, innerStatement(node, text), types);
    this.#statements.set(rows, statement);
    return statement;
  }
}
