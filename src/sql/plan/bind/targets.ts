/** Items of a select list, as the parts of SELECT share them. */
import { type Node } from '@pgsql/types';
import { type Expr } from '../expr.ts';
import { fieldParts } from './names.ts';

/** One item of the select list. */
export interface Target {
  readonly name: string;
  readonly expr: Expr;
  readonly tableOid: number;
  readonly columnNumber: number;
  readonly location: number | undefined;
}

export function bareName(node: Node | undefined): string | undefined {
  if (node === undefined || !('ColumnRef' in node)) return undefined;
  const parts = fieldParts(node.ColumnRef);
  return parts.length === 1 ? parts[0] : undefined;
}
