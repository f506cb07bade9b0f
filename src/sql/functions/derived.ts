/** Functions made of others for a shape of call, once for each shape: calls that are written alike are equal. */
import { type ScalarFunction } from './registry-types.ts';

const made = new WeakMap<ScalarFunction, Map<string, ScalarFunction>>();

export function derived(
  fn: ScalarFunction,
  shape: string,
  make: () => ScalarFunction,
): ScalarFunction {
  const byShape = made.get(fn) ?? new Map<string, ScalarFunction>();
  made.set(fn, byShape);
  const found = byShape.get(shape) ?? make();
  byShape.set(shape, found);
  return found;
}
