/**
 * Joins: order of inner joins (greedy, smallest intermediate result first), and for each the method:
 * lookup (few left rows, an index on the right), merge (both sides come in key order), hash (any
 * equality), else a loop.
 */
import { type ColumnId, conjunction, conjuncts, type Expr } from '../expr.ts';
import { type JoinRel, outputOf, type Rel, type SortKey } from '../logical.ts';
import { columnsOf, freeColumns } from '../walk.ts';
import { needsAwait, isVolatile, usesAny, usesOnly } from '../rules/predicates.ts';
import { isComparisonOf } from '../bind/resolve.ts';
import { chooseAccess } from './access.ts';
import { passRate, type TableStatistics, unit } from './cost.ts';
import { type Phys, type ScanNode } from './types.ts';

export interface JoinPlanner {
  readonly statistics: TableStatistics;
  /** Plans a side; `wanted` is an order that would help. */
  plan(rel: Rel, wanted: readonly SortKey[]): Phys;
}

/** The leaves and conditions of a tree of inner joins whose sides do not depend on each other. */
function flatten(rel: Rel, leaves: Rel[], conditions: Expr[]): void {
  if (rel.kind === 'join' && rel.type === 'inner' && !isDependent(rel)) {
    flatten(rel.left, leaves, conditions);
    flatten(rel.right, leaves, conditions);
    conditions.push(...rel.on.flatMap(conjuncts));
    return;
  }
  leaves.push(rel);
}

function isDependent(rel: JoinRel): boolean {
  const left = new Set(outputOf(rel.left));
  for (const id of freeColumns(rel.right)) if (left.has(id)) return true;
  return false;
}

export function planJoin(rel: JoinRel, planner: JoinPlanner): Phys {
  if (rel.type === 'right' && !isDependent(rel)) {
    return planPair({ ...rel, type: 'left', left: rel.right, right: rel.left }, planner, undefined);
  }
  if (rel.type !== 'inner' || isDependent(rel)) return planPair(rel, planner, undefined);
  const leaves: Rel[] = [];
  const conditions: Expr[] = [];
  flatten(rel, leaves, conditions);
  if (leaves.length <= 2) {
    const [a, b] = leaves;
    if (a === undefined || b === undefined) return planPair(rel, planner, undefined);
    return cheaper(a, b, conditions, planner);
  }
  return greedy(leaves, conditions, planner);
}

/** Of two relations either may come first. */
function cheaper(a: Rel, b: Rel, on: readonly Expr[], planner: JoinPlanner): Phys {
  const one = planPair({ kind: 'join', type: 'inner', left: a, right: b, on }, planner, undefined);
  const other = planPair(
    { kind: 'join', type: 'inner', left: b, right: a, on },
    planner,
    undefined,
  );
  return other.estimate.cost < one.estimate.cost ? other : one;
}

interface Candidate {
  readonly plan: Phys;
  readonly rel: Rel;
  readonly connected: boolean;
}

function greedy(leaves: readonly Rel[], conditions: readonly Expr[], planner: JoinPlanner): Phys {
  const planned = leaves.map((rel) => ({ rel, plan: planner.plan(rel, []) }));
  planned.sort((a, b) => a.plan.estimate.rows - b.plan.estimate.rows);
  const rest = planned.slice(1).map((item) => item.rel);
  let current = planned[0];
  let open = [...conditions];
  while (rest.length > 0 && current !== undefined) {
    const left: Rel = current.rel;
    const leftPlan = current.plan;
    let best: Candidate | undefined;
    for (const right of rest) {
      const both = new Set([...outputOf(left), ...outputOf(right)]);
      const outer = (condition: Expr): boolean => isBoundBy(condition, both, leaves);
      const on = open.filter(outer);
      const rel: JoinRel = { kind: 'join', type: 'inner', left, right, on };
      const plan = planPair(rel, planner, leftPlan);
      const connected = on.some((condition) => usesAny(condition, new Set(outputOf(right))));
      const better =
        best === undefined ||
        (connected && !best.connected) ||
        (connected === best.connected && plan.estimate.cost < best.plan.estimate.cost);
      if (better) best = { plan, rel, connected };
    }
    if (best === undefined || best.rel.kind !== 'join') break;
    const chosen = best.rel;
    open = open.filter((condition) => !chosen.on.includes(condition));
    rest.splice(rest.indexOf(chosen.right), 1);
    current = { rel: chosen, plan: best.plan };
  }
  if (current === undefined) throw new Error('a join has leaves');
  if (open.length === 0) return current.plan;
  const { estimate, order } = current.plan;
  return { kind: 'filter', input: current.plan, conditions: open, estimate, order };
}

/** All columns of the joined relations that the condition uses are there (others are outer references). */
function isBoundBy(condition: Expr, have: ReadonlySet<ColumnId>, leaves: readonly Rel[]): boolean {
  for (const id of columnsOf(condition)) {
    if (have.has(id)) continue;
    if (leaves.some((leaf) => outputOf(leaf).includes(id))) return false;
  }
  return true;
}

interface EquiKeys {
  readonly left: Expr[];
  readonly right: Expr[];
  readonly conditions: Expr[];
  readonly residual: Expr[];
}

function equiKeys(rel: JoinRel): EquiKeys {
  const left = new Set(outputOf(rel.left));
  const right = new Set(outputOf(rel.right));
  const keys: EquiKeys = { left: [], right: [], conditions: [], residual: [] };
  for (const condition of rel.on.flatMap(conjuncts)) {
    const pair = equiPair(condition, left, right);
    if (pair === undefined) keys.residual.push(condition);
    else {
      keys.left.push(pair[0]);
      keys.right.push(pair[1]);
      keys.conditions.push(condition);
    }
  }
  return keys;
}

function equiPair(
  condition: Expr,
  left: ReadonlySet<ColumnId>,
  right: ReadonlySet<ColumnId>,
): [Expr, Expr] | undefined {
  if (
    condition.kind !== 'call' ||
    condition.fn.name !== '=' ||
    isVolatile(condition) ||
    needsAwait(condition)
  )
    return undefined;
  const [a, b] = condition.args;
  // Hash keys must mean the same on both sides.
  if (a === undefined || b === undefined || a.type !== b.type || !isComparisonOf(a.type))
    return undefined;
  if (usesAny(a, left) && usesAny(b, right) && !usesAny(a, right) && !usesAny(b, left))
    return [a, b];
  if (usesAny(b, left) && usesAny(a, right) && !usesAny(b, right) && !usesAny(a, left))
    return [b, a];
  return undefined;
}

function joinRows(rel: JoinRel, left: Phys, right: Phys, keys: number): number {
  const l = left.estimate.rows;
  const r = right.estimate.rows;
  switch (rel.type) {
    case 'semi':
      return Math.max(1, l * 0.5);
    case 'anti':
      return Math.max(1, l * 0.5);
    default: {
      const inner =
        keys > 0 ? (l * r) / Math.max(l, r, 1) : l * r * passRate(rel.on.flatMap(conjuncts));
      return Math.max(rel.type === 'left' || rel.type === 'full' ? l : 1, inner);
    }
  }
}

/** One join in the given order of sides. `leftPlan`: the left side as already planned. */
function planPair(rel: JoinRel, planner: JoinPlanner, leftPlan: Phys | undefined): Phys {
  const left = leftPlan ?? planner.plan(rel.left, []);
  if (isDependent(rel)) return loop(rel, left, planner.plan(rel.right, []));
  const keys = equiKeys(rel);
  const right = planner.plan(rel.right, []);
  const candidates: Phys[] = [];
  const lookup = lookupJoin(rel, left, planner);
  if (lookup !== undefined) candidates.push(lookup);
  if (keys.left.length > 0) {
    candidates.push(hashJoin(rel, left, right, keys));
    const merge = mergeJoin(rel, planner, keys, leftPlan);
    if (merge !== undefined) candidates.push(merge);
  }
  if (candidates.length === 0) return loop(rel, left, right);
  return candidates.reduce((a, b) => (b.estimate.cost < a.estimate.cost ? b : a));
}

function hashJoin(rel: JoinRel, left: Phys, right: Phys, keys: EquiKeys): Phys {
  const rows = joinRows(rel, left, right, keys.left.length);
  const cost =
    left.estimate.cost +
    right.estimate.cost +
    right.estimate.rows * unit.hash * 2 +
    left.estimate.rows * unit.hash +
    rows * 0.1;
  return {
    kind: 'hash-join',
    type: rel.type,
    left,
    right,
    leftKeys: keys.left,
    rightKeys: keys.right,
    residual: keys.residual,
    estimate: { rows, cost },
    order: rel.type === 'full' || rel.type === 'right' ? [] : left.order,
  };
}

/** Only when both sides come in key order by themselves (from their indexes). */
function mergeJoin(
  rel: JoinRel,
  planner: JoinPlanner,
  keys: EquiKeys,
  leftPlan: Phys | undefined,
): Phys | undefined {
  const { type } = rel;
  if (type !== 'inner' && type !== 'left' && type !== 'semi' && type !== 'anti') return undefined;
  const toKeys = (exprs: readonly Expr[]): SortKey[] =>
    exprs.map((expr) => ({ expr, descending: false, nullsFirst: false }));
  const left = leftPlan ?? planner.plan(rel.left, toKeys(keys.left));
  const right = planner.plan(rel.right, toKeys(keys.right));
  // Any permutation of the keys would do; the order of the left side decides.
  const order = permutation(left.order, keys.left);
  if (order === undefined) return undefined;
  const leftKeys = order.map((i) => keys.left[i]).filter((expr) => expr !== undefined);
  const rightKeys = order.map((i) => keys.right[i]).filter((expr) => expr !== undefined);
  const directions = leftKeys.map((_key, i) => left.order[i]?.descending ?? false);
  const fits = rightKeys.every((key, i) => {
    const own = right.order[i];
    return (
      own !== undefined &&
      own.expr.kind === 'column' &&
      key.kind === 'column' &&
      own.expr.id === key.id &&
      own.descending === directions[i]
    );
  });
  if (!fits) return undefined;
  const rows = joinRows(rel, left, right, keys.left.length);
  const cost =
    left.estimate.cost +
    right.estimate.cost +
    (left.estimate.rows + right.estimate.rows) * 0.4 +
    rows * 0.1;
  return {
    kind: 'merge-join',
    type,
    left,
    right,
    leftKeys,
    rightKeys,
    descending: directions,
    residual: keys.residual,
    estimate: { rows, cost },
    order: left.order,
  };
}

function permutation(order: readonly SortKey[], keys: readonly Expr[]): number[] | undefined {
  const found: number[] = [];
  for (let i = 0; i < keys.length; i++) {
    const own = order[i]?.expr;
    const at = keys.findIndex(
      (key, k) =>
        !found.includes(k) && own?.kind === 'column' && key.kind === 'column' && key.id === own.id,
    );
    if (at < 0) return undefined;
    found.push(at);
  }
  return found;
}

/** The right side must be a scan (with filters) one of whose indexes the join condition can enter. */
function lookupJoin(rel: JoinRel, left: Phys, planner: JoinPlanner): Phys | undefined {
  const { type } = rel;
  if (type !== 'inner' && type !== 'left' && type !== 'semi' && type !== 'anti') return undefined;
  const base = scanBelow(rel.right);
  if (base === undefined || base.scan.lock !== undefined) return undefined;
  const rightIds = new Set(outputOf(rel.right));
  const leftIds = new Set(outputOf(rel.left));
  const on = rel.on.flatMap(conjuncts);
  // A filter that is not an equality key stays a residual condition of the join.
  const usable = on.filter(
    (condition) =>
      usesAny(condition, leftIds) &&
      usesAny(condition, rightIds) &&
      !needsAwait(condition) &&
      !isVolatile(condition),
  );
  const path = chooseAccess({
    rel: base.scan,
    conditions: [...base.conditions, ...usable],
    wanted: [],
    limit: undefined,
    statistics: planner.statistics,
  });
  const entered = path.spans.prefix.some(
    (part) => part.kind === 'equal' && usesAny(part.value, leftIds),
  );
  if (
    !entered ||
    path.spans.prefix.some((part) => part.kind === 'array' && usesAny(part.array, leftIds))
  )
    return undefined;
  const bound = [path.spans.lower, path.spans.upper].some(
    (b) => b !== undefined && usesAny(b.value, leftIds),
  );
  if (bound) return undefined;
  const local = path.filter.filter(
    (condition) => usesOnly(condition, rightIds) || !usesAny(condition, leftIds),
  );
  const residual = [
    ...path.filter.filter((condition) => !local.includes(condition)),
    ...on.filter((condition) => !usable.includes(condition)),
  ];
  const right: ScanNode = { ...path, filter: local, order: [] };
  const perRow = path.isPoint ? 1 : path.estimate.rows;
  const rows =
    type === 'semi' || type === 'anti'
      ? Math.max(1, left.estimate.rows * 0.5)
      : Math.max(
          type === 'left' ? left.estimate.rows : 1,
          left.estimate.rows * perRow * passRate(residual),
        );
  const cost =
    left.estimate.cost +
    left.estimate.rows * (unit.lookup + perRow * (path.lookup ? unit.lookup : 1));
  return {
    kind: 'lookup-join',
    type,
    left,
    right,
    residual,
    estimate: { rows, cost },
    order: left.order,
  };
}

function scanBelow(
  rel: Rel,
):
  | { readonly scan: Extract<Rel, { kind: 'scan' }>; readonly conditions: readonly Expr[] }
  | undefined {
  if (rel.kind === 'scan') return { scan: rel, conditions: [] };
  if (rel.kind === 'filter' && rel.input.kind === 'scan') {
    const conditions = rel.conditions.flatMap(conjuncts);
    if (conditions.some((condition) => needsAwait(condition) || isVolatile(condition)))
      return undefined;
    return { scan: rel.input, conditions };
  }
  return undefined;
}

function loop(rel: JoinRel, left: Phys, right: Phys): Phys {
  const leftIds = new Set(outputOf(rel.left));
  const dependent = [...freeColumns(rel.right)].filter((id) => leftIds.has(id));
  const rows = joinRows(rel, left, right, 0);
  const repeat =
    dependent.length > 0 ? left.estimate.rows * right.estimate.cost : right.estimate.cost;
  const cost = left.estimate.cost + repeat + left.estimate.rows * right.estimate.rows * unit.filter;
  return {
    kind: 'loop-join',
    type: rel.type,
    left,
    right,
    on: rel.on.length === 0 ? [] : [conjunction(rel.on)],
    dependent,
    estimate: { rows, cost },
    order: rel.type === 'full' || rel.type === 'right' ? [] : left.order,
  };
}
