/**
 * Row-count guesses. There are no statistics yet: a table counts as `defaultTableRows`, conditions by
 * the usual constants (Selinger et al., "Access path selection", 1979). `TableStatistics` is where
 * real figures come in later.
 */
import { type TableDescriptor } from '../../catalog/descriptors.ts';
import { type Expr } from '../expr.ts';

export const defaultTableRows = 1000;

export interface TableStatistics {
  rowCount(table: TableDescriptor): number | undefined;
}

export const noStatistics: TableStatistics = {
  rowCount: () => undefined,
};

export const selectivity = {
  equal: 0.05,
  range: 1 / 3,
  other: 1 / 4,
} as const;

/** Share of rows that pass. */
export function passRate(conditions: readonly Expr[]): number {
  return conditions.reduce((rate, condition) => rate * rateOf(condition), 1);
}

function rateOf(condition: Expr): number {
  switch (condition.kind) {
    case 'call':
      if (condition.fn.name === '=') return selectivity.equal;
      if (condition.fn.name === '<>') return 1 - selectivity.equal;
      return selectivity.range;
    case 'in-list':
      return Math.min(1, selectivity.equal * condition.items.length);
    case 'or':
      return Math.min(
        1,
        condition.args.reduce((sum, arg) => sum + rateOf(arg), 0),
      );
    case 'and':
      return condition.args.reduce((rate, arg) => rate * rateOf(arg), 1);
    case 'const':
      return condition.value === true ? 1 : 0;
    case 'is-null':
      return condition.negated ? 0.95 : 0.05;
    default:
      return selectivity.other;
  }
}

/** Reading one row from an index, fetching one row by key, one comparison, one hash. */
export const unit = { scan: 1, lookup: 4, start: 10, filter: 0.2, hash: 0.6, sort: 0.3 } as const;

export function sortCost(rows: number): number {
  return rows * Math.log2(rows + 2) * unit.sort;
}
