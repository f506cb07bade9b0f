/** A rewrite: a pure function from plan to plan that keeps the meaning. Gives back the same object when it has nothing to do. */
import { type Binder } from '../bind/binder.ts';
import { type Rel } from '../logical.ts';

export interface RuleContext {
  readonly binder: Binder;
}

export interface Rule {
  readonly name: string;
  readonly apply: (rel: Rel, context: RuleContext) => Rel;
}
