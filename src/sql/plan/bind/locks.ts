/** FOR UPDATE, NO KEY UPDATE, SHARE, KEY SHARE: which rows of which tables have to be locked. */
import { type LockingClause, type Node, type SelectStmt } from '@pgsql/types';
import { type HeldStrength, strongerOf } from '../../../kv/index.ts';
import { must } from '../../../util/index.ts';
import { type LockClause, type LockRel } from '../logical.ts';
import { failAt, type QueryLevel, type Scope, type ScopeRelation } from './binder.ts';

type LockTarget = LockRel['targets'][number];

export function bindLocks(
  stmt: SelectStmt,
  scope: Scope,
  level: QueryLevel,
): Pick<LockRel, 'targets' | 'items'> {
  const clauses = (stmt.lockingClause ?? []).flatMap((node) =>
    'LockingClause' in node ? [node.LockingClause] : [],
  );
  const [first] = clauses;
  if (first === undefined) return { targets: [], items: [] };
  const name = clauseName(first);
  const forbidden =
    stmt.distinctClause !== undefined
      ? 'DISTINCT clause'
      : stmt.groupClause !== undefined
        ? 'GROUP BY clause'
        : stmt.havingClause !== undefined
          ? 'HAVING clause'
          : level.aggregates.length > 0
            ? 'aggregate functions'
            : level.windows.length > 0
              ? 'window functions'
              : level.setCalls.length > 0
                ? 'set-returning functions in the target list'
                : undefined;
  if (forbidden !== undefined)
    throw failAt('featureNotSupported', `${name} is not allowed with ${forbidden}`);
  const locks = new Map<ScopeRelation, LockClause>();
  const items: LockRel['items'][number][] = [];
  for (const clause of clauses) {
    const lock = lockOf(clause);
    for (const relation of lockedRelations(scope, clause)) {
      const other = locks.get(relation);
      locks.set(relation, other === undefined ? lock : bothLocks(other, lock));
      if (relation.table === undefined && relation.locksWithin !== true) continue;
      items.push({ clause: clauseName(clause), columns: relation.columns.map(({ id }) => id) });
    }
  }
  const targets = [...locks].flatMap(([relation, lock]) => lockTarget(relation, lock) ?? []);
  return { targets, items };
}

export const setOpRefusal = 'is not allowed with UNION/INTERSECT/EXCEPT';

/** For queries that have no rows of tables. */
export function refuseLocks({ lockingClause }: SelectStmt, why: string): void {
  const [first] = lockingClause ?? [];
  if (first === undefined || !('LockingClause' in first)) return;
  throw failAt('featureNotSupported', `${clauseName(first.LockingClause)} ${why}`);
}

/** A view or subquery that is locked under the name `shown` locks all rows that it is made of. */
export function withLocksOf(scope: Scope, shown: string, stmt: SelectStmt): SelectStmt {
  if (stmt.valuesLists !== undefined) return stmt;
  const clauses = (scope.locking ?? []).flatMap((node): Node[] => {
    if (!('LockingClause' in node)) return [];
    const { lockedRels, ...clause } = node.LockingClause;
    const isNamed = lockedRels?.some(
      (name) => 'RangeVar' in name && name.RangeVar.relname === shown,
    );
    return isNamed === false ? [] : [{ LockingClause: clause }];
  });
  if (clauses.length === 0) return stmt;
  return { ...stmt, lockingClause: [...(stmt.lockingClause ?? []), ...clauses] };
}

function lockedRelations(scope: Scope, clause: LockingClause): readonly ScopeRelation[] {
  const relations = withParts(scope.relations);
  if (clause.lockedRels === undefined) return relations;
  return clause.lockedRels.flatMap((node: Node) => {
    if (!('RangeVar' in node)) return [];
    const { relname: name = '', schemaname, location } = node.RangeVar;
    const clauseText = clauseName(clause);
    if (schemaname !== undefined) {
      throw failAt(
        'syntaxError',
        `${clauseText} must specify unqualified relation names`,
        location,
      );
    }
    const relation = relations.find((candidate) => candidate.name === name);
    if (relation === undefined) {
      throw failAt(
        'undefinedTable',
        `relation "${name}" in ${clauseText} clause not found in FROM clause`,
        location,
      );
    }
    const kind = relation.parts === undefined ? relation.unlockable : 'join';
    if (kind !== undefined) {
      throw failAt('featureNotSupported', `${clauseText} cannot be applied to a ${kind}`, location);
    }
    return [relation];
  });
}

export function withParts(relations: readonly ScopeRelation[]): readonly ScopeRelation[] {
  return relations.flatMap((relation) => [...withParts(relation.parts ?? []), relation]);
}

function clauseName(clause: LockingClause): string {
  switch (clause.strength) {
    case 'LCS_FORSHARE':
      return 'FOR SHARE';
    case 'LCS_FORKEYSHARE':
      return 'FOR KEY SHARE';
    case 'LCS_FORNOKEYUPDATE':
      return 'FOR NO KEY UPDATE';
    default:
      return 'FOR UPDATE';
  }
}

function strengthOf(clause: LockingClause): HeldStrength {
  switch (clause.strength) {
    case 'LCS_FORSHARE':
      return 'share';
    case 'LCS_FORKEYSHARE':
      return 'key-share';
    case 'LCS_FORNOKEYUPDATE':
      return 'no-key-update';
    default:
      return 'update';
  }
}

/** What two clauses ask of one table together. */
function bothLocks(a: LockClause, b: LockClause): LockClause {
  const policies = [a.waitPolicy, b.waitPolicy];
  const waitPolicy = policies.includes('error')
    ? 'error'
    : policies.includes('skip')
      ? 'skip'
      : 'block';
  return { strength: strongerOf(a.strength, b.strength), waitPolicy };
}

function lockOf(clause: LockingClause): LockClause {
  return {
    strength: strengthOf(clause),
    waitPolicy:
      clause.waitPolicy === 'LockWaitSkip'
        ? 'skip'
        : clause.waitPolicy === 'LockWaitError'
          ? 'error'
          : 'block',
  };
}

/** Undefined: not rows of a table. By the columns' numbers: an alias may give their names to others. */
function lockTarget({ table, columns }: ScopeRelation, lock: LockClause): LockTarget | undefined {
  if (table === undefined) return undefined;
  const keyColumns = table.primaryIndex.columns.map(
    ({ columnId }) => must(columns.find(({ columnNumber }) => columnNumber === columnId)).id,
  );
  return { table, keyColumns, lock };
}
