/**
 * What binding one statement shares: column ids, parameter types, prefetched relations. Everything
 * asynchronous (catalog look-ups, parsing of views, defaults and predicates) was done before by `prefetch`, so
 * binding itself is synchronous.
 */
import { type Node, type SelectStmt } from '@pgsql/types';
import { must } from '../../../util/index.ts';
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Relation } from '../../catalog/types.ts';
import { sqlError, type SqlFailure, type sqlStates } from '../../errors.ts';
import { type EvalContext } from '../../functions/registry-types.ts';
import { typeOps } from '../../types/index.ts';
import { columnExpr, type ColumnId, type Expr, unknownOid } from '../expr.ts';
import {
  type AggregateCall,
  type Rel,
  type SetCall,
  type SortKey,
  type WindowCall,
  type WindowFrame,
} from '../logical.ts';

export interface ColumnInfo {
  readonly name: string;
  readonly type: number;
  readonly typmod: number;
  /** "t.a" for messages. */
  readonly qualified: string;
}

/** What was looked up before binding. */
export interface Prefetched {
  /** By `relationKey`. */
  readonly relations: ReadonlyMap<string, Relation>;
  /** Parsed queries of views, by descriptor id. */
  readonly views: ReadonlyMap<number, Node>;
  /** Parsed defaults of the tables that the statement writes: by table id, then column position. */
  readonly defaults: ReadonlyMap<number, ReadonlyMap<number, Node>>;
  /** Parsed predicates of their partial unique indexes: by table id, then index id. */
  readonly predicates: ReadonlyMap<number, ReadonlyMap<number, Node>>;
}

export function relationKey(schema: string | undefined, name: string): string {
  return `${schema ?? ''}\u0000${name}`;
}

/** How deep expressions and queries may nest. */
export const maxDepth = 600;

export class Binder {
  readonly parts: BinderParts;
  readonly eval: EvalContext;
  readonly prefetched: Prefetched;
  /** Mutable: 0 until known. */
  readonly parameterTypes: number[];
  readonly columns = new Map<ColumnId, ColumnInfo>();
  /** CTEs in the order of their definition; `used` counts references. */
  #nextColumn = 1;
  #nextCte = 1;
  #depth = 0;

  constructor(
    parts: BinderParts,
    evalContext: EvalContext,
    prefetched: Prefetched,
    parameterTypes: readonly number[],
  ) {
    this.parts = parts;
    this.eval = evalContext;
    this.prefetched = prefetched;
    this.parameterTypes = [...parameterTypes];
  }

  newColumn(info: {
    readonly name: string;
    readonly type: number;
    readonly typmod?: number;
    readonly qualified?: string;
  }): ColumnId {
    const id = this.#nextColumn++;
    this.columns.set(id, {
      name: info.name,
      type: info.type,
      typmod: info.typmod ?? -1,
      qualified: info.qualified ?? info.name,
    });
    return id;
  }

  info(id: ColumnId): ColumnInfo {
    return must(this.columns.get(id), 'every column id is registered');
  }

  reference(id: ColumnId): Expr {
    const { type, typmod } = this.info(id);
    return columnExpr(id, type, typmod);
  }

  newCte(): number {
    return this.#nextCte++;
  }

  /** Guards recursion: PostgreSQL's stack depth check. */
  deeper<T>(body: () => T): T {
    if (++this.#depth > maxDepth) {
      this.#depth = 0;
      throw sqlError('statementTooComplex', 'stack depth limit exceeded');
    }
    const result = body();
    this.#depth--;
    return result;
  }

  parameterType(index: number): number {
    while (this.parameterTypes.length <= index) this.parameterTypes.push(0);
    const type = this.parameterTypes[index] ?? 0;
    return type === 0 ? unknownOid : type;
  }
}

export interface ScopeColumn {
  readonly name: string;
  readonly id: ColumnId;
  readonly tableOid: number;
  readonly columnNumber: number;
  /** False: only reachable with a qualifier, and not part of `*` (hidden columns, merged USING columns). */
  readonly inStar: boolean;
}

/** One FROM item with a name. */
export interface ScopeRelation {
  readonly name: string;
  readonly schema: string | undefined;
  readonly columns: readonly ScopeColumn[];
  readonly table: TableDescriptor | undefined;
  /** A function in FROM that returns one scalar column: its name stands for the value. */
  readonly scalarFunction: boolean;
  /** Has no rows of tables that could be locked under its name. */
  readonly unlockable?: 'WITH query' | 'function';
  /** The rows that a recursive query made last: they are not all. */
  readonly isWork?: boolean;
  /** A view or subquery that locks the rows it is made of. */
  readonly locksWithin?: boolean;
  /** What a join with a name of its own is made of. */
  readonly parts?: readonly ScopeRelation[];
  /** An outer join makes rows without it. */
  readonly padded?: boolean;
}

export interface CteEntry {
  readonly name: string;
  readonly id: number;
  /** Hidden ones are reached by a qualified name alone. */
  readonly columns: readonly {
    readonly name: string;
    readonly id: ColumnId;
    readonly hidden?: boolean;
  }[];
  /** The working table, while the recursive term is being bound. */
  readonly isWork: boolean;
  /** A data-modifying statement without RETURNING cannot be read. */
  readonly readable: boolean;
}

/** Aggregates, windows and set-returning calls met while binding the expressions of one SELECT. */
export interface QueryLevel {
  readonly aggregates: AggregateCall[];
  readonly windows: {
    partitionBy: readonly Expr[];
    orderBy: readonly SortKey[];
    frame: WindowFrame;
    calls: WindowCall[];
  }[];
  readonly setCalls: SetCall[];
  readonly grouping: { id: ColumnId; args: readonly Expr[] }[];
  readonly namedWindows: Map<string, import('@pgsql/types').WindowDef>;
}

export function newLevel(): QueryLevel {
  return { aggregates: [], windows: [], setCalls: [], grouping: [], namedWindows: new Map() };
}

/** The names an expression may use. `parent` is the enclosing query's scope. */
export interface Scope {
  readonly parent: Scope | undefined;
  readonly relations: readonly ScopeRelation[];
  /** Unqualified names, in the order of `*`. */
  readonly columns: readonly ScopeColumn[];
  readonly ctes: ReadonlyMap<string, CteEntry>;
  readonly level: QueryLevel | undefined;
  /** FOR UPDATE | SHARE of the query whose FROM is being bound. */
  readonly locking?: readonly Node[] | undefined;
}

export const emptyCtes: ReadonlyMap<string, CteEntry> = new Map();

export function childScope(parent: Scope | undefined): Scope {
  return {
    parent,
    relations: [],
    columns: [],
    ctes: parent?.ctes ?? emptyCtes,
    level: undefined,
  };
}

/** A set of FROM items being assembled: what a scope's names are made of. */
export interface Names {
  readonly relations: readonly ScopeRelation[];
  readonly columns: readonly ScopeColumn[];
}

export const noNames: Names = { relations: [], columns: [] };

/** libpg-query counts bytes from 0 and leaves 0 and unknown out. */
export function positionOf(location: number | undefined): number | undefined {
  return location === undefined || location < 0 ? undefined : location + 1;
}

export function failAt(
  state: keyof typeof sqlStates,
  message: string,
  location?: number,
  more: { readonly detail?: string; readonly hint?: string } = {},
): SqlFailure {
  return sqlError(state, message, { ...more, position: positionOf(location) });
}

export function typeName(oid: number): string {
  return typeOps(oid).type.displayName;
}

/** What a bound query offers to whoever uses it. */
export interface OutputColumn {
  readonly id: ColumnId;
  readonly name: string;
  readonly tableOid: number;
  readonly columnNumber: number;
}

/** Where an expression stands: what it may contain, and how errors call the place. */
export interface ExprContext {
  readonly binder: Binder;
  readonly scope: Scope;
  /** "WHERE", "JOIN conditions", "HAVING" ... */
  readonly clause: string;
  readonly level: QueryLevel | undefined;
  readonly allow: {
    readonly aggregates: boolean;
    readonly windows: boolean;
    readonly sets: boolean;
  };
  readonly insideAggregate?: boolean;
}

export const nothingAllowed = { aggregates: false, windows: false, sets: false };

/** Of no query level: without aggregates, window functions and functions that return sets. */
export function plainContext(binder: Binder, scope: Scope, clause: string): ExprContext {
  return { binder, scope, clause, level: undefined, allow: nothingAllowed };
}

export interface BoundQuery {
  readonly rel: Rel;
  readonly columns: readonly OutputColumn[];
}

/** What the caller will do with the columns: literals of unknown type are coerced to it. */
export interface ExpectedColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
}

/** The mutually recursive parts of the binder, put together in index.ts. */
export interface BinderParts {
  node(c: ExprContext, node: Node): Expr;
  query(
    binder: Binder,
    stmt: SelectStmt,
    parent: Scope | undefined,
    expected: readonly ExpectedColumn[] | undefined,
  ): BoundQuery;
  dml(binder: Binder, node: Node, parent: Scope | undefined, upsert: boolean): BoundQuery;
}
