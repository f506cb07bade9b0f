/**
 * Functions, operators, casts and aggregates as data, and how calls are resolved (PostgreSQL chapter 10).
 * Operators are functions with an operator name; both stand in one registry.
 */
import { type Datum, type Row } from '../types/datum.ts';
import { type FormatSettings } from '../types/types.ts';

/** What evaluation may depend on beside its arguments. One per statement. */
export interface EvalContext extends FormatSettings {
  /** statement_timestamp(), when the client's message came: microseconds since 2000-01-01 UTC. now() is `nowMicros`. */
  readonly statementMicros: bigint;
  clockMicros(): bigint;
  /** How far follower_read_timestamp() is behind the statement; absent: as the cluster settings have it by default. */
  readonly followerLagMicros?: bigint;
  /** Uniform in [0,1); `setSeed` makes it repeatable. */
  random(): number;
  setSeed(seed: number): void;
  randomBytes(length: number): Buffer;
  readonly currentUser: string;
  readonly sessionUser: string;
  readonly currentDatabase: string;
  /** search_path as resolved schema names. */
  readonly currentSchemas: readonly string[];
  readonly backendPid: number;
  /** Absent: it is in this process. */
  readonly client?: ClientAddress | undefined;
  setting(name: string): string | undefined;
  /** As SET does, `value` undefined: back to the default. Returns what SHOW prints then. */
  setSetting(name: string, value: string | undefined, isLocal: boolean): string;
  /** Sequences and catalog look-ups, asynchronous; provided by the session. */
  readonly host: EvalHost;
}

/** Where the client of a session is. */
export interface ClientAddress {
  readonly host: string;
  readonly port: number;
}

/** The asynchronous side of evaluation: only functions marked `async` use it. */
export interface EvalHost {
  nextval(sequence: string | number): Promise<bigint>;
  currval(sequence: string | number): Promise<bigint>;
  setval(sequence: string | number, value: bigint, isCalled: boolean): Promise<bigint>;
  lastval(): Promise<bigint>;
  /** unique_rowid(): rising on one node, never the same on two nodes (time, then node id). */
  uniqueRowId?(): bigint;
  /** regclass and friends: name to oid and back; undefined when there is none. */
  lookupOid(kind: RegKind, name: string): Promise<number | undefined>;
  lookupName(kind: RegKind, oid: number): Promise<string | undefined>;
  /** pg_get_indexdef, pg_get_constraintdef, pg_get_viewdef, obj_description, pg_table_size, ... */
  /** crdb_internal.check_consistency. Empty keys: from the first, to the last; rows as its columns say. */
  checkConsistency(statsOnly: boolean, start: Buffer, end: Buffer): Promise<readonly Row[]>;
  catalogFunction(name: string, args: readonly Datum[]): Promise<Datum>;
}

export type RegKind =
  | 'regclass'
  | 'regtype'
  | 'regproc'
  | 'regprocedure'
  | 'regoper'
  | 'regoperator'
  | 'regnamespace'
  | 'regrole'
  | 'regconfig'
  | 'regdictionary';

export type Volatility = 'immutable' | 'stable' | 'volatile';

export interface ScalarFunction {
  readonly kind: 'scalar';
  readonly name: string;
  /** pg_proc oid where PostgreSQL has the function, else a stable number of our own above 90000; 0: made while resolving. */
  readonly oid: number;
  /** Argument type oids; the last one repeats when `variadic`. Polymorphic: anyelement 2283, anyarray 2277, "any" 2276. */
  readonly args: readonly number[];
  readonly variadic: boolean;
  readonly result: number;
  readonly volatility: Volatility;
  /** Returns null when any argument is null, without being called. */
  readonly strict: boolean;
  readonly async: boolean;
  /** For calls with `name => value`; missing where a function has no argument names. */
  readonly argNames?: readonly string[];
  /** `types` are the actual argument types and, last, the actual result type. */
  readonly call: (
    args: readonly Datum[],
    context: EvalContext,
    types: readonly number[],
  ) => Datum | Promise<Datum>;
}

/** Returns rows: generate_series, unnest, json_each. One column unless `columns` says otherwise. */
export interface SetFunction {
  readonly kind: 'set';
  readonly name: string;
  readonly oid: number;
  readonly args: readonly number[];
  readonly variadic: boolean;
  readonly result: number;
  readonly columns: readonly { readonly name: string; readonly type: number }[];
  readonly volatility: Volatility;
  readonly call: (
    args: readonly Datum[],
    context: EvalContext,
    types: readonly number[],
  ) => Iterable<Row> | Promise<Iterable<Row>>;
}

export interface AggregateFunction {
  readonly kind: 'aggregate';
  readonly name: string;
  readonly oid: number;
  readonly args: readonly number[];
  readonly variadic: boolean;
  readonly result: number;
  /** Rows with a null argument are not fed. */
  readonly strict: boolean;
  /** Direct arguments before WITHIN GROUP: percentile_cont, mode. 0 for ordinary aggregates. */
  readonly directArgs: number;
  readonly create: (types: readonly number[], context: EvalContext) => AggregateState;
  /** How a partial result made beside the data is merged; undefined: only whole aggregation. */
  readonly partial: PartialAggregate | undefined;
}

export interface AggregateState {
  add(args: readonly Datum[]): void;
  result(): Datum;
}

/** Partial states are rows of datums of these types, so that they can travel: avg = (sum, count). */
export interface PartialAggregate {
  readonly stateTypes: (types: readonly number[]) => readonly number[];
  readonly extract: (state: AggregateState) => Row;
  readonly merge: (state: AggregateState, partial: Row) => void;
}

/** row_number, rank, lag, ...: computed over a whole partition. Aggregates with OVER are not listed here. */
export interface WindowFunction {
  readonly kind: 'window';
  readonly name: string;
  readonly oid: number;
  readonly args: readonly number[];
  readonly variadic: boolean;
  readonly result: number;
  /** Value for row `index` of the partition; `args(i)` are the argument values of row i. */
  readonly call: (frame: WindowFrameView, types: readonly number[]) => Datum;
}

export interface WindowFrameView {
  readonly index: number;
  readonly size: number;
  args(row: number): readonly Datum[];
  /** Peer group of the current row under ORDER BY: [start, end). */
  readonly peerStart: number;
  readonly peerEnd: number;
  /** Rank without and with gaps of the current row, from 1. */
  readonly denseRank: number;
  /** The frame, [start, end) (after exclusion only for frame-sensitive functions: rows in it). */
  readonly frameStart: number;
  readonly frameEnd: number;
  inFrame(row: number): boolean;
}

export type SqlFunction = ScalarFunction | SetFunction | AggregateFunction | WindowFunction;

/** A resolved call: which function, what to cast each argument to, what comes out. */
export interface ResolvedCall {
  readonly fn: SqlFunction;
  /** Oid to coerce each argument to (implicit cast). */
  readonly argTypes: readonly number[];
  readonly resultType: number;
  /** A type's name called like a function: the same as the cast. */
  readonly isCast?: true;
}

export type CastContext = 'implicit' | 'assignment' | 'explicit';

/** A cast between two types, as a function; I/O conversion where there is no special one. */
export interface Cast {
  readonly from: number;
  readonly to: number;
  readonly context: CastContext;
  readonly volatility: Volatility;
  readonly async: boolean;
  readonly call: (
    value: Datum,
    typmod: number,
    context: EvalContext,
    explicit: boolean,
  ) => Datum | Promise<Datum>;
}
