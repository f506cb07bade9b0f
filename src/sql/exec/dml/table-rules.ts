/**
 * What a table demands of its rows, compiled from the SQL text in its descriptor once: checks,
 * generated columns, defaults, predicates of partial indexes. All work on rows in table order.
 */
import { type Node } from '@pgsql/types';
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { sqlError } from '../../errors.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import { type Datum, type Row, typeOps } from '../../types/index.ts';
import { coerceToBoolean, coerceToColumn } from '../../plan/bind/coerce.ts';
import { tableExpressions } from '../../plan/bind/table-expression.ts';
import { parseExpression } from '../../plan/sql-text.ts';
import { foldExpr } from '../../plan/rules/fold-constants.ts';
import { compile, type Compiled, type Env } from '../expr/compile.ts';
import { type Runtime } from '../runtime.ts';

export interface TableRules {
  readonly table: TableDescriptor;
  /** Columns that are going to be NOT NULL: checks stand for it. */
  readonly notNull: ReadonlySet<number>;
  readonly checks: readonly { readonly name: string; readonly test: Compiled }[];
  /** In an order in which each uses only plain columns. */
  readonly generated: readonly { readonly position: number; readonly value: Compiled }[];
  /** By index id. */
  readonly predicates: ReadonlyMap<number, Compiled>;
  /** Absent: NULL. */
  readonly defaults: ReadonlyMap<number, Compiled>;
}

const known = new WeakMap<TableDescriptor, Promise<TableRules>>();

export function tableRules(table: TableDescriptor, context: EvalContext): Promise<TableRules> {
  let rules = known.get(table);
  if (rules === undefined) {
    rules = makeRules(table, context);
    known.set(table, rules);
  }
  return rules;
}

async function makeRules(table: TableDescriptor, context: EvalContext): Promise<TableRules> {
  const { binder, layout, bind } = tableExpressions(table, context);
  const env: Env = {
    layout,
    outer: new Map(),
    subquery: () => {
      throw sqlError('featureNotSupported', 'subqueries are not allowed in table expressions');
    },
  };
  const condition = (node: Node): Compiled =>
    compile(foldExpr(coerceToBoolean(binder, bind(node), 'CHECK'), context), env);
  const checks: { name: string; test: Compiled }[] = [];
  const notNull = new Set<number>();
  for (const check of table.checks) {
    if (check.becomesNotNull !== undefined) {
      for (const id of check.columnIds) notNull.add(id);
      continue;
    }
    checks.push({ name: check.name, test: condition(await parseExpression(check.sql)) });
  }
  const generated: { position: number; value: Compiled }[] = [];
  const defaults = new Map<number, Compiled>();
  for (const [position, column] of table.columns.entries()) {
    if (column.generatedSql !== undefined) {
      const node = await parseExpression(column.generatedSql);
      generated.push({
        position,
        value: compile(coerceToColumn(binder, bind(node), column), env),
      });
    }
    if (column.defaultSql !== undefined) {
      const node = await parseExpression(column.defaultSql);
      defaults.set(position, compile(coerceToColumn(binder, bind(node), column), env));
    }
  }
  const predicates = new Map<number, Compiled>();
  for (const index of table.indexes) {
    if (index.predicateSql === undefined) continue;
    predicates.set(index.id, condition(await parseExpression(index.predicateSql)));
  }
  return { table, notNull, checks, generated, predicates, defaults };
}

/** Fills generated columns and enforces NOT NULL (23502) and CHECK (23514). Changes `row`. */
export async function completeRow(rules: TableRules, row: Datum[], rt: Runtime): Promise<void> {
  for (const { position, value } of rules.generated) {
    row[position] = value.sync ? value.run(row, rt) : await value.run(row, rt);
  }
  const { columns } = rules.table;
  for (let i = 0; i < columns.length; i++) {
    const column = columns[i];
    if (column === undefined || (row[i] ?? null) !== null) continue;
    if (column.nullable && !rules.notNull.has(column.id)) continue;
    if (column.state !== 'public' && column.state !== 'write-only') continue;
    throw sqlError(
      'notNullViolation',
      `null value in column "${column.name}" of relation "${rules.table.name}" violates not-null constraint`,
      {
        detail: failingRow(rules.table, row, rt.eval),
        table: rules.table.name,
        column: column.name,
      },
    );
  }
  for (const { name, test } of rules.checks) {
    const value = test.sync ? test.run(row, rt) : await test.run(row, rt);
    if (value !== false) continue;
    throw sqlError(
      'checkViolation',
      `new row for relation "${rules.table.name}" violates check constraint "${name}"`,
      { detail: failingRow(rules.table, row, rt.eval), table: rules.table.name, constraint: name },
    );
  }
}

const maxShown = 64;

function failingRow(table: TableDescriptor, row: Row, context: EvalContext): string {
  const parts = table.columns.flatMap((column, i) => {
    if (column.state !== 'public' || column.hidden === true) return [];
    const value = row[i] ?? null;
    if (value === null) return ['null'];
    const text = typeOps(column.typeOid).format(value, context);
    return [text.length > maxShown ? `${text.slice(0, maxShown)}...` : text];
  });
  return `Failing row contains (${parts.join(', ')}).`;
}

/** `Key (a, b)=(1, x)` for messages. */
export function keyText(
  table: TableDescriptor,
  columnIds: readonly number[],
  values: Row,
  context: EvalContext,
): string {
  const columns = columnIds.map((id) => must(table.columns.find((column) => column.id === id)));
  const texts = columns.map((column, i) => {
    const value = values[i] ?? null;
    return value === null ? 'null' : typeOps(column.typeOid).format(value, context);
  });
  return `Key (${columns.map((column) => column.name).join(', ')})=(${texts.join(', ')})`;
}
