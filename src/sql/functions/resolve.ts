/**
 * Which function or operator a call means (PostgreSQL chapter 10.2, 10.3, 10.5): exact match, then candidates
 * reachable by implicit casts, ranked by exact matches, preferred types and the category of unknown literals.
 */
import { sqlError } from '../errors.ts';
import { arrayTypeOf, formatType, isArrayType, oids, typeByName, typeOf } from '../types/index.ts';
import { canCoerceImplicitly, findCast } from './casts.ts';
import { derived } from './derived.ts';
import { functionsByName } from './registry.ts';
import { type ResolvedCall, type ScalarFunction, type SqlFunction } from './registry-types.ts';
import { expandVariadicArray } from './variadic.ts';

export interface ResolveOptions {
  readonly schema?: string | undefined;
  /** count(*). */
  readonly star?: boolean | undefined;
  /** The last argument was written with VARIADIC. */
  readonly variadicArray?: boolean | undefined;
  /** Names of the last arguments, written `name => value`. */
  readonly argNames?: readonly string[] | undefined;
}

interface Candidate {
  readonly fn: SqlFunction;
  /** Declared types, as many as the call has arguments. */
  readonly args: readonly number[];
}

const maxArguments = 100;

/** Its functions stand in the registry under their qualified names: nobody finds them without. */
const internalSchema = 'skein_internal';
const schemaAliases: ReadonlyMap<string, string> = new Map([
  ['crdb_internal', internalSchema],
  ['kwdb_internal', internalSchema],
]);

/** Throws 42883 (none), 42725 (ambiguous), 42804 (polymorphic arguments disagree). */
export function resolveFunction(
  name: string,
  argTypes: readonly number[],
  options: ResolveOptions = {},
): ResolvedCall {
  if (argTypes.length > maxArguments) {
    throw sqlError(
      'programLimitExceeded',
      `cannot pass more than ${maxArguments} arguments to a function`,
    );
  }
  const schema = schemaAliases.get(options.schema ?? '') ?? options.schema;
  if (schema === internalSchema) {
    return resolveFunction(`${internalSchema}.${name}`, argTypes, {
      ...options,
      schema: undefined,
    });
  }
  if (schema !== undefined && schema !== 'pg_catalog' && schema !== 'information_schema') {
    throw notFound(`${schema}.${name}`, argTypes);
  }
  if (options.variadicArray === true) return expandVariadicArray(name, argTypes, resolveFunction);
  if (options.argNames !== undefined && options.argNames.length > 0) {
    return resolveNamed(name, argTypes, options.argNames);
  }
  const candidates = candidatesFor(functionsByName(name), argTypes.length);
  const exact = candidates.find(({ args }) => sameTypes(args, argTypes));
  if (exact !== undefined) return finish(exact, argTypes);
  const first = argTypes[0];
  if (argTypes.length === 1 && first !== undefined) {
    const cast = castCall(name, first);
    if (cast !== undefined) return cast;
  }
  const chosen = choose(candidates, argTypes);
  if (chosen === 'ambiguous') {
    throw sqlError('ambiguousFunction', `function ${callText(name, argTypes)} is not unique`, {
      hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    });
  }
  if (chosen === undefined) throw notFound(name, argTypes);
  return finish(chosen, argTypes);
}

function notFound(name: string, argTypes: readonly number[]): Error {
  return sqlError('undefinedFunction', `function ${callText(name, argTypes)} does not exist`, {
    hint: 'No function matches the given name and argument types. You might need to add explicit type casts.',
  });
}

function callText(name: string, argTypes: readonly number[]): string {
  return `${name}(${argTypes.map((oid) => formatType(oid)).join(', ')})`;
}

/** Reorders `f(b => 1, a => 2)`; arguments left out must be the last ones of a shorter overload. */
function resolveNamed(
  name: string,
  argTypes: readonly number[],
  argNames: readonly string[],
): ResolvedCall {
  const positional = argTypes.length - argNames.length;
  for (const fn of functionsByName(name)) {
    if (fn.kind !== 'scalar' || fn.argNames === undefined) continue;
    const names = fn.argNames;
    const order = [
      ...Array.from({ length: positional }, (_, i) => i),
      ...argNames.map((word) => names.indexOf(word)),
    ];
    const fits =
      new Set(order).size === order.length &&
      order.every((i) => i >= 0 && i < fn.args.length) &&
      order.every((i, j) => canCoerceImplicitly(argTypes[j] ?? 0, fn.args[i] ?? 0));
    if (!fits) continue;
    return {
      fn: derived(fn, order.join(), () => reordered(fn, order)),
      argTypes: order.map((i) => fn.args[i] ?? 0),
      resultType: fn.result,
    };
  }
  throw notFound(name, argTypes);
}

/** `order[j]` is the position of argument j; positions not named get null (their default). */
function reordered(fn: ScalarFunction, order: readonly number[]): ScalarFunction {
  return {
    ...fn,
    oid: 0,
    args: order.map((i) => fn.args[i] ?? 0),
    strict: false,
    call(args, context, types) {
      if (fn.strict && args.includes(null)) return null;
      const full = fn.args.map((_, i) => {
        const at = order.indexOf(i);
        return at < 0 ? null : (args[at] ?? null);
      });
      return fn.call(full, context, types);
    },
  };
}

/** `int4(x)` and friends: a type name called like a function is a cast. */
function castCall(name: string, from: number): ResolvedCall | undefined {
  const type = typeByName(name === 'char' ? '"char"' : name);
  if (type === undefined || name.includes('[') || type.category === 'P') return undefined;
  // I/O conversions only from unknown literals and to strings, as in PostgreSQL.
  const cast = findCast(from, type.oid, 'explicit');
  if (cast === undefined) return undefined;
  const fn: ScalarFunction = {
    kind: 'scalar',
    name,
    oid: 0,
    args: [from],
    variadic: false,
    result: type.oid,
    volatility: cast.volatility,
    strict: true,
    async: cast.async,
    call: (args, context) => cast.call(args[0] ?? null, -1, context, true),
  };
  return { fn, argTypes: [from], resultType: type.oid, isCast: true };
}

/** `left` is undefined for prefix operators. Throws 42883, 42725, 42804. */
export function resolveOperator(
  name: string,
  left: number | undefined,
  right: number,
): ResolvedCall {
  const op = name === '!=' ? '<>' : name;
  const argTypes = left === undefined ? [right] : [left, right];
  const candidates = candidatesFor(functionsByName(op), argTypes.length);
  // One unknown side is first taken to be of the other side's type.
  const known = argTypes.find((oid) => oid !== oids.unknown);
  const assumed = argTypes.map((oid) => (oid === oids.unknown ? (known ?? oid) : oid));
  const exact = candidates.find(({ args }) => sameTypes(args, assumed));
  if (exact !== undefined) return finish(exact, assumed);
  const chosen = choose(candidates, argTypes);
  if (chosen === 'ambiguous') {
    throw sqlError('ambiguousFunction', `operator is not unique: ${operatorText(name, argTypes)}`, {
      hint: 'Could not choose a best candidate operator. You might need to add explicit type casts.',
    });
  }
  if (chosen === undefined) {
    throw sqlError(
      'undefinedFunction',
      `operator does not exist: ${operatorText(name, argTypes)}`,
      {
        hint:
          left === undefined
            ? 'No operator matches the given name and argument type. You might need to add an explicit type cast.'
            : 'No operator matches the given name and argument types. You might need to add explicit type casts.',
      },
    );
  }
  return finish(chosen, argTypes);
}

function operatorText(name: string, argTypes: readonly number[]): string {
  const [first, second] = argTypes;
  return second === undefined
    ? `${name} ${formatType(first ?? 0)}`
    : `${formatType(first ?? 0)} ${name} ${formatType(second)}`;
}

function candidatesFor(functions: readonly SqlFunction[], count: number): Candidate[] {
  const out: Candidate[] = [];
  for (const fn of functions) {
    if (!fn.variadic) {
      if (fn.args.length === count) out.push({ fn, args: fn.args });
    } else if (count >= fn.args.length) {
      const last = fn.args.at(-1) ?? oids.any;
      const extra = Array.from({ length: count - fn.args.length }, () => last);
      out.push({ fn, args: [...fn.args, ...extra] });
    }
  }
  return out;
}

function sameTypes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((oid, i) => oid === b[i]);
}

// ------------------------------------------------------------------------------ choosing one

function choose(
  all: readonly Candidate[],
  argTypes: readonly number[],
): Candidate | 'ambiguous' | undefined {
  let candidates = all.filter(({ args }) => callable(args, argTypes));
  // A variadic function loses against one that needs no expansion.
  if (candidates.some(({ fn }) => !fn.variadic)) {
    candidates = candidates.filter(({ fn }) => !fn.variadic);
  }
  if (candidates.length <= 1) return candidates[0];
  candidates = best(candidates, ({ args }) => countWhere(args, (oid, i) => oid === argTypes[i]));
  if (candidates.length === 1) return candidates[0];
  candidates = best(candidates, ({ args }) =>
    countWhere(args, (oid, i) => {
      const given = argTypes[i] ?? 0;
      if (given === oids.unknown) return false;
      return oid === given || isPreferredIn(oid, given);
    }),
  );
  if (candidates.length === 1) return candidates[0];
  if (!argTypes.includes(oids.unknown)) return 'ambiguous';
  candidates = byUnknownCategory(candidates, argTypes);
  if (candidates.length === 1) return candidates[0];
  const known = new Set(argTypes.filter((oid) => oid !== oids.unknown));
  const [only] = known;
  if (known.size === 1 && only !== undefined) {
    const assumed = argTypes.map(() => only);
    const fitting = candidates.filter(({ args }) => callable(args, assumed));
    if (fitting.length === 1) return fitting[0];
  }
  return 'ambiguous';
}

function countWhere(args: readonly number[], test: (oid: number, i: number) => boolean): number {
  let count = 0;
  args.forEach((oid, i) => {
    if (test(oid, i)) count++;
  });
  return count;
}

function isPreferredIn(oid: number, given: number): boolean {
  const type = typeOf(oid);
  return type.preferred && type.category === typeOf(given).category;
}

function best(candidates: readonly Candidate[], score: (c: Candidate) => number): Candidate[] {
  const scores = candidates.map(score);
  const top = Math.max(...scores);
  return candidates.filter((_, i) => scores[i] === top);
}

function byUnknownCategory(
  candidates: readonly Candidate[],
  argTypes: readonly number[],
): Candidate[] {
  const slots: { index: number; category: string; preferred: boolean }[] = [];
  for (const [index, given] of argTypes.entries()) {
    if (given !== oids.unknown) continue;
    let category: string | undefined;
    let preferred = false;
    let conflict = false;
    for (const { args } of candidates) {
      const type = typeOf(args[index] ?? oids.any);
      if (category === undefined || (type.category === 'S' && category !== 'S')) {
        category = type.category;
        preferred = type.preferred;
      } else if (type.category === category) preferred ||= type.preferred;
      else conflict = true;
    }
    if (category === undefined || (conflict && category !== 'S')) return [...candidates];
    slots.push({ index, category, preferred });
  }
  const kept = candidates.filter(({ args }) =>
    slots.every(({ index, category, preferred }) => {
      const type = typeOf(args[index] ?? oids.any);
      return type.category === category && (!preferred || type.preferred);
    }),
  );
  return kept.length > 0 ? kept : [...candidates];
}

// ------------------------------------------------------------------------------ polymorphism

const elementLike = new Set<number>([oids.anyelement, oids.anynonarray]);
const compatibleLike = new Set<number>([oids.anycompatible, oids.anycompatiblenonarray]);

export function isPolymorphic(oid: number): boolean {
  return (
    elementLike.has(oid) ||
    compatibleLike.has(oid) ||
    oid === oids.anyarray ||
    oid === oids.anycompatiblearray
  );
}

function callable(args: readonly number[], argTypes: readonly number[]): boolean {
  for (const [i, declared] of args.entries()) {
    const given = argTypes[i] ?? 0;
    if (given === declared || declared === oids.any || isPolymorphic(declared)) continue;
    if (given === oids.unknown) continue;
    if (!canCoerceImplicitly(given, declared)) return false;
  }
  return !args.some(isPolymorphic) || bindPolymorphic(args, argTypes) !== undefined;
}

interface Binding {
  /** For anyelement, anyarray. 0 = not determined (all unknown). */
  readonly element: number;
  /** For the anycompatible family. */
  readonly compatible: number;
}

function elementOf(arrayOid: number): number | undefined {
  if (isArrayType(arrayOid)) return typeOf(arrayOid).elementOid;
  if (arrayOid === oids.int2vector) return oids.int2;
  if (arrayOid === oids.oidvector) return oids.oid;
  return undefined;
}

/** Undefined when the arguments cannot agree. */
function bindPolymorphic(
  args: readonly number[],
  argTypes: readonly number[],
): Binding | undefined {
  let element = 0;
  const compatible: number[] = [];
  for (const [i, declared] of args.entries()) {
    const given = argTypes[i] ?? 0;
    if (given === oids.unknown || !isPolymorphic(declared)) continue;
    const wantsArray = declared === oids.anyarray || declared === oids.anycompatiblearray;
    const type = wantsArray ? elementOf(given) : given;
    if (type === undefined) return undefined;
    if (
      (declared === oids.anynonarray || declared === oids.anycompatiblenonarray) &&
      isArrayType(given)
    ) {
      return undefined;
    }
    if (elementLike.has(declared) || declared === oids.anyarray) {
      if (element !== 0 && element !== type) return undefined;
      element = type;
    } else compatible.push(type);
  }
  if (compatible.length === 0) {
    // All unknown: anycompatible becomes text.
    const wanted = args.some((oid) => compatibleLike.has(oid) || oid === oids.anycompatiblearray);
    return { element, compatible: wanted ? oids.text : 0 };
  }
  const common = tryCommonType(compatible);
  if (common === undefined) return undefined;
  return { element, compatible: common };
}

function substitute(declared: number, binding: Binding, given: number): number {
  if (elementLike.has(declared)) return binding.element;
  if (compatibleLike.has(declared)) return binding.compatible;
  if (declared === oids.anyarray) {
    return elementOf(given) !== undefined && !isArrayType(given) ? given : arrayOf(binding.element);
  }
  if (declared === oids.anycompatiblearray) return arrayOf(binding.compatible);
  return declared;
}

function arrayOf(element: number): number {
  const array = isArrayType(element) ? undefined : arrayTypeOf(element);
  if (array === undefined) {
    throw sqlError(
      'undefinedObject',
      `could not find array type for data type ${formatType(element)}`,
    );
  }
  return array;
}

function finish({ fn, args }: Candidate, argTypes: readonly number[]): ResolvedCall {
  if (!args.some(isPolymorphic) && !isPolymorphic(fn.result)) {
    const actual = args.map((oid, i) => (oid === oids.any ? (argTypes[i] ?? oid) : oid));
    return { fn, argTypes: actual, resultType: fn.result };
  }
  const binding = bindPolymorphic(args, argTypes);
  if (binding === undefined) {
    throw sqlError('datatypeMismatch', 'arguments declared polymorphic are not alike');
  }
  const needsElement = args.some((oid) => elementLike.has(oid) || oid === oids.anyarray);
  if (needsElement && binding.element === 0) {
    throw sqlError(
      'datatypeMismatch',
      'could not determine polymorphic type because input has type unknown',
    );
  }
  return {
    fn,
    argTypes: args.map((oid, i) =>
      oid === oids.any ? (argTypes[i] ?? oid) : substitute(oid, binding, argTypes[i] ?? 0),
    ),
    resultType: substitute(fn.result, binding, 0),
  };
}

// ------------------------------------------------------------------------------ common type

function tryCommonType(types: readonly number[]): number | undefined {
  let chosen = oids.unknown as number;
  for (const oid of types) {
    if (oid === oids.unknown || oid === chosen) continue;
    if (chosen === oids.unknown) {
      chosen = oid;
      continue;
    }
    const current = typeOf(chosen);
    if (typeOf(oid).category !== current.category) return undefined;
    if (
      !current.preferred &&
      canCoerceImplicitly(chosen, oid) &&
      !canCoerceImplicitly(oid, chosen)
    ) {
      chosen = oid;
    }
  }
  return chosen === oids.unknown ? oids.text : chosen;
}

/**
 * The type UNION, CASE, ARRAY, VALUES, COALESCE, GREATEST and LEAST give their inputs (10.5). `construct` names it
 * in the error. Throws 42804.
 */
export function commonType(types: readonly number[], construct = 'UNION'): number {
  const common = tryCommonType(types);
  if (common !== undefined) {
    const misfit = types.find((oid) => oid !== oids.unknown && !canCoerceImplicitly(oid, common));
    if (misfit === undefined) return common;
    throw sqlError(
      'cannotCoerce',
      `${construct} could not convert type ${formatType(misfit)} to ${formatType(common)}`,
    );
  }
  const known = types.filter((oid) => oid !== oids.unknown);
  const first = known[0] ?? oids.text;
  const other = known.find((oid) => typeOf(oid).category !== typeOf(first).category) ?? first;
  throw sqlError(
    'datatypeMismatch',
    `${construct} types ${formatType(first)} and ${formatType(other)} cannot be matched`,
  );
}
