/**
 * How functions are written down: a signature in SQL words and the code.
 *
 *     scalar('left(text, int4) text', (a) => ...)
 *     scalar('concat(..."any") text', (a, context, types) => ..., { strict: false })
 *
 * `...` marks the repeated last argument. Everything is strict and immutable unless an option says otherwise.
 */
import { must } from '../../util/index.ts';
import { type Datum, typeByName, typeOf } from '../types/index.ts';
import { procOids } from './proc-oids.ts';
import {
  type AggregateFunction,
  type AggregateState,
  type EvalContext,
  type PartialAggregate,
  type ScalarFunction,
  type SetFunction,
  type Volatility,
  type WindowFunction,
  type WindowFrameView,
} from './registry-types.ts';

export type Args = readonly Datum[];
export type Types = readonly number[];

interface Signature {
  readonly name: string;
  readonly oid: number;
  readonly args: readonly number[];
  readonly variadic: boolean;
  readonly result: number;
}

const firstOwnOid = 90_000;
const ownOidRange = 2 ** 30;

/** A stable number for what PostgreSQL does not have: a hash (FNV-1a) of the signature. */
function ownOid(key: string): number {
  let hash = 2166136261;
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 16777619) >>> 0;
  }
  return firstOwnOid + (hash % ownOidRange);
}

function parseSignature(text: string): Signature {
  const match = must(
    /^(\S+?)\((.*)\)(?: (.+))?$/.exec(text) ?? undefined,
    `signature ${text} is malformed`,
  );
  const [, name = '', list = '', result = 'void'] = match;
  let variadic = false;
  const args = list
    .split(/,\s*/)
    .filter((word) => word !== '')
    .map((word) => {
      if (word.startsWith('...')) variadic = true;
      return oidOf(word.replace(/^\.\.\./, ''), text);
    });
  const names = args.map((oid) => typeOf(oid).name);
  const last = names.pop();
  if (last !== undefined) names.push(variadic ? `...${last}` : last);
  const key = `${name}(${names.join(',')})`;
  return {
    name,
    oid: procOids[key] ?? ownOid(key),
    args,
    variadic,
    result: oidOf(result, text),
  };
}

function oidOf(word: string, signature: string): number {
  return must(typeByName(word), `${signature}: no type ${word}`).oid;
}

export interface ScalarOptions {
  readonly strict?: boolean;
  readonly volatility?: Volatility;
  readonly async?: boolean;
  /** Names of the arguments, for calls with `name => value`. */
  readonly argNames?: readonly string[];
}

export function scalar(
  signature: string,
  call: ScalarFunction['call'],
  options: ScalarOptions = {},
): ScalarFunction {
  return {
    kind: 'scalar',
    ...parseSignature(signature),
    volatility: options.volatility ?? 'immutable',
    strict: options.strict ?? true,
    async: options.async ?? false,
    call,
    ...(options.argNames === undefined ? {} : { argNames: options.argNames }),
  };
}

/** Like `scalar`, for what depends on the session or the statement's time. */
export function stable(
  signature: string,
  call: ScalarFunction['call'],
  options: ScalarOptions = {},
): ScalarFunction {
  return scalar(signature, call, { volatility: 'stable', ...options });
}

export function volatile(
  signature: string,
  call: ScalarFunction['call'],
  options: ScalarOptions = {},
): ScalarFunction {
  return scalar(signature, call, { volatility: 'volatile', ...options });
}

export interface SetOptions {
  readonly columns?: readonly (readonly [name: string, type: string])[];
  readonly volatility?: Volatility;
}

/** A set-returning function. Null arguments give no rows without a call. */
export function setFunction(
  signature: string,
  call: SetFunction['call'],
  options: SetOptions = {},
): SetFunction {
  const parsed = parseSignature(signature);
  const columns = (options.columns ?? []).map(([name, type]) => ({
    name,
    type: oidOf(type, signature),
  }));
  return {
    kind: 'set',
    ...parsed,
    columns: columns.length > 0 ? columns : [{ name: parsed.name, type: parsed.result }],
    volatility: options.volatility ?? 'immutable',
    call: (args, context, types) => (args.includes(null) ? [] : call(args, context, types)),
  };
}

export interface AggregateOptions {
  /** Rows with a null argument are fed too. */
  readonly nulls?: boolean;
  readonly directArgs?: number;
  readonly partial?: PartialAggregate;
}

export function aggregate(
  signature: string,
  create: (types: Types, context: EvalContext) => AggregateState,
  options: AggregateOptions = {},
): AggregateFunction {
  return {
    kind: 'aggregate',
    ...parseSignature(signature),
    strict: options.nulls !== true,
    directArgs: options.directArgs ?? 0,
    create,
    partial: options.partial,
  };
}

export function windowFunction(
  signature: string,
  call: (frame: WindowFrameView, types: Types) => Datum,
): WindowFunction {
  return { kind: 'window', ...parseSignature(signature), call };
}
