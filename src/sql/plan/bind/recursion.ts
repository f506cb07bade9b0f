/** The form of a recursive query, and where it may refer to itself: once, where a new row cannot take back an earlier one. */
import { type CommonTableExpr, type Node, type SelectStmt, type WithClause } from '@pgsql/types';
import { failAt } from './binder.ts';
import { locationOf } from './context.ts';
import { refuseLocks, setOpRefusal } from './locks.ts';

export interface RecursiveQuery {
  readonly stmt: SelectStmt;
  readonly initial: SelectStmt;
  readonly step: SelectStmt;
}

export function recursiveQuery(cte: CommonTableExpr): RecursiveQuery {
  const { ctename: name = '', ctequery, location } = cte;
  if (ctequery === undefined || !('SelectStmt' in ctequery)) {
    throw failAt(
      'invalidRecursion',
      `recursive query "${name}" must not contain data-modifying statements`,
      location,
    );
  }
  const stmt = ctequery.SelectStmt;
  const { larg: initial, rarg: step } = stmt;
  if (stmt.op !== 'SETOP_UNION' || initial === undefined || step === undefined) {
    throw failAt(
      'invalidRecursion',
      `recursive query "${name}" does not have the form non-recursive-term UNION [ALL] recursive-term`,
      location,
    );
  }
  checkReferences(name, initial, 'within its non-recursive term');
  checkReferences(name, step, undefined);
  checkReferences(name, stmt.withClause?.ctes, 'within a subquery');
  refuse('ORDER BY', stmt.sortClause?.[0]);
  refuse('OFFSET', stmt.limitOffset);
  refuse('LIMIT', stmt.limitCount);
  refuse('FOR UPDATE/SHARE', stmt.lockingClause?.[0]);
  for (const branch of [initial, step]) refuseLocks(branch, setOpRefusal);
  return { stmt, initial, step };
}

function refuse(what: string, node: Node | undefined): void {
  if (node === undefined) return;
  const at = 'SortBy' in node ? node.SortBy.node : node;
  throw failAt(
    'featureNotSupported',
    `${what} in a recursive query is not implemented`,
    locationOf(at),
  );
}

type Names = ReadonlySet<string>;

/** A part of the query: `place` is where references are refused, `hidden` what inner WITHs name anew. */
interface Part {
  readonly node: unknown;
  readonly place: string | undefined;
  readonly hidden: Names;
}

/** As checkWellFormedRecursion of PostgreSQL, without recursion: trees may be deep. */
function checkReferences(name: string, tree: unknown, place: string | undefined): void {
  let references = 0;
  const stack: Part[] = [{ node: tree, place, hidden: new Set() }];
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    const { node, hidden } = part;
    if (typeof node !== 'object' || node === null) continue;
    if (
      'relname' in node &&
      node.relname === name &&
      !('schemaname' in node) &&
      !hidden.has(name)
    ) {
      const where = part.place ?? (references++ === 0 ? undefined : 'more than once');
      if (where !== undefined) {
        throw failAt(
          'invalidRecursion',
          `recursive reference to query "${name}" must not appear ${where}`,
          'location' in node ? Number(node.location) : undefined,
        );
      }
    }
    stack.push(...partsOf(node, part).reverse());
  }
}

function partsOf(node: object, { place, hidden }: Part): Part[] {
  if ('SubLink' in node) {
    const { subselect, testexpr } = (node as Extract<Node, { SubLink: unknown }>).SubLink;
    return [
      { node: subselect, place: 'within a subquery', hidden },
      { node: testexpr, place, hidden },
    ];
  }
  if ('JoinExpr' in node) {
    const { jointype, larg, rarg, ...others } = (node as Extract<Node, { JoinExpr: unknown }>)
      .JoinExpr;
    const padded = place ?? 'within an outer join';
    const isLeft = jointype === 'JOIN_RIGHT' || jointype === 'JOIN_FULL';
    const isRight = jointype === 'JOIN_LEFT' || jointype === 'JOIN_FULL';
    return [
      { node: larg, place: isLeft ? padded : place, hidden },
      { node: rarg, place: isRight ? padded : place, hidden },
      { node: others, place, hidden },
    ];
  }
  const { withClause, larg, rarg, ...others } = node as SelectStmt;
  const parts: Part[] = [];
  const after =
    withClause === undefined
      ? hidden
      : visitWith(withClause, hidden, (item, names) => {
          parts.push({ node: item, place, hidden: names });
        });
  const { op, all } = others;
  const isExcept = op === 'SETOP_EXCEPT';
  const ofBoth =
    all === true && isExcept
      ? 'within EXCEPT'
      : all === true && op === 'SETOP_INTERSECT'
        ? 'within INTERSECT'
        : undefined;
  parts.push(
    { node: larg, place: place ?? ofBoth, hidden: after },
    { node: rarg, place: place ?? (isExcept ? 'within EXCEPT' : ofBoth), hidden: after },
  );
  for (const child of Object.values(others)) parts.push({ node: child, place, hidden: after });
  return parts;
}

/** Visits the queries of an inner WITH with the names that are hidden from each; gives those that are hidden behind it. */
export function visitWith(
  clause: WithClause,
  hidden: Names,
  visit: (item: Node, hidden: Names) => void,
): Names {
  const items = clause.ctes ?? [];
  let names = hidden;
  if (clause.recursive === true) names = new Set([...hidden, ...items.map(nameOf)]);
  for (const item of items) {
    visit(item, names);
    names = new Set(names).add(nameOf(item));
  }
  return names;
}

function nameOf(item: Node): string {
  return 'CommonTableExpr' in item ? (item.CommonTableExpr.ctename ?? '') : '';
}
