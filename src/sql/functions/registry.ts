/** All functions and operators, by name. */
import { arithmeticOperators } from './arithmetic.ts';
import { comparisonOperators } from './comparison.ts';
import { type SqlFunction } from './registry-types.ts';

const lists: readonly (readonly SqlFunction[])[] = [comparisonOperators, arithmeticOperators];

const functions: SqlFunction[] = [];
const operators: SqlFunction[] = [];
const byName = new Map<string, SqlFunction[]>();

/** Operator names are made of these characters only. */
export function isOperatorName(name: string): boolean {
  return /^[-+*/<>=~!@#%^&|`?]+$/.test(name);
}

for (const list of lists) {
  for (const fn of list) {
    (isOperatorName(fn.name) ? operators : functions).push(fn);
    const same = byName.get(fn.name);
    if (same === undefined) byName.set(fn.name, [fn]);
    else same.push(fn);
  }
}

/** Functions or operators of one name, in order of definition. */
export function functionsByName(name: string): readonly SqlFunction[] {
  return byName.get(name) ?? [];
}

export function allFunctions(): readonly SqlFunction[] {
  return functions;
}

export function allOperators(): readonly SqlFunction[] {
  return operators;
}
