/**
 * Row programs as plain data. The part that is the same for every execution (table, filter, output)
 * stands apart from the parameter values, so that the receiver can cache the compiled form.
 *
 *     u32 length, JSON of StaticProgram, then the parameters as RowBytes
 */
import { must } from '../../../util/index.ts';
import { type IndexDescriptor, type TableDescriptor } from '../../catalog/descriptors.ts';
import { findCast, functionsByName } from '../../functions/index.ts';
import { type AggregateFunction } from '../../functions/registry-types.ts';
import { type ColumnId, type Expr } from '../../plan/expr.ts';
import { type Datum, typeOps } from '../../types/index.ts';

/** An expression in JSON: its kind, type and modifier first. */
export type Wire = readonly unknown[];

export interface WireAggregate {
  readonly name: string;
  readonly oid: number;
  readonly types: readonly number[];
  readonly args: readonly Wire[];
  readonly filter: Wire | undefined;
}

export interface StaticProgram {
  readonly table: TableDescriptor;
  readonly indexId: number;
  /** Table positions that the expressions and the output need. */
  readonly decode: readonly number[];
  readonly parameterTypes: readonly number[];
  readonly filter: readonly Wire[];
  readonly output:
    | { readonly kind: 'pairs' }
    | { readonly kind: 'columns'; readonly positions: readonly number[] }
    | {
        readonly kind: 'aggregate';
        readonly groups: readonly { readonly type: number; readonly expr: Wire }[];
        readonly aggregates: readonly WireAggregate[];
      };
}

/** What travels of a table: enough for its codec to decode one index. */
export function tableEssentials(table: TableDescriptor, index: IndexDescriptor): TableDescriptor {
  const { kind, id, version, databaseId, schemaId, primaryIndex } = table;
  const isPrimary = index.id === primaryIndex.id;
  return {
    kind,
    id,
    version,
    databaseId,
    schemaId,
    name: '',
    owner: '',
    columns: table.columns.map((column) => ({
      id: column.id,
      name: '',
      typeOid: column.typeOid,
      typmod: column.typmod,
      nullable: column.nullable,
      state: column.state,
      ...(column.missingText === undefined ? {} : { missingText: column.missingText }),
    })),
    primaryIndex,
    indexes: isPrimary ? [] : [index],
    checks: [],
    foreignKeys: [],
    referencedBy: [],
    nextColumnId: table.nextColumnId,
    nextIndexId: table.nextIndexId,
    state: 'public',
  };
}

/** Turns expressions into wire form; what is fixed for the scan becomes a parameter. */
export class WireWriter {
  /** Evaluated when the scan starts, in this order. */
  readonly parameters: Expr[] = [];
  readonly used = new Set<number>();
  readonly #positions: ReadonlyMap<ColumnId, number>;

  constructor(positions: ReadonlyMap<ColumnId, number>) {
    this.#positions = positions;
  }

  write(expr: Expr): Wire {
    const head = (kind: string): [string, number, number] => [kind, expr.type, expr.typmod];
    const list = (exprs: readonly Expr[]): Wire[] => exprs.map((item) => this.write(item));
    switch (expr.kind) {
      case 'const':
        return [...head('const'), wireDatum(expr.value, expr.type)];
      case 'param':
        return [...head('param'), this.#parameter(expr)];
      case 'column': {
        const position = this.#positions.get(expr.id);
        if (position === undefined) return [...head('param'), this.#parameter(expr)];
        this.used.add(position);
        return [...head('column'), position];
      }
      case 'call':
        return [...head('call'), expr.fn.name, expr.fn.oid, expr.callTypes, list(expr.args)];
      case 'cast': {
        const { cast } = expr;
        const pair = cast === undefined ? null : [cast.from, cast.to];
        return [...head('cast'), pair, expr.explicit, this.write(expr.arg)];
      }
      case 'and':
      case 'or':
      case 'coalesce':
        return [...head(expr.kind), list(expr.args)];
      case 'minmax':
        return [...head('minmax'), expr.greatest, list(expr.args)];
      case 'not':
        return [...head('not'), this.write(expr.arg)];
      case 'is-null':
        return [...head('is-null'), expr.negated, this.write(expr.arg)];
      case 'bool-test':
        return [...head('bool-test'), expr.test, expr.negated, this.write(expr.arg)];
      case 'case':
        return [
          ...head('case'),
          list(expr.whens.flatMap(({ when, result }) => [when, result])),
          this.write(expr.otherwise),
        ];
      case 'nullif':
        return [...head('nullif'), this.write(expr.arg), this.write(expr.equal)];
      case 'distinct-from':
        return [...head('distinct-from'), expr.negated, this.write(must(expr.equal))];
      case 'in-list':
        return [...head('in-list'), expr.negated, this.write(expr.arg), list(expr.items)];
      case 'array-compare':
        return [
          ...head('array-compare'),
          expr.fn.name,
          expr.fn.oid,
          expr.callTypes,
          expr.all,
          this.write(expr.left),
          this.write(expr.right),
        ];
      default:
        throw new Error(`${expr.kind} cannot travel`);
    }
  }

  #parameter(expr: Expr): number {
    this.parameters.push(expr);
    return this.parameters.length - 1;
  }
}

function wireDatum(value: Datum, type: number): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isInteger(value) && !Object.is(value, -0)) return value;
  return { b: typeOps(type).encodeBinary(value).toString('base64') };
}

function datumOf(wire: unknown, type: number): Datum {
  if (wire === null || typeof wire === 'boolean' || typeof wire === 'number') return wire;
  const { b } = wire as { readonly b: string };
  return typeOps(type).decodeBinary(Buffer.from(b, 'base64'), -1);
}

/** The expression again; columns get their table position as id. */
export function readWire(wire: Wire): Expr {
  // The shape was written by WireWriter of a node of this cluster; a mismatch fails in the look-ups below.
  const [kind, type, typmod, ...rest] = wire as [string, number, number, ...unknown[]];
  const base = { type, typmod };
  const sub = (i: number): Expr => readWire(rest[i] as Wire);
  const list = (i: number): Expr[] => (rest[i] as Wire[]).map(readWire);
  switch (kind) {
    case 'const':
      return { kind, ...base, value: datumOf(rest[0], type) };
    case 'param':
      return { kind, ...base, index: rest[0] as number, position: undefined };
    case 'column':
      return { kind, ...base, id: rest[0] as number };
    case 'call': {
      const [name, oid, callTypes] = rest as [string, number, number[]];
      return { kind, ...base, fn: scalarByOid(name, oid), callTypes, args: list(3) };
    }
    case 'cast': {
      const pair = rest[0] as [number, number] | null;
      const cast =
        pair === null ? undefined : must(findCast(pair[0], pair[1], 'explicit'), 'no such cast');
      return { kind, ...base, cast, explicit: rest[1] as boolean, arg: sub(2) };
    }
    case 'and':
    case 'or':
    case 'coalesce':
      return { kind, ...base, args: list(0) };
    case 'minmax':
      return { kind, ...base, greatest: rest[0] as boolean, args: list(1) };
    case 'not':
      return { kind, ...base, arg: sub(0) };
    case 'is-null':
      return { kind, ...base, negated: rest[0] as boolean, arg: sub(1) };
    case 'bool-test':
      return { kind, ...base, test: rest[0] as 'true', negated: rest[1] as boolean, arg: sub(2) };
    case 'case': {
      const parts = list(0);
      const whens: { when: Expr; result: Expr }[] = [];
      for (let i = 0; i < parts.length; i += 2)
        whens.push({ when: must(parts[i]), result: must(parts[i + 1]) });
      return { kind, ...base, operand: undefined, whens, otherwise: sub(1) };
    }
    case 'nullif':
      return { kind, ...base, arg: sub(0), equal: sub(1) };
    case 'distinct-from': {
      const equal = sub(1);
      if (equal.kind !== 'call') throw new RangeError('distinct-from needs a call');
      return {
        kind,
        ...base,
        negated: rest[0] as boolean,
        equal,
        left: must(equal.args[0]),
        right: must(equal.args[1]),
      };
    }
    case 'in-list':
      return { kind, ...base, negated: rest[0] as boolean, arg: sub(1), items: list(2) };
    case 'array-compare': {
      const [name, oid, callTypes, all] = rest as [string, number, number[], boolean];
      return {
        kind,
        ...base,
        fn: scalarByOid(name, oid),
        callTypes,
        all,
        left: sub(4),
        right: sub(5),
      };
    }
    default:
      throw new RangeError(`unknown expression ${kind} in a row program`);
  }
}

function scalarByOid(name: string, oid: number): Extract<Expr, { kind: 'call' }>['fn'] {
  const fn = functionsByName(name).find((candidate) => candidate.oid === oid);
  if (fn?.kind !== 'scalar') throw new RangeError(`no function ${name} (${oid})`);
  return fn;
}

export function aggregateByOid(name: string, oid: number): AggregateFunction {
  const fn = functionsByName(name).find((candidate) => candidate.oid === oid);
  if (fn?.kind !== 'aggregate') throw new RangeError(`no aggregate ${name} (${oid})`);
  return fn;
}
