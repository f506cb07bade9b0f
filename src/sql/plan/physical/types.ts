/** Physical plans: how each operator is carried out, with estimates. What EXPLAIN shows and exec builds from. */
import { type IndexDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { type ColumnId, type Expr } from '../expr.ts';
import {
  type AggregateRel,
  type CteRel,
  type DeleteRel,
  type DistinctRel,
  type FunctionRel,
  type InsertRel,
  type JoinType,
  type LimitRel,
  type LockClause,
  type LockRel,
  type ProjectRel,
  type ProjectSetRel,
  type RecursiveRel,
  type Rel,
  type SetOpRel,
  type SortKey,
  type UpdateRel,
  type ValuesRel,
  type VirtualRel,
  type WindowRel,
} from '../logical.ts';

/** Which part of an index is read: one value (or list) per leading column, then at most one range. */
export interface SpanSpec {
  readonly prefix: readonly SpanPart[];
  readonly lower: SpanBound | undefined;
  readonly upper: SpanBound | undefined;
}

/** Most spans that several lists together may make; one list alone may be longer. */
export const maxSpans = 100_000;

/** `type`: of the values; the key column may be another integer type. */
export type SpanPart =
  | { readonly kind: 'equal'; readonly value: Expr; readonly type: number }
  | { readonly kind: 'list'; readonly values: readonly Expr[]; readonly type: number }
  | { readonly kind: 'array'; readonly array: Expr; readonly type: number }
  | { readonly kind: 'null' };

export interface SpanBound {
  readonly value: Expr;
  readonly type: number;
  readonly inclusive: boolean;
}

export interface Estimate {
  readonly rows: number;
  readonly cost: number;
}

interface Node {
  readonly estimate: Estimate;
  /** Order in which rows come, as far as it is known. */
  readonly order: readonly SortKey[];
}

export interface ScanLock extends LockClause {
  /** Every row that is read, by the primary index, is going to be written. */
  readonly isTarget?: boolean;
}

export interface ScanNode extends Node {
  readonly kind: 'scan';
  readonly table: TableDescriptor;
  readonly alias: string;
  readonly index: IndexDescriptor;
  readonly spans: SpanSpec;
  readonly reverse: boolean;
  /** The index lacks wanted columns: rows are fetched from the primary index. */
  readonly lookup: boolean;
  readonly columns: readonly { readonly id: ColumnId; readonly position: number }[];
  readonly filter: readonly Expr[];
  readonly lock: ScanLock | undefined;
  /** Rows wanted at most, when known: constant or parameter. */
  readonly limit: Expr | undefined;
  /** At most one row: every key column is given by one value. */
  readonly isPoint: boolean;
  /** One partial row per range instead of rows. */
  readonly partial: AggregateRel | undefined;
}

export interface VirtualScanNode extends Node {
  readonly kind: 'virtual-scan';
  readonly rel: VirtualRel;
  readonly equals: readonly { readonly name: string; readonly value: Expr }[];
  readonly filter: readonly Expr[];
}

export interface HashJoinNode extends Node {
  readonly kind: 'hash-join';
  readonly type: JoinType;
  readonly left: Phys;
  readonly right: Phys;
  readonly leftKeys: readonly Expr[];
  readonly rightKeys: readonly Expr[];
  /** All conditions that the keys do not cover. */
  readonly residual: readonly Expr[];
}

export interface MergeJoinNode extends Node {
  readonly kind: 'merge-join';
  readonly type: 'inner' | 'left' | 'semi' | 'anti';
  readonly left: Phys;
  readonly right: Phys;
  readonly leftKeys: readonly Expr[];
  readonly rightKeys: readonly Expr[];
  readonly descending: readonly boolean[];
  readonly residual: readonly Expr[];
}

/** For each left row, index keys made from it are looked up in batches. */
export interface LookupJoinNode extends Node {
  readonly kind: 'lookup-join';
  readonly type: 'inner' | 'left' | 'semi' | 'anti';
  readonly left: Phys;
  /** Its spans refer to columns of the left row. */
  readonly right: ScanNode;
  readonly residual: readonly Expr[];
}

/** The right side is kept, or (when it depends on the left row) run once per left row. */
export interface LoopJoinNode extends Node {
  readonly kind: 'loop-join';
  readonly type: JoinType;
  readonly left: Phys;
  readonly right: Phys;
  readonly on: readonly Expr[];
  readonly dependent: readonly ColumnId[];
}

export interface ValuesNode extends Node {
  readonly kind: 'values';
  readonly rel: ValuesRel;
}
export interface ProjectNode extends Node {
  readonly kind: 'project';
  readonly input: Phys;
  readonly items: ProjectRel['items'];
}
export interface FilterNode extends Node {
  readonly kind: 'filter';
  readonly input: Phys;
  readonly conditions: readonly Expr[];
}
export interface AggregateNode extends Node {
  readonly kind: 'aggregate';
  readonly input: Phys;
  readonly rel: AggregateRel;
  /** Input rows are partial states made beside the data. */
  readonly fromPartial: boolean;
}
export interface WindowNode extends Node {
  readonly kind: 'window';
  readonly input: Phys;
  readonly rel: WindowRel;
}
export interface SortNode extends Node {
  readonly kind: 'sort';
  readonly input: Phys;
  readonly keys: readonly SortKey[];
  /** Only so many first rows are wanted. */
  readonly limit: Expr | undefined;
}
export interface LimitNode extends Node {
  readonly kind: 'limit';
  readonly input: Phys;
  readonly rel: LimitRel;
}
export interface DistinctNode extends Node {
  readonly kind: 'distinct';
  readonly input: Phys;
  readonly rel: DistinctRel;
}
export interface SetOpNode extends Node {
  readonly kind: 'set-op';
  readonly left: Phys;
  readonly right: Phys;
  readonly rel: SetOpRel;
}
export interface ProjectSetNode extends Node {
  readonly kind: 'project-set';
  readonly input: Phys;
  readonly rel: ProjectSetRel;
}
export interface FunctionNode extends Node {
  readonly kind: 'function';
  readonly rel: FunctionRel;
}
export interface CteNode extends Node {
  readonly kind: 'cte';
  readonly rel: CteRel;
}
export interface WithNode extends Node {
  readonly kind: 'with';
  readonly definitions: readonly {
    readonly id: number;
    readonly name: string;
    readonly mustRun: boolean;
    readonly rel: Rel;
    readonly plan: Phys;
    readonly columns: readonly ColumnId[];
  }[];
  readonly body: Phys;
}
export interface RecursiveNode extends Node {
  readonly kind: 'recursive';
  readonly rel: RecursiveRel;
  readonly initial: Phys;
  readonly step: Phys;
}
export interface LockNode extends Node {
  readonly kind: 'lock';
  readonly input: Phys;
  readonly targets: LockRel['targets'];
  /** Of SKIP LOCKED: how many rows are wanted at most, so that no more are locked. */
  readonly limit: Expr | undefined;
}
export interface InsertNode extends Node {
  readonly kind: 'insert';
  readonly input: Phys;
  readonly rel: InsertRel;
}
export interface UpdateNode extends Node {
  readonly kind: 'update';
  readonly input: Phys;
  readonly rel: UpdateRel;
}
export interface DeleteNode extends Node {
  readonly kind: 'delete';
  readonly input: Phys;
  readonly rel: DeleteRel;
}

export type Phys =
  | ScanNode
  | VirtualScanNode
  | HashJoinNode
  | MergeJoinNode
  | LookupJoinNode
  | LoopJoinNode
  | ValuesNode
  | ProjectNode
  | FilterNode
  | AggregateNode
  | WindowNode
  | SortNode
  | LimitNode
  | DistinctNode
  | SetOpNode
  | ProjectSetNode
  | FunctionNode
  | CteNode
  | WithNode
  | RecursiveNode
  | LockNode
  | InsertNode
  | UpdateNode
  | DeleteNode;
