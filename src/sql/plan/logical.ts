/**
 * Logical plans: relational operators as immutable data. What a node delivers is a list of column ids
 * (`outputOf`). A node whose right side refers to columns of its left side is evaluated once per left
 * row (a dependent join, "apply").
 */
import { type HeldStrength } from '../../kv/index.ts';
import { type TableDescriptor } from '../catalog/descriptors.ts';
import { type VirtualTable } from '../catalog/types.ts';
import {
  type AggregateFunction,
  type SetFunction,
  type WindowFunction,
} from '../functions/registry-types.ts';
import { unreachable } from '../../util/index.ts';
import { type ColumnId, type Expr } from './expr.ts';

export type JoinType = 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti';

export interface SortKey {
  readonly expr: Expr;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export interface LockClause {
  readonly strength: HeldStrength;
  readonly waitPolicy: 'block' | 'error' | 'skip';
}

export interface ScanRel {
  readonly kind: 'scan';
  readonly table: TableDescriptor;
  readonly alias: string;
  /** `position` is the index in table.columns. */
  readonly columns: readonly { readonly id: ColumnId; readonly position: number }[];
  readonly lock: LockClause | undefined;
}

export interface VirtualRel {
  readonly kind: 'virtual';
  readonly table: VirtualTable;
  readonly alias: string;
  readonly columns: readonly { readonly id: ColumnId; readonly position: number }[];
}

export interface ValuesRel {
  readonly kind: 'values';
  readonly columns: readonly ColumnId[];
  readonly rows: readonly (readonly Expr[])[];
}

export interface ProjectRel {
  readonly kind: 'project';
  readonly input: Rel;
  readonly items: readonly { readonly id: ColumnId; readonly expr: Expr }[];
}

export interface FilterRel {
  readonly kind: 'filter';
  readonly input: Rel;
  readonly conditions: readonly Expr[];
}

export interface JoinRel {
  readonly kind: 'join';
  readonly type: JoinType;
  readonly left: Rel;
  readonly right: Rel;
  readonly on: readonly Expr[];
}

export interface AggregateCall {
  readonly id: ColumnId;
  readonly fn: AggregateFunction;
  readonly args: readonly Expr[];
  /** Before WITHIN GROUP. */
  readonly direct: readonly Expr[];
  /** Argument types, result type last. */
  readonly callTypes: readonly number[];
  readonly distinct: boolean;
  readonly orderBy: readonly SortKey[];
  readonly filter: Expr | undefined;
}

export interface AggregateRel {
  readonly kind: 'aggregate';
  readonly input: Rel;
  readonly groups: readonly { readonly id: ColumnId; readonly expr: Expr }[];
  readonly aggregates: readonly AggregateCall[];
  /** GROUPING SETS: each a list of positions in `groups`; undefined: one set of all groups. */
  readonly sets: readonly (readonly number[])[] | undefined;
  /** GROUPING(...) calls: a bit per listed position, most significant first. */
  readonly grouping: readonly { readonly id: ColumnId; readonly positions: readonly number[] }[];
}

export type FrameBound =
  | { readonly kind: 'unbounded-preceding' | 'current-row' | 'unbounded-following' }
  | { readonly kind: 'preceding' | 'following'; readonly offset: Expr };

export interface WindowFrame {
  readonly mode: 'rows' | 'range' | 'groups';
  readonly start: FrameBound;
  readonly end: FrameBound;
  readonly exclude: 'none' | 'current-row' | 'group' | 'ties';
  /** RANGE with an offset: value of the sort column -/+ offset, over the sort column and in the type of `rangeEndsOf` it. */
  readonly startValue?: Expr | undefined;
  readonly endValue?: Expr | undefined;
}

export interface WindowCall {
  readonly id: ColumnId;
  readonly fn: WindowFunction | AggregateFunction;
  readonly args: readonly Expr[];
  readonly callTypes: readonly number[];
  readonly filter: Expr | undefined;
}

/** All calls share partition, order and frame. */
export interface WindowRel {
  readonly kind: 'window';
  readonly input: Rel;
  readonly partitionBy: readonly Expr[];
  readonly orderBy: readonly SortKey[];
  readonly frame: WindowFrame;
  readonly calls: readonly WindowCall[];
}

export interface SortRel {
  readonly kind: 'sort';
  readonly input: Rel;
  readonly keys: readonly SortKey[];
}

export interface LimitRel {
  readonly kind: 'limit';
  readonly input: Rel;
  readonly count: Expr | undefined;
  readonly offset: Expr | undefined;
  /** WITH TIES: the sort keys that make ties. */
  readonly ties: readonly SortKey[] | undefined;
}

/** Keeps the first row of each group of equal `on` columns; the output is the input's. */
export interface DistinctRel {
  readonly kind: 'distinct';
  readonly input: Rel;
  readonly on: readonly ColumnId[];
}

export interface SetOpRel {
  readonly kind: 'set-op';
  readonly op: 'union' | 'intersect' | 'except';
  readonly all: boolean;
  readonly left: Rel;
  readonly right: Rel;
  readonly leftColumns: readonly ColumnId[];
  readonly rightColumns: readonly ColumnId[];
  readonly columns: readonly ColumnId[];
}

export interface SetCall {
  readonly fn: SetFunction;
  readonly args: readonly Expr[];
  readonly callTypes: readonly number[];
  readonly columns: readonly ColumnId[];
}

/** Set-returning functions in a select list: per input row, in lockstep, shorter ones padded with null. */
export interface ProjectSetRel {
  readonly kind: 'project-set';
  readonly input: Rel;
  readonly calls: readonly SetCall[];
}

/** Functions in FROM (ROWS FROM when several): also plain scalar functions, as `scalar` items. */
export interface FunctionRel {
  readonly kind: 'function';
  readonly calls: readonly (
    | { readonly kind: 'set'; readonly call: SetCall }
    | { readonly kind: 'scalar'; readonly expr: Expr; readonly columns: readonly ColumnId[] }
  )[];
  readonly ordinality: ColumnId | undefined;
  readonly alias: string;
}

export interface CteRel {
  readonly kind: 'cte';
  readonly cteId: number;
  readonly name: string;
  /** In the order of the CTE's own columns. */
  readonly columns: readonly ColumnId[];
  /** Which of the CTE's columns each stands for. */
  readonly positions: readonly number[];
}

export interface CteDefinition {
  readonly id: number;
  readonly name: string;
  readonly rel: Rel;
  readonly columns: readonly ColumnId[];
  /** Data-modifying: runs to its end whether or not anybody reads it. */
  readonly mustRun: boolean;
  /** [NOT] MATERIALIZED; 'default': inlined when referred to once. */
  readonly materialize: 'always' | 'never' | 'default';
}

export interface WithRel {
  readonly kind: 'with';
  readonly definitions: readonly CteDefinition[];
  readonly body: Rel;
}

/** WITH RECURSIVE: `step` reads the working table through a cte node with this `workId`. */
export interface RecursiveRel {
  readonly kind: 'recursive';
  readonly workId: number;
  readonly initial: Rel;
  readonly initialColumns: readonly ColumnId[];
  readonly step: Rel;
  readonly stepColumns: readonly ColumnId[];
  readonly all: boolean;
  readonly columns: readonly ColumnId[];
}

/** FOR UPDATE | SHARE above what cannot be locked while scanning: reads the rows again by primary key. */
export interface LockRel {
  readonly kind: 'lock';
  readonly input: Rel;
  readonly targets: readonly {
    readonly table: TableDescriptor;
    readonly keyColumns: readonly ColumnId[];
    readonly lock: LockClause;
  }[];
  /** All of FROM that is locked, here or below, for `CheckLocks`; behind it there are targets. */
  readonly items: readonly { readonly clause: string; readonly columns: readonly ColumnId[] }[];
}

export interface InsertRel {
  readonly kind: 'insert';
  readonly table: TableDescriptor;
  readonly input: Rel;
  /** Column of the input for each table position; undefined: null (generated columns, ones being dropped). */
  readonly source: readonly (ColumnId | undefined)[];
  /** The primary key is made up for each row, and for no other. */
  readonly hasFreshKey: boolean;
  readonly conflict: ConflictClause | undefined;
  readonly returning: Returning | undefined;
}

export interface ConflictClause {
  /** Ids of the arbiter indexes; empty: any unique index (DO NOTHING only). */
  readonly arbiters: readonly number[];
  readonly update: ConflictUpdate | undefined;
}

export interface ConflictUpdate {
  /** Ids under which the existing row's and the proposed row's columns stand, by table position. */
  readonly existing: readonly ColumnId[];
  readonly excluded: readonly ColumnId[];
  readonly set: readonly Assignment[];
  readonly where: Expr | undefined;
}

export interface Assignment {
  /** Several: they take the fields of one record, and NULL of none. */
  readonly positions: readonly number[];
  readonly expr: Expr;
}

/** RETURNING: expressions over the (new, or deleted) row's columns and those of FROM/USING. */
export interface Returning {
  /** Ids of the target row's columns, by table position. */
  readonly row: readonly ColumnId[];
  readonly items: readonly { readonly id: ColumnId; readonly expr: Expr }[];
}

/** The input delivers every readable column of the target row under `row`, and what `set` needs. */
export interface UpdateRel {
  readonly kind: 'update';
  readonly table: TableDescriptor;
  readonly input: Rel;
  readonly row: readonly ColumnId[];
  readonly set: readonly Assignment[];
  readonly returning: Returning | undefined;
}

export interface DeleteRel {
  readonly kind: 'delete';
  readonly table: TableDescriptor;
  readonly input: Rel;
  readonly row: readonly ColumnId[];
  readonly returning: Returning | undefined;
}

export type Rel =
  | ScanRel
  | VirtualRel
  | ValuesRel
  | ProjectRel
  | FilterRel
  | JoinRel
  | AggregateRel
  | WindowRel
  | SortRel
  | LimitRel
  | DistinctRel
  | SetOpRel
  | ProjectSetRel
  | FunctionRel
  | CteRel
  | WithRel
  | RecursiveRel
  | LockRel
  | InsertRel
  | UpdateRel
  | DeleteRel;

const outputs = new WeakMap<Rel, readonly ColumnId[]>();

/** The columns a node delivers. Computed once per node. */
export function outputOf(rel: Rel): readonly ColumnId[] {
  let found = outputs.get(rel);
  if (found === undefined) {
    found = computeOutput(rel);
    outputs.set(rel, found);
  }
  return found;
}

function computeOutput(rel: Rel): readonly ColumnId[] {
  switch (rel.kind) {
    case 'scan':
    case 'virtual':
      return rel.columns.map((column) => column.id);
    case 'values':
    case 'cte':
    case 'set-op':
    case 'recursive':
      return rel.columns;
    case 'project':
      return rel.items.map((item) => item.id);
    case 'filter':
    case 'sort':
    case 'limit':
    case 'distinct':
    case 'lock':
      return outputOf(rel.input);
    case 'join':
      if (rel.type === 'semi' || rel.type === 'anti') return outputOf(rel.left);
      return [...outputOf(rel.left), ...outputOf(rel.right)];
    case 'aggregate':
      return [
        ...rel.groups.map((group) => group.id),
        ...rel.aggregates.map((call) => call.id),
        ...rel.grouping.map((call) => call.id),
      ];
    case 'window':
      return [...outputOf(rel.input), ...rel.calls.map((call) => call.id)];
    case 'project-set':
      return [...outputOf(rel.input), ...rel.calls.flatMap((call) => call.columns)];
    case 'function': {
      const ids = rel.calls.flatMap((item) =>
        item.kind === 'set' ? item.call.columns : item.columns,
      );
      return rel.ordinality === undefined ? ids : [...ids, rel.ordinality];
    }
    case 'with':
      return outputOf(rel.body);
    case 'insert':
    case 'update':
    case 'delete':
      return rel.returning?.items.map((item) => item.id) ?? [];
    default:
      return unreachable(rel);
  }
}
