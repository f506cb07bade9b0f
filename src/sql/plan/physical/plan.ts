/** Logical to physical: chooses access paths and join methods, avoids sorts that an index already gives. */
import { must, unreachable } from '../../../util/index.ts';
import { columnExpr, conjuncts, type Expr } from '../expr.ts';
import {
  type AggregateRel,
  type DeleteRel,
  type LimitRel,
  type LockRel,
  type Rel,
  type SortKey,
  type UpdateRel,
} from '../logical.ts';
import { updateStrength } from '../row-locks.ts';
import { isVolatile, needsAwait } from '../rules/predicates.ts';
import { canPush } from '../../exec/pushdown/pushable.ts';
import { chooseAccess, satisfies } from './access.ts';
import { noStatistics, passRate, sortCost, type TableStatistics, unit } from './cost.ts';
import { planJoin } from './join.ts';
import { type Phys, type ScanNode } from './types.ts';

interface Wish {
  readonly order: readonly SortKey[];
  readonly limit: Expr | undefined;
}

const noWish: Wish = { order: [], limit: undefined };

export function planPhysical(rel: Rel, statistics: TableStatistics = noStatistics): Phys {
  return plan(rel, noWish, statistics);
}

function scaled(input: Phys, factor: number, extraCost = 0): { rows: number; cost: number } {
  return {
    rows: Math.max(1, input.estimate.rows * factor),
    cost: input.estimate.cost + extraCost,
  };
}

function plan(rel: Rel, wish: Wish, statistics: TableStatistics): Phys {
  const sub = (input: Rel, inner: Wish = noWish): Phys => plan(input, inner, statistics);
  switch (rel.kind) {
    case 'scan':
      return withLimit(
        chooseAccess({ rel, conditions: [], wanted: wish.order, limit: wish.limit, statistics }),
        wish,
      );
    case 'filter':
      return planFilter(rel, wish, statistics);
    case 'virtual':
      return planVirtual(rel, []);
    case 'values':
      return {
        kind: 'values',
        rel,
        estimate: { rows: rel.rows.length, cost: rel.rows.length * 0.01 },
        order: [],
      };
    case 'project': {
      const order = throughProject(rel, wish.order);
      const input = sub(rel.input, order === undefined ? noWish : { order, limit: wish.limit });
      const cost = input.estimate.cost + input.estimate.rows * 0.05;
      return {
        kind: 'project',
        input,
        items: rel.items,
        estimate: { rows: input.estimate.rows, cost },
        order: renamed(input.order, rel),
      };
    }
    case 'join':
      return planJoin(rel, {
        statistics,
        plan: (side, order) => sub(side, { order, limit: undefined }),
      });
    case 'aggregate':
      return planAggregate(rel, statistics);
    case 'window': {
      const input = sub(rel.input);
      const { rows } = input.estimate;
      return {
        kind: 'window',
        input,
        rel,
        estimate: { rows, cost: input.estimate.cost + sortCost(rows) },
        order: [],
      };
    }
    case 'sort': {
      const input = sub(rel.input, { order: rel.keys, limit: wish.limit });
      if (satisfies(input.order, rel.keys)) return input;
      const plain = sub(rel.input);
      const { rows } = plain.estimate;
      return {
        kind: 'sort',
        input: plain,
        keys: rel.keys,
        limit: wish.limit,
        estimate: { rows, cost: plain.estimate.cost + sortCost(rows) },
        order: rel.keys,
      };
    }
    case 'limit': {
      const total = limitTotal(rel);
      const input = sub(rel.input, { order: [], limit: total });
      if (isSingle(input) && keepsOne(rel)) return input;
      const count =
        rel.count?.kind === 'const' ? Number(rel.count.value) : input.estimate.rows * 0.1;
      const rows = Math.max(1, Math.min(input.estimate.rows, count));
      return {
        kind: 'limit',
        input,
        rel,
        estimate: { rows, cost: input.estimate.cost },
        order: input.order,
      };
    }
    case 'distinct': {
      const input = sub(rel.input);
      return {
        kind: 'distinct',
        input,
        rel,
        estimate: scaled(input, 0.3, input.estimate.rows * unit.hash),
        order: input.order,
      };
    }
    case 'set-op': {
      const left = sub(rel.left);
      const right = sub(rel.right);
      const rows = left.estimate.rows + right.estimate.rows;
      const cost =
        left.estimate.cost +
        right.estimate.cost +
        (rel.op === 'union' && rel.all ? 0 : rows * unit.hash);
      return { kind: 'set-op', left, right, rel, estimate: { rows, cost }, order: [] };
    }
    case 'project-set': {
      const input = sub(rel.input);
      return { kind: 'project-set', input, rel, estimate: scaled(input, 10), order: [] };
    }
    case 'function':
      return { kind: 'function', rel, estimate: { rows: 100, cost: 10 }, order: [] };
    case 'cte':
      return { kind: 'cte', rel, estimate: { rows: 100, cost: 10 }, order: [] };
    case 'with': {
      const definitions = rel.definitions.map((definition) => ({
        id: definition.id,
        name: definition.name,
        mustRun: definition.mustRun,
        columns: definition.columns,
        rel: definition.rel,
        plan: sub(definition.rel),
      }));
      const body = sub(rel.body, wish);
      const cost = definitions.reduce(
        (sum, definition) => sum + definition.plan.estimate.cost,
        body.estimate.cost,
      );
      return {
        kind: 'with',
        definitions,
        body,
        estimate: { rows: body.estimate.rows, cost },
        order: body.order,
      };
    }
    case 'recursive': {
      const initial = sub(rel.initial);
      const step = sub(rel.step);
      const rows = initial.estimate.rows * 10;
      const cost = initial.estimate.cost + step.estimate.cost * 10;
      return { kind: 'recursive', rel, initial, step, estimate: { rows, cost }, order: [] };
    }
    case 'lock':
      return planLock(rel, wish, statistics);
    case 'insert':
    case 'update':
    case 'delete': {
      const input = rel.kind === 'insert' ? sub(rel.input) : lockTarget(sub(rel.input), rel);
      const { rows } = input.estimate;
      const estimate = { rows, cost: input.estimate.cost + rows * unit.lookup };
      if (rel.kind === 'insert') return { kind: 'insert', input, rel, estimate, order: [] };
      if (rel.kind === 'update') return { kind: 'update', input, rel, estimate, order: [] };
      return { kind: 'delete', input, rel, estimate, order: [] };
    }
    default:
      return unreachable(rel);
  }
}

/** Rows wanted from below: count + offset when constant, count alone without an offset. */
function limitTotal(rel: LimitRel): Expr | undefined {
  const { count, offset } = rel;
  if (rel.ties !== undefined || count === undefined) return undefined;
  if (offset === undefined)
    return count.kind === 'const' || count.kind === 'param' ? count : undefined;
  if (
    count.kind === 'const' &&
    offset.kind === 'const' &&
    typeof count.value === 'bigint' &&
    typeof offset.value === 'bigint'
  ) {
    return { ...count, value: count.value + offset.value };
  }
  return undefined;
}

/** At most one row by its access path. */
function isSingle(node: Phys): boolean {
  return node.kind === 'project' ? isSingle(node.input) : node.kind === 'scan' && node.isPoint;
}

function keepsOne(rel: LimitRel): boolean {
  const { count, offset } = rel;
  return (
    offset === undefined &&
    count?.kind === 'const' &&
    typeof count.value === 'bigint' &&
    count.value > 0n
  );
}

/** A scan may stop early when nothing above it drops rows or wants another order. */
function withLimit(scan: ScanNode, wish: Wish): Phys {
  if (wish.limit === undefined || !satisfies(scan.order, wish.order)) return scan;
  return { ...scan, limit: wish.limit };
}

function planFilter(
  rel: Extract<Rel, { kind: 'filter' }>,
  wish: Wish,
  statistics: TableStatistics,
): Phys {
  const conditions = rel.conditions.flatMap(conjuncts);
  const { input } = rel;
  if (input.kind === 'scan' || input.kind === 'virtual') {
    const inside = conditions.filter(
      (condition) => !needsAwait(condition) && !isVolatile(condition),
    );
    const outside = conditions.filter((condition) => !inside.includes(condition));
    const limit = outside.length === 0 ? wish.limit : undefined;
    const scan =
      input.kind === 'virtual'
        ? planVirtual(input, inside)
        : withLimit(
            chooseAccess({ rel: input, conditions: inside, wanted: wish.order, limit, statistics }),
            { ...wish, limit },
          );
    if (outside.length === 0) return scan;
    return filterOver(scan, outside);
  }
  return filterOver(plan(input, { order: wish.order, limit: undefined }, statistics), conditions);
}

function filterOver(input: Phys, conditions: readonly Expr[]): Phys {
  return {
    kind: 'filter',
    input,
    conditions,
    estimate: scaled(
      input,
      passRate(conditions),
      input.estimate.rows * unit.filter * conditions.length,
    ),
    order: input.order,
  };
}

function planVirtual(rel: Extract<Rel, { kind: 'virtual' }>, conditions: readonly Expr[]): Phys {
  const equals: { name: string; value: Expr }[] = [];
  for (const condition of conditions) {
    if (condition.kind !== 'call' || condition.fn.name !== '=' || condition.args.length !== 2)
      continue;
    for (const [column, value] of [condition.args, [...condition.args].reverse()]) {
      if (column?.kind !== 'column' || value === undefined || column.type !== value.type) continue;
      const own = rel.columns.find((candidate) => candidate.id === column.id);
      const name = own === undefined ? undefined : rel.table.columns[own.position]?.name;
      const fixed = value.kind === 'const' || value.kind === 'param';
      if (name !== undefined && fixed && rel.table.indexedColumns.includes(name)) {
        equals.push({ name, value });
        break;
      }
    }
  }
  const rows = Math.max(1, (equals.length > 0 ? 5 : 100) * passRate(conditions));
  return {
    kind: 'virtual-scan',
    rel,
    equals,
    filter: conditions,
    estimate: { rows, cost: rows + 50 },
    order: [],
  };
}

/** The wish in terms of the input; undefined when it names something computed here. */
function throughProject(
  rel: Extract<Rel, { kind: 'project' }>,
  order: readonly SortKey[],
): SortKey[] | undefined {
  const keys: SortKey[] = [];
  for (const key of order) {
    const item =
      key.expr.kind === 'column'
        ? rel.items.find((candidate) => key.expr.kind === 'column' && candidate.id === key.expr.id)
        : undefined;
    if (item?.expr.kind !== 'column') return undefined;
    keys.push({ ...key, expr: item.expr });
  }
  return keys;
}

function renamed(order: readonly SortKey[], rel: Extract<Rel, { kind: 'project' }>): SortKey[] {
  const keys: SortKey[] = [];
  for (const key of order) {
    const { expr } = key;
    const item = rel.items.find(
      (candidate) =>
        candidate.expr.kind === 'column' && expr.kind === 'column' && candidate.expr.id === expr.id,
    );
    if (item === undefined) break;
    keys.push({ ...key, expr: columnExpr(item.id, item.expr.type, item.expr.typmod) });
  }
  return keys;
}

function planAggregate(rel: AggregateRel, statistics: TableStatistics): Phys {
  const input = plan(rel.input, noWish, statistics);
  const rows = rel.groups.length === 0 ? 1 : Math.max(1, input.estimate.rows * 0.1);
  const cost = input.estimate.cost + input.estimate.rows * unit.hash;
  const scan = partialScan(rel, input);
  const estimate = { rows, cost };
  if (scan !== undefined)
    return { kind: 'aggregate', input: scan, rel, fromPartial: true, estimate, order: [] };
  return { kind: 'aggregate', input, rel, fromPartial: false, estimate, order: [] };
}

/** Aggregation beside the data: plain mergeable aggregates straight over a scan. */
function partialScan(rel: AggregateRel, input: Phys): ScanNode | undefined {
  if (input.kind !== 'scan' || input.isPoint || input.lookup || input.lock !== undefined)
    return undefined;
  if (rel.sets !== undefined || rel.grouping.length > 0) return undefined;
  const mergeable = rel.aggregates.every(
    (call) =>
      call.fn.partial !== undefined &&
      !call.distinct &&
      call.orderBy.length === 0 &&
      call.direct.length === 0 &&
      call.args.every((arg) => canPush(arg)) &&
      (call.filter === undefined || canPush(call.filter)),
  );
  const grouped = rel.groups.every((group) => canPush(group.expr));
  const filtered = input.filter.every((condition) => canPush(condition));
  return mergeable && grouped && filtered ? { ...input, partial: rel, order: [] } : undefined;
}

/** A lock on a row that is found by its whole key is taken by the read itself. */
function planLock(
  rel: Extract<Rel, { kind: 'lock' }>,
  wish: Wish,
  statistics: TableStatistics,
): Phys {
  const skips = rel.targets.some(({ lock }) => lock.waitPolicy === 'skip');
  const input = plan(rel.input, skips ? { ...wish, limit: undefined } : wish, statistics);
  const [target] = rel.targets;
  if (rel.targets.length === 1 && target !== undefined) {
    const locked = lockPoint(input, target.table.id, (scan) => ({ ...scan, lock: target.lock }));
    if (locked !== undefined) return locked;
  }
  return lockNode(input, rel.targets, skips ? wish.limit : undefined);
}

function lockNode(input: Phys, targets: LockRel['targets'], limit: Expr | undefined): Phys {
  const estimate = scaled(input, 1, input.estimate.rows * unit.lookup);
  return { kind: 'lock', input, targets, limit, estimate, order: input.order };
}

/**
 * UPDATE and DELETE lock what they write: while they read it when every row that is read is one of those,
 * otherwise, as behind an index that has all columns, before they write it. What is locked is what was read: a newer
 * version begins the statement anew.
 */
function lockTarget(node: Phys, rel: UpdateRel | DeleteRel): Phys {
  const { table, row } = rel;
  const strength = rel.kind === 'update' ? updateStrength(table, rel.set) : 'update';
  const lock = { strength, waitPolicy: 'block' } as const;
  const isExact =
    node.kind === 'scan' &&
    node.table.id === table.id &&
    node.index === table.primaryIndex &&
    (node.isPoint || node.filter.every((condition) => canPush(condition)));
  if (isExact) return { ...node, lock: { ...lock, isTarget: true } };
  const keyColumns = table.primaryIndex.columns.map(({ columnId }) =>
    must(row[table.columns.findIndex((column) => column.id === columnId)]),
  );
  return lockNode(node, [{ table, keyColumns, lock }], undefined);
}

function lockPoint(
  node: Phys,
  tableId: number,
  lock: (scan: ScanNode) => ScanNode,
): Phys | undefined {
  if (node.kind === 'scan') {
    const whole =
      node.isPoint &&
      node.index === node.table.primaryIndex &&
      node.table.id === tableId &&
      node.filter.length === 0;
    return whole ? lock(node) : undefined;
  }
  if (node.kind === 'project' || node.kind === 'sort') {
    const input = lockPoint(node.input, tableId, lock);
    return input === undefined ? undefined : { ...node, input };
  }
  return undefined;
}
