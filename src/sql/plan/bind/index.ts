/** The binder, put together: see `BinderParts`. */
import { type EvalContext } from '../../functions/registry-types.ts';
import { Binder, type BinderParts, type Prefetched } from './binder.ts';
import { bindDml } from './dml.ts';
import { bindNode } from './expr.ts';
import { bindQueryNode } from './query.ts';

const parts: BinderParts = { node: bindNode, query: bindQueryNode, dml: bindDml };

export function newBinder(
  evalContext: EvalContext,
  prefetched: Prefetched,
  parameterTypes: readonly number[],
): Binder {
  return new Binder(parts, evalContext, prefetched, parameterTypes);
}

export { bindDml } from './dml.ts';
export { bindQuery } from './context.ts';
