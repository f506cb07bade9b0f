/**
 * SEARCH and CYCLE of a recursive query: columns that follow how each of its rows was reached, beside its own.
 *
 *     BREADTH FIRST BY a   (depth, a): rises from step to step
 *     DEPTH FIRST BY a     all (a) from the first row on: a path sorts before what it leads to
 *     CYCLE a              all (a) as well, and a mark when (a) was among them; a marked row leads nowhere
 *
 * Both terms get them as further columns. The recursive one reads those of its row by the name of its recursive
 * reference, where `*` leaves them out.
 */
import {
  type CommonTableExpr,
  type CTECycleClause,
  type CTESearchClause,
  type Node,
  type RangeVar,
  type SelectStmt,
} from '@pgsql/types';
import { type ColumnId, constExpr, type Expr, int4Oid, int8Oid, recordOid } from '../expr.ts';
import { type Rel } from '../logical.ts';
import {
  type Binder,
  type BoundQuery,
  type ExprContext,
  failAt,
  type OutputColumn,
  plainContext,
  type Scope,
  typeName,
} from './binder.ts';
import { unify } from './coerce.ts';
import { bindExpr, locationOf } from './context.ts';
import { arrayCompare, operatorName } from './operators.ts';
import { isComparisonOf } from './resolve.ts';

const recordArrayOid = 2287;

/** One of the further columns. */
interface Followed {
  readonly name: string;
  readonly first: (own: Own) => Expr;
  /** `before`: the columns of the row that it is reached from, by name. */
  readonly next: (own: Own, before: Own) => Expr;
}

/** A column of a row. */
type Own = (name: string) => Expr;

export interface Traversal {
  readonly names: readonly string[];
  readonly initial: (query: BoundQuery) => BoundQuery;
  /** The recursive term, with what it has to read beside its own columns. */
  readonly reading: (stmt: SelectStmt) => SelectStmt;
  readonly step: (query: BoundQuery) => BoundQuery;
}

/** `columns`: what the columns of the query are called. */
export function bindTraversal(
  binder: Binder,
  cte: CommonTableExpr,
  scope: Scope,
  columns: readonly string[],
): Traversal {
  const c = plainContext(binder, scope, 'CYCLE');
  const { search_clause: search, cycle_clause: cycle } = cte;
  checkNames(cte, columns);
  const mark = cycle === undefined ? undefined : bindMark(c, cycle);
  const followed = [
    ...(search === undefined ? [] : [followSearch(c, search)]),
    ...(cycle === undefined || mark === undefined ? [] : followCycle(c, cycle, mark)),
  ];
  const names = followed.map(({ name }) => name);
  const own =
    (query: BoundQuery, all: readonly string[]): Own =>
    (name) =>
      binder.reference(query.columns[all.indexOf(name)]?.id ?? 0);
  return {
    names,
    initial(query) {
      const row = own(query, columns);
      const added = followed.map(({ name, first }) => ({ name, expr: first(row) }));
      return extend(binder, query.rel, query.columns, added);
    },
    reading(stmt) {
      const reference = selfReference(stmt, cte);
      const from = reference.alias?.aliasname ?? reference.relname ?? '';
      const targets = names.map((name): Node => {
        const fields = [from, name].map((sval): Node => ({ String: { sval } }));
        return { ResTarget: { val: { ColumnRef: { fields, location: cte.location ?? -1 } } } };
      });
      return { ...stmt, targetList: [...(stmt.targetList ?? []), ...targets] };
    },
    step(query) {
      const kept = query.columns.slice(0, query.columns.length - names.length);
      const row = own(query, columns);
      const before = own({ ...query, columns: query.columns.slice(kept.length) }, names);
      const added = followed.map(({ name, next }) => ({ name, expr: next(row, before) }));
      const rel: Rel =
        cycle === undefined || mark === undefined
          ? query.rel
          : {
              kind: 'filter',
              input: query.rel,
              conditions: [
                operatorName(c, '<>', before(cycle.cycle_mark_column ?? ''), mark.value),
              ],
            };
      return extend(binder, rel, kept, added);
    },
  };
}

function extend(
  binder: Binder,
  input: Rel,
  columns: readonly OutputColumn[],
  added: readonly { readonly name: string; readonly expr: Expr }[],
): BoundQuery {
  const more = added.map(({ name, expr }) => {
    const { type, typmod } = expr;
    return { id: binder.newColumn({ name, type, typmod }), name, expr };
  });
  const items = columns.map(({ id }): { id: ColumnId; expr: Expr } => ({
    id,
    expr: binder.reference(id),
  }));
  return {
    rel: {
      kind: 'project',
      input,
      items: [...items, ...more.map(({ id, expr }) => ({ id, expr }))],
    },
    columns: [
      ...columns,
      ...more.map(({ id, name }) => ({ id, name, tableOid: 0, columnNumber: 0 })),
    ],
  };
}

function followSearch(c: ExprContext, clause: CTESearchClause): Followed {
  const columns = stringsOf(clause.search_col_list);
  const name = clause.search_seq_column ?? '';
  if (clause.search_breadth_first !== true) return followPath(c, name, columns);
  const placed = (depth: Expr, own: Own): Expr => rowOf([depth, ...columns.map(own)]);
  return {
    name,
    first: (own) => placed(constExpr(0n, int8Oid), own),
    next(own, before) {
      const arg = before(name);
      const depth: Expr = { kind: 'field', type: int8Oid, typmod: -1, arg, index: 0 };
      return placed(operatorName(c, '+', depth, constExpr(1, int4Oid)), own);
    },
  };
}

function followPath(c: ExprContext, name: string, columns: readonly string[]): Followed {
  return {
    name,
    first: (own) => ({
      kind: 'array',
      type: recordArrayOid,
      typmod: -1,
      elementType: recordOid,
      elements: [rowOf(columns.map(own))],
      nested: false,
    }),
    next: (own, before) => operatorName(c, '||', before(name), rowOf(columns.map(own))),
  };
}

interface Mark {
  readonly value: Expr;
  readonly otherwise: Expr;
}

function bindMark(c: ExprContext, clause: CTECycleClause): Mark {
  const nodes = [clause.cycle_mark_value, clause.cycle_mark_default];
  const bound = nodes.map((node) => bindExpr(c, node));
  const { type, exprs } = unify(c.binder, bound, 'CYCLE', locationOf(clause.cycle_mark_default));
  if (!isComparisonOf(type)) {
    throw failAt(
      'undefinedFunction',
      `could not identify an equality operator for type ${typeName(type)}`,
    );
  }
  const [value = constExpr(true, 16), otherwise = constExpr(false, 16)] = exprs;
  return { value, otherwise };
}

function followCycle(c: ExprContext, clause: CTECycleClause, mark: Mark): Followed[] {
  const columns = stringsOf(clause.cycle_col_list);
  const path = clause.cycle_path_column ?? '';
  const { value, otherwise } = mark;
  return [
    {
      name: clause.cycle_mark_column ?? '',
      first: () => otherwise,
      next: (own, before) => ({
        kind: 'case',
        type: value.type,
        typmod: value.typmod,
        operand: undefined,
        whens: [
          {
            when: arrayCompare(c, '=', rowOf(columns.map(own)), before(path), false),
            result: value,
          },
        ],
        otherwise,
      }),
    },
    followPath(c, path, columns),
  ];
}

function rowOf(args: readonly Expr[]): Expr {
  const names = args.map((_arg, i) => `f${i + 1}`);
  return { kind: 'row', type: recordOid, typmod: -1, names, args, nullable: false };
}

function stringsOf(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) => ('String' in node ? (node.String.sval ?? '') : ''));
}

function checkNames(cte: CommonTableExpr, columns: readonly string[]): void {
  const { search_clause: search, cycle_clause: cycle } = cte;
  const refuse = (state: 'syntaxError' | 'duplicateColumn', text: string, at?: number): never => {
    throw failAt(state, text, at);
  };
  const checkList = (what: string, list: readonly string[], at: number | undefined): void => {
    for (const [i, name] of list.entries()) {
      if (!columns.includes(name))
        refuse('syntaxError', `${what} column "${name}" not in WITH query column list`, at);
      if (list.indexOf(name) < i)
        refuse('duplicateColumn', `${what} column "${name}" specified more than once`, at);
    }
  };
  const checkNew = (what: string, name: string | undefined, at: number | undefined): void => {
    if (columns.includes(name ?? ''))
      refuse(
        'syntaxError',
        `${what} column name "${name ?? ''}" already used in WITH query column list`,
        at,
      );
  };
  if (search !== undefined) {
    checkList('search', stringsOf(search.search_col_list), search.location);
    checkNew('search sequence', search.search_seq_column, search.location);
  }
  if (cycle !== undefined) {
    const { cycle_mark_column: mark, cycle_path_column: path, location } = cycle;
    checkList('cycle', stringsOf(cycle.cycle_col_list), location);
    checkNew('cycle mark', mark, location);
    checkNew('cycle path', path, location);
    if (mark === path)
      refuse(
        'syntaxError',
        'cycle mark column name and cycle path column name are the same',
        location,
      );
    for (const [what, name] of [
      ['mark', mark],
      ['path', path],
    ]) {
      if (search !== undefined && search.search_seq_column === name)
        refuse(
          'syntaxError',
          `search sequence column name and cycle ${what ?? ''} column name are the same`,
          search.location,
        );
    }
  }
}

/** The reference to the query itself, which has to stand in FROM, not below. */
function selfReference(stmt: SelectStmt, cte: CommonTableExpr): RangeVar {
  const name = cte.ctename ?? '';
  const items = [...(stmt.fromClause ?? [])];
  for (let item = items.pop(); item !== undefined; item = items.pop()) {
    if ('RangeVar' in item && item.RangeVar.relname === name) {
      if (item.RangeVar.schemaname === undefined) return item.RangeVar;
    } else if ('JoinExpr' in item) {
      for (const side of [item.JoinExpr.larg, item.JoinExpr.rarg])
        if (side !== undefined) items.push(side);
    }
  }
  throw failAt(
    'featureNotSupported',
    `with a SEARCH or CYCLE clause, the recursive reference to WITH query "${name}" must be at the top level of its right-hand SELECT`,
  );
}
