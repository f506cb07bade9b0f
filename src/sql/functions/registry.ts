/** All functions and operators, by name. */
import { aggregateFunctions } from './aggregates.ts';
import { arithmeticOperators } from './arithmetic.ts';
import { arrayFunctions, arraySetFunctions } from './arrays.ts';
import { comparisonOperators } from './comparison.ts';
import { datetimeFunctions } from './datetime.ts';
import { formattingFunctions } from './formatting.ts';
import { jsonFunctions, jsonSetFunctions } from './json.ts';
import { mathFunctions } from './math.ts';
import { patternFunctions, patternSetFunctions } from './patterns.ts';
import { type SqlFunction } from './registry-types.ts';
import { internalFunctions } from './internal.ts';
import { seriesFunctions } from './series.ts';
import { stringFunctions, stringSetFunctions } from './strings.ts';
import { systemFunctions, systemSets } from './system.ts';
import { windowFunctions } from './windows.ts';

const lists: readonly (readonly SqlFunction[])[] = [
  comparisonOperators,
  arithmeticOperators,
  mathFunctions,
  stringFunctions,
  stringSetFunctions,
  patternFunctions,
  patternSetFunctions,
  datetimeFunctions,
  formattingFunctions,
  jsonFunctions,
  jsonSetFunctions,
  arrayFunctions,
  arraySetFunctions,
  seriesFunctions,
  internalFunctions,
  aggregateFunctions,
  windowFunctions,
  systemFunctions,
  systemSets,
];

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
