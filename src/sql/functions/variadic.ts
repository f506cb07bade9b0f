/** Calls with VARIADIC array: the array's elements become arguments when the call runs. */
import { sqlError } from '../errors.ts';
import { asArray, formatType, isArrayType, typeOf } from '../types/index.ts';
import { derived } from './derived.ts';
import { type ResolvedCall, type ScalarFunction } from './registry-types.ts';

type Resolve = (name: string, argTypes: readonly number[]) => ResolvedCall;

export function expandVariadicArray(
  name: string,
  argTypes: readonly number[],
  resolve: Resolve,
): ResolvedCall {
  const last = argTypes.at(-1) ?? 0;
  if (!isArrayType(last)) {
    throw sqlError('datatypeMismatch', 'VARIADIC argument must be an array', {
      detail: `It is of type ${formatType(last)}.`,
    });
  }
  const element = typeOf(last).elementOid;
  const fixed = argTypes.slice(0, -1);
  const resolved = resolve(name, [...fixed, element]);
  const { fn } = resolved;
  if (fn.kind !== 'scalar' || !fn.variadic) {
    throw sqlError('undefinedFunction', `function ${name} is not variadic`);
  }
  const wrapped = derived(fn, argTypes.join(), () => spreading(fn, argTypes, element));
  return { fn: wrapped, argTypes, resultType: resolved.resultType };
}

function spreading(
  fn: ScalarFunction,
  argTypes: readonly number[],
  element: number,
): ScalarFunction {
  const fixed = argTypes.slice(0, -1);
  return {
    ...fn,
    oid: 0,
    variadic: false,
    args: argTypes,
    strict: false,
    call(args, context, types) {
      const array = args.at(-1) ?? null;
      if (array === null) return null;
      const spread = [...args.slice(0, -1), ...asArray(array).elements];
      if (fn.strict && spread.includes(null)) return null;
      const result = types.at(-1) ?? fn.result;
      const spreadTypes = spread.map((_, i) => (i < fixed.length ? (fixed[i] ?? 0) : element));
      return fn.call(spread, context, [...spreadTypes, result]);
    },
  };
}
