/** From physical plans to executable ones: expressions compiled, columns turned into positions. */
import { type WaitPolicy } from '../../kv/index.ts';
import { unreachable } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { rangeEndsOf } from '../functions/index.ts';
import { type Binder } from '../plan/bind/binder.ts';
import { type ColumnId, type Expr, type SubqueryExpr } from '../plan/expr.ts';
import {
  type AggregateCall,
  type Assignment,
  type Rel,
  type Returning,
  type SetCall,
  type SortKey,
} from '../plan/logical.ts';
import { planPhysical } from '../plan/physical/plan.ts';
import { type Phys, type ScanNode } from '../plan/physical/types.ts';
import { updateStrength } from '../plan/row-locks.ts';
import { freeColumns, visitAllRels } from '../plan/walk.ts';
import { type CompiledAssignment } from './dml/assign.ts';
import { type TableRules } from './dml/table-rules.ts';
import {
  deletePlan,
  insertPlan,
  returningLayout,
  updatePlan,
  type CompiledReturning,
} from './dml/statements.ts';
import { compile, type Compiled, type Env, layoutMap } from './expr/compile.ts';
import { compileSubquery } from './expr/subquery.ts';
import { type Plan } from './operator.ts';
import {
  aggregatePlan,
  type CompiledAggregate,
  finalAggregatePlan,
} from './operators/aggregate.ts';
import { filterPlan, limitPlan, projectPlan, valuesPlan } from './operators/basic.ts';
import { compareKeys, compileKeys, type CompiledKey } from './operators/compare.ts';
import { hashJoinPlan, lookupJoinPlan, loopJoinPlan, mergeJoinPlan } from './operators/join.ts';
import { impatientScans, lockPlan, nowaitPlan } from './operators/locks.ts';
import { compileScan, tableReader } from './operators/scan.ts';
import { distinctPlan, setOpPlan, sortPlan } from './operators/sort.ts';
import {
  type CompiledFunction,
  ctePlan,
  functionPlan,
  projectSetPlan,
  recursivePlan,
  virtualPlan,
  withPlan,
} from './operators/sources.ts';
import { windowPlan } from './operators/window.ts';
import { meter, type Meters } from './meter.ts';

export interface BuildInput {
  readonly binder: Binder;
  /** Rules of every table that the statement writes, by table id. */
  readonly rules: ReadonlyMap<number, TableRules>;
  /** EXPLAIN ANALYZE counts rows and time per node. */
  readonly meters: Meters | undefined;
  /** Called with the plan of each subquery in an expression, for EXPLAIN. */
  readonly onSubplan?: (expr: SubqueryExpr, plan: Phys) => void;
  /** INSERT may hand rows over while it reads: nothing else in the statement reads what it writes. */
  readonly directInsert: boolean;
}

export interface Built {
  readonly plan: Plan;
  readonly slotCount: number;
}

export function buildPlan(phys: Phys, input: BuildInput): Built {
  const builder = new Builder(input);
  const plan = builder.build(phys, new Map(), true);
  return { plan, slotCount: builder.slots };
}

type Outer = ReadonlyMap<ColumnId, number>;

class Builder {
  readonly #input: BuildInput;
  slots = 0;
  #sites = 0;
  /** WITH queries and working tables that have other rows when what is around them runs again. */
  readonly #changingCtes = new Set<number>();
  /** Of scans without a lock, where it is not 'block'. */
  readonly #waitPolicies = new Map<ScanNode, WaitPolicy>();

  constructor(input: BuildInput) {
    this.#input = input;
  }

  #env(layout: readonly ColumnId[], outer: Outer): Env {
    return {
      layout: layoutMap(layout),
      outer,
      subquery: (expr, env) => this.#subquery(expr, env),
    };
  }

  /** The subquery's outer columns get slots of their own at this place. */
  #subquery(expr: SubqueryExpr, env: Env): Compiled {
    const inputs: { slot: number; value: Compiled }[] = [];
    const outer = new Map<ColumnId, number>();
    for (const id of freeColumns(expr.rel)) {
      const slot = this.slots++;
      outer.set(id, slot);
      const info = this.#input.binder.info(id);
      inputs.push({
        slot,
        value: compile({ kind: 'column', id, type: info.type, typmod: info.typmod }, env),
      });
    }
    const site = this.#changes(expr.rel) ? undefined : this.#sites++;
    const phys = planPhysical(expr.rel);
    this.#input.onSubplan?.(expr, phys);
    const plan = this.build(phys, outer, false);
    return compileSubquery({ expr, env, plan, site, inputs });
  }

  /** True when `rel` depends on an outer row, itself or by a WITH query that it reads. Volatile functions do not count. */
  #changes(rel: Rel): boolean {
    if (freeColumns(rel).size > 0) return true;
    let found = false;
    visitAllRels(rel, (node) => {
      if (node.kind === 'cte' && this.#changingCtes.has(node.cteId)) found = true;
    });
    return found;
  }

  build(node: Phys, outer: Outer, isTop: boolean): Plan {
    const plan = this.#build(node, outer, isTop);
    return this.#input.meters === undefined ? plan : meter(plan, node, this.#input.meters);
  }

  #type(id: ColumnId): number {
    return this.#input.binder.info(id).type;
  }

  #all(exprs: readonly Expr[], env: Env): Compiled[] {
    return exprs.map((expr) => compile(expr, env));
  }

  #keys(keys: readonly SortKey[], env: Env): CompiledKey[] {
    return compileKeys(keys, (key) => compile(key.expr, env));
  }

  #build(node: Phys, outer: Outer, isTop: boolean): Plan {
    switch (node.kind) {
      case 'scan': {
        const waitPolicy = node.lock?.waitPolicy ?? this.#waitPolicies.get(node);
        const scan = compileScan(node, this.#env([], outer), waitPolicy);
        return waitPolicy === 'error' ? nowaitPlan(scan, node.table) : scan;
      }
      case 'virtual-scan': {
        const layout = node.rel.columns.map((column) => column.id);
        const none = this.#env([], outer);
        return virtualPlan(
          node.rel.table,
          layout,
          node.rel.columns.map((column) => column.position),
          node.equals.map(({ name, value }) => ({ name, value: compile(value, none) })),
          this.#all(node.filter, this.#env(layout, outer)),
        );
      }
      case 'values': {
        const env = this.#env([], outer);
        return valuesPlan(
          node.rel.columns,
          node.rel.rows.map((row) => this.#all(row, env)),
        );
      }
      case 'project': {
        const input = this.build(node.input, outer, false);
        const env = this.#env(input.layout, outer);
        return projectPlan(
          input,
          node.items.map((item) => item.id),
          node.items.map((item) => compile(item.expr, env)),
        );
      }
      case 'filter': {
        const input = this.build(node.input, outer, false);
        return filterPlan(input, this.#all(node.conditions, this.#env(input.layout, outer)));
      }
      case 'sort': {
        const input = this.build(node.input, outer, false);
        const limit =
          node.limit === undefined ? undefined : compile(node.limit, this.#env([], outer));
        return sortPlan(input, this.#keys(node.keys, this.#env(input.layout, outer)), limit);
      }
      case 'limit':
        return this.#limit(node, outer);
      case 'distinct': {
        const input = this.build(node.input, outer, false);
        return distinctPlan(
          input,
          node.rel.on,
          node.rel.on.map((id) => this.#type(id)),
        );
      }
      case 'set-op': {
        const left = this.build(node.left, outer, false);
        const right = this.build(node.right, outer, false);
        return setOpPlan(
          left,
          right,
          node.rel,
          node.rel.columns.map((id) => this.#type(id)),
        );
      }
      case 'aggregate':
        return this.#aggregate(node, outer);
      case 'window':
        return this.#window(node, outer);
      case 'project-set': {
        const input = this.build(node.input, outer, false);
        const env = this.#env(input.layout, outer);
        return projectSetPlan(
          input,
          node.rel.calls.map((call) => this.#set(call, env)),
        );
      }
      case 'function': {
        const env = this.#env([], outer);
        const calls = node.rel.calls.map((item): CompiledFunction =>
          item.kind === 'set'
            ? { kind: 'set', ...this.#set(item.call, env) }
            : { kind: 'scalar', value: compile(item.expr, env), width: item.columns.length },
        );
        return functionPlan(node.rel, calls);
      }
      case 'cte':
        return ctePlan(node.rel.cteId, node.rel.columns, node.rel.positions);
      case 'with': {
        const definitions = node.definitions.map((definition) => {
          const changes = this.#changes(definition.rel);
          if (changes) this.#changingCtes.add(definition.id);
          return {
            id: definition.id,
            columns: definition.columns,
            mustRun: definition.mustRun,
            plan: this.build(definition.plan, outer, false),
            site: changes ? undefined : this.#sites++,
          };
        });
        return withPlan(definitions, this.build(node.body, outer, isTop));
      }
      case 'recursive':
        this.#changingCtes.add(node.rel.workId);
        return recursivePlan(
          {
            workId: node.rel.workId,
            all: node.rel.all,
            layout: node.rel.columns,
            types: node.rel.columns.map((id) => this.#type(id)),
            initialColumns: node.rel.initialColumns,
            stepColumns: node.rel.stepColumns,
          },
          this.build(node.initial, outer, false),
          this.build(node.step, outer, false),
        );
      case 'lock':
        for (const [scan, policy] of impatientScans(node)) this.#waitPolicies.set(scan, policy);
        return lockPlan(
          this.build(node.input, outer, false),
          node.targets,
          node.limit === undefined ? undefined : compile(node.limit, this.#env([], outer)),
        );
      case 'hash-join':
      case 'merge-join':
      case 'lookup-join':
      case 'loop-join':
        return this.#join(node, outer);
      case 'insert':
      case 'update':
      case 'delete':
        return this.#dml(node, outer, isTop);
      default:
        return unreachable(node);
    }
  }

  #set(call: SetCall, env: Env): { call: SetCall; args: Compiled[] } {
    return { call, args: this.#all(call.args, env) };
  }

  #limit(node: Extract<Phys, { kind: 'limit' }>, outer: Outer): Plan {
    const input = this.build(node.input, outer, false);
    const env = this.#env([], outer);
    const { count, offset, ties } = node.rel;
    const layout = layoutMap(input.layout);
    const keys = ties?.map((key) => ({
      ...key,
      at: key.expr.kind === 'column' ? layout.get(key.expr.id) : undefined,
    }));
    const compiled =
      ties === undefined ? undefined : this.#keys(ties, this.#env(input.layout, outer));
    const sameRank =
      keys === undefined || compiled === undefined
        ? undefined
        : (a: readonly unknown[], b: readonly unknown[]): boolean => {
            const pick = (row: readonly unknown[]): never[] =>
              keys.map((key) => row[key.at ?? -1] ?? null) as never[];
            return compareKeys(compiled, pick(a), pick(b)) === 0;
          };
    return limitPlan(
      input,
      count === undefined ? undefined : compile(count, env),
      offset === undefined ? undefined : compile(offset, env),
      sameRank,
    );
  }

  #aggregate(node: Extract<Phys, { kind: 'aggregate' }>, outer: Outer): Plan {
    const input = this.build(node.input, outer, false);
    if (node.fromPartial) return finalAggregatePlan(input, node.rel);
    const env = this.#env(input.layout, outer);
    return aggregatePlan(
      input,
      node.rel,
      node.rel.groups.map((group) => compile(group.expr, env)),
      node.rel.aggregates.map((call) => this.#call(call, env)),
    );
  }

  #call(call: AggregateCall, env: Env): CompiledAggregate {
    return {
      fn: call.fn,
      callTypes: call.callTypes,
      args: this.#all(call.args, env),
      direct: this.#all(call.direct, env),
      distinct: call.distinct,
      orderBy: this.#keys(call.orderBy, env),
      filter: call.filter && compile(call.filter, env),
    };
  }

  #window(node: Extract<Phys, { kind: 'window' }>, outer: Outer): Plan {
    const input = this.build(node.input, outer, false);
    const env = this.#env(input.layout, outer);
    const { rel } = node;
    const { frame } = rel;
    const offset = (bound: typeof frame.start): Expr | undefined =>
      'offset' in bound ? bound.offset : undefined;
    const [start, end] = [offset(frame.start), offset(frame.end)];
    const { startValue, endValue } = frame;
    const [key] = rel.orderBy;
    return windowPlan(input, {
      partitionBy: this.#all(rel.partitionBy, env),
      partitionTypes: rel.partitionBy.map((expr) => expr.type),
      orderBy: this.#keys(rel.orderBy, env),
      frame,
      startOffset: start && compile(start, env),
      endOffset: end && compile(end, env),
      startValue: startValue && compile(startValue, env),
      endValue: endValue && compile(endValue, env),
      rangeEnds: key && rangeEndsOf(key.expr.type),
      calls: rel.calls.map((call) => ({
        fn: call.fn,
        callTypes: call.callTypes,
        args: this.#all(call.args, env),
        filter: call.filter && compile(call.filter, env),
      })),
      ids: rel.calls.map((call) => call.id),
    });
  }

  #join(
    node: Extract<Phys, { kind: 'hash-join' | 'merge-join' | 'lookup-join' | 'loop-join' }>,
    outer: Outer,
  ): Plan {
    const left = this.build(node.left, outer, false);
    const leftEnv = this.#env(left.layout, outer);
    if (node.kind === 'lookup-join') {
      const reader = tableReader(node.right, leftEnv, this.#waitPolicies.get(node.right));
      const joined = this.#env([...left.layout, ...reader.layout], outer);
      return lookupJoinPlan(left, {
        type: node.type,
        reader,
        residual: this.#all(node.residual, joined),
      });
    }
    if (node.kind === 'loop-join') {
      const inner = new Map(outer);
      const dependent = node.dependent.map((id) => {
        const slot = this.slots++;
        inner.set(id, slot);
        return { slot, position: left.layout.indexOf(id) };
      });
      const right = this.build(node.right, inner, false);
      const joined = this.#env([...left.layout, ...right.layout], outer);
      return loopJoinPlan(left, right, {
        type: node.type,
        on: this.#all(node.on, joined),
        dependent,
      });
    }
    const right = this.build(node.right, outer, false);
    const rightEnv = this.#env(right.layout, outer);
    const joined = this.#env([...left.layout, ...right.layout], outer);
    const residual = this.#all(node.residual, joined);
    if (node.kind === 'hash-join') {
      return hashJoinPlan(left, right, {
        type: node.type,
        leftKeys: this.#all(node.leftKeys, leftEnv),
        rightKeys: this.#all(node.rightKeys, rightEnv),
        keyTypes: node.leftKeys.map((key) => key.type),
        residual,
      });
    }
    const toKeys = (exprs: readonly Expr[]): SortKey[] =>
      exprs.map((expr, i) => {
        const descending = node.descending[i] ?? false;
        return { expr, descending, nullsFirst: descending };
      });
    return mergeJoinPlan(left, right, {
      type: node.type,
      leftKeys: this.#keys(toKeys(node.leftKeys), leftEnv),
      rightKeys: this.#keys(toKeys(node.rightKeys), rightEnv),
      residual,
    });
  }

  #returning(
    returning: Returning | undefined,
    input: readonly ColumnId[],
    outer: Outer,
  ): CompiledReturning | undefined {
    if (returning === undefined) return undefined;
    const env = this.#env(returningLayout(returning, input), outer);
    return {
      layout: returning.items.map((item) => item.id),
      items: returning.items.map((item) => compile(item.expr, env)),
    };
  }

  #dml(
    node: Extract<Phys, { kind: 'insert' | 'update' | 'delete' }>,
    outer: Outer,
    isTop: boolean,
  ): Plan {
    const input = this.build(node.input, outer, false);
    const { rel } = node;
    const rules = this.#input.rules.get(rel.table.id);
    if (rules === undefined)
      throw sqlError('internalError', `rules of table ${rel.table.name} are missing`);
    const parts = {
      rules,
      isTop,
      returning: this.#returning(rel.returning, node.kind === 'insert' ? [] : input.layout, outer),
    };
    const assignments = (set: readonly Assignment[], env: Env): CompiledAssignment[] =>
      set.map(({ positions, expr }) => ({ positions, value: compile(expr, env) }));
    if (node.kind === 'delete') return deletePlan(input, node.rel, parts);
    if (node.kind === 'update') {
      return updatePlan(input, node.rel, {
        ...parts,
        set: assignments(node.rel.set, this.#env(input.layout, outer)),
      });
    }
    const { conflict } = node.rel;
    const update = conflict?.update;
    const env =
      update === undefined ? undefined : this.#env([...update.existing, ...update.excluded], outer);
    return insertPlan(input, node.rel, {
      ...parts,
      direct: this.#input.directInsert,
      conflict: conflict && {
        arbiters: conflict.arbiters,
        lock: update === undefined ? 'update' : updateStrength(node.rel.table, update.set),
        update:
          update === undefined || env === undefined
            ? undefined
            : {
                set: assignments(update.set, env),
                where: update.where && compile(update.where, env),
              },
      },
    });
  }
}
