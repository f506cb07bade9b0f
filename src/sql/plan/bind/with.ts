/** WITH: plain, recursive and data-modifying common table expressions. */
import { type CommonTableExpr, type Node, type SelectStmt, type WithClause } from '@pgsql/types';
import { type CteDefinition, type Rel } from '../logical.ts';
import {
  type Binder,
  type BoundQuery,
  type CteEntry,
  failAt,
  type OutputColumn,
  type Scope,
  typeName,
} from './binder.ts';
import { unifyTypes } from './coerce.ts';
import { bindQuery } from './context.ts';
import { recursiveQuery, visitWith } from './recursion.ts';
import { adapt } from './set-columns.ts';
import { bindTraversal } from './traversal.ts';

export interface OpenedWith {
  readonly scope: Scope;
  readonly definitions: readonly CteDefinition[];
}

export function bindWith(binder: Binder, clause: WithClause, parent: Scope): OpenedWith {
  const ctes = new Map(parent.ctes);
  const definitions: CteDefinition[] = [];
  for (const { cte, isSelf } of inOrder(clause)) {
    const name = cte.ctename ?? '';
    const scope: Scope = { ...parent, ctes };
    if (follows(cte) && !isSelf)
      throw failAt('syntaxError', 'WITH query is not recursive', cte.location);
    const bound = isSelf ? bindRecursive(binder, cte, scope) : bindPlain(binder, cte, scope);
    const columns = rename(bound.columns, cte);
    const id = binder.newCte();
    definitions.push({
      id,
      name,
      rel: bound.rel,
      columns: columns.map((column) => column.id),
      mustRun: !isQuery(cte.ctequery),
      materialize:
        cte.ctematerialized === 'CTEMaterializeAlways'
          ? 'always'
          : cte.ctematerialized === 'CTEMaterializeNever'
            ? 'never'
            : 'default',
    });
    ctes.set(name, {
      name,
      id,
      columns,
      isWork: false,
      readable: columns.length > 0 || isQuery(cte.ctequery),
    });
  }
  return { scope: { ...parent, ctes }, definitions };
}

export function closeWith(opened: OpenedWith, body: Rel): Rel {
  return { kind: 'with', definitions: opened.definitions, body };
}

function isQuery(node: Node | undefined): boolean {
  return node !== undefined && 'SelectStmt' in node;
}

function bindPlain(binder: Binder, cte: CommonTableExpr, scope: Scope): BoundQuery {
  const node = cte.ctequery;
  if (node !== undefined && 'SelectStmt' in node) return bindQuery(binder, node.SelectStmt, scope);
  if (node === undefined) throw failAt('syntaxError', 'WITH query is empty', cte.location);
  if (scope.parent !== undefined) {
    throw failAt(
      'featureNotSupported',
      'WITH clause containing a data-modifying statement must be at the top level',
      cte.location,
    );
  }
  return binder.parts.dml(binder, node, scope, false);
}

function rename(
  columns: readonly OutputColumn[],
  cte: CommonTableExpr,
): { readonly name: string; readonly id: number }[] {
  const names = (cte.aliascolnames ?? []).map((node) =>
    'String' in node ? (node.String.sval ?? '') : '',
  );
  if (names.length > columns.length) {
    throw failAt(
      'invalidColumnReference',
      `WITH query "${cte.ctename ?? ''}" has ${columns.length} columns available but ${names.length} columns specified`,
      cte.location,
    );
  }
  return columns.map((column, i) => ({ name: names[i] ?? column.name, id: column.id }));
}

interface Ordered {
  readonly cte: CommonTableExpr;
  /** It refers to itself. */
  readonly isSelf: boolean;
}

/** Under RECURSIVE queries may refer to later ones: each comes after those that it reads. */
function inOrder(clause: WithClause): Ordered[] {
  const names = new Set<string>();
  const all = (clause.ctes ?? []).flatMap((node) => {
    if (!('CommonTableExpr' in node)) return [];
    const cte = node.CommonTableExpr;
    const name = cte.ctename ?? '';
    if (names.has(name)) {
      throw failAt(
        'duplicateAlias',
        `WITH query name "${name}" specified more than once`,
        cte.location,
      );
    }
    names.add(name);
    const reads = clause.recursive === true ? namesIn(cte.ctequery) : new Set<string>();
    return [{ cte, name, reads, isSelf: reads.has(name) }];
  });
  const ordered: Ordered[] = [];
  const open = new Set(names);
  while (ordered.length < all.length) {
    const rest = all.filter(({ name }) => open.has(name));
    const next = rest.find(({ name, reads }) =>
      [...open].every((other) => other === name || !reads.has(other)),
    );
    if (next === undefined) {
      throw failAt(
        'featureNotSupported',
        'mutual recursion between WITH items is not implemented',
        rest[0]?.cte.location,
      );
    }
    open.delete(next.name);
    ordered.push(next);
  }
  return ordered;
}

/** The relations that a query refers to, without those of its own WITH clauses. */
function namesIn(tree: unknown): Set<string> {
  const found = new Set<string>();
  const stack: { readonly node: unknown; readonly hidden: ReadonlySet<string> }[] = [
    { node: tree, hidden: new Set() },
  ];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { node } = at;
    let { hidden } = at;
    if (typeof node !== 'object' || node === null) continue;
    if ('relname' in node && typeof node.relname === 'string' && !('schemaname' in node)) {
      if (!hidden.has(node.relname)) found.add(node.relname);
    }
    const { withClause, ...others } = node as { readonly withClause?: WithClause };
    if (withClause !== undefined) {
      hidden = visitWith(withClause, hidden, (item, names) => {
        stack.push({ node: item, hidden: names });
      });
    }
    for (const child of Object.values(others)) stack.push({ node: child, hidden });
  }
  return found;
}

function follows(cte: CommonTableExpr): boolean {
  return cte.search_clause !== undefined || cte.cycle_clause !== undefined;
}

/** The terms of a query with SEARCH or CYCLE are single SELECTs. */
function checkTerm(stmt: SelectStmt, side: 'left' | 'right'): void {
  if (stmt.op === undefined || stmt.op === 'SETOP_NONE') return;
  throw failAt(
    side === 'left' ? 'featureNotSupported' : 'syntaxError',
    `with a SEARCH or CYCLE clause, the ${side} side of the UNION must be a SELECT`,
  );
}

function bindRecursive(binder: Binder, cte: CommonTableExpr, scope: Scope): BoundQuery {
  const name = cte.ctename ?? '';
  const { stmt, initial: base, step: more } = recursiveQuery(cte);
  if (follows(cte)) {
    checkTerm(base, 'left');
    checkTerm(more, 'right');
  }
  const opened =
    stmt.withClause === undefined ? undefined : bindWith(binder, stmt.withClause, scope);
  const within = opened?.scope ?? scope;
  const first = bindQuery(binder, base, within);
  const own = rename(first.columns, cte);
  const traversal = follows(cte)
    ? bindTraversal(
        binder,
        cte,
        scope,
        own.map((column) => column.name),
      )
    : undefined;
  const initial = traversal?.initial(first) ?? first;
  const workId = binder.newCte();
  const named = rename(initial.columns, cte).map((column, i) => ({
    ...column,
    hidden: i >= own.length,
  }));
  const entry: CteEntry = { name, id: workId, columns: named, isWork: true, readable: true };
  const inner: Scope = { ...within, ctes: new Map(within.ctes).set(name, entry) };
  const further = bindQuery(binder, traversal?.reading(more) ?? more, inner);
  if (further.columns.length !== initial.columns.length) {
    throw failAt(
      'syntaxError',
      'each UNION query must have the same number of columns',
      cte.location,
    );
  }
  const types = initial.columns.map((column) => binder.info(column.id).type);
  for (const [i, column] of further.columns.entries()) {
    const own = types[i] ?? 0;
    const other = binder.info(column.id).type;
    if (own !== other && unifiesUpward(own, other)) {
      throw failAt(
        'datatypeMismatch',
        `recursive query "${name}" column ${i + 1} has type ${typeName(own)} in non-recursive term but type ${typeName(other)} overall`,
        cte.location,
        { hint: 'Cast the output of the non-recursive term to the correct type.' },
      );
    }
  }
  const adapted = adapt(binder, further, types, 'UNION');
  const step = traversal?.step(adapted) ?? adapted;
  const columns = initial.columns.map((column) => {
    const { type, typmod } = binder.info(column.id);
    return {
      ...column,
      id: binder.newColumn({ name: column.name, type, typmod }),
      tableOid: 0,
      columnNumber: 0,
    };
  });
  const rel: Rel = {
    kind: 'recursive',
    workId,
    initial: initial.rel,
    initialColumns: initial.columns.map((column) => column.id),
    step: step.rel,
    stepColumns: step.columns.map((column) => column.id),
    all: stmt.all === true,
    columns: columns.map((column) => column.id),
  };
  return { rel: opened === undefined ? rel : closeWith(opened, rel), columns };
}

/** The union of both types would not be the type of the first term. */
function unifiesUpward(own: number, other: number): boolean {
  const type = unifyTypes([own, other], 'UNION');
  return type !== own;
}
