/** Subqueries inside expressions. */
import { type Node, type SubLink } from '@pgsql/types';
import { typeOps } from '../../types/index.ts';
import { boolOid, type Expr, type RowExpr } from '../expr.ts';
import { type ExprContext, failAt, typeName } from './binder.ts';
import { bindExpr, bindSubquery } from './context.ts';
import { operatorName } from './operators.ts';

export function bindSubLink(c: ExprContext, node: SubLink): Expr {
  const { subLinkType = 'EXPR_SUBLINK', location } = node;
  const query = bindSubquery(c.binder, node.subselect, c.scope);
  const columns = query.columns.map((column) => column.id);
  const base = { kind: 'subquery', typmod: -1, rel: query.rel, columns } as const;
  switch (subLinkType) {
    case 'EXISTS_SUBLINK':
      return { ...base, type: boolOid, mode: 'exists', test: undefined };
    case 'EXPR_SUBLINK':
    case 'ARRAY_SUBLINK': {
      const [only, second] = columns;
      if (only === undefined || second !== undefined) {
        throw failAt('syntaxError', 'subquery must return only one column', location);
      }
      const { type, typmod } = c.binder.info(only);
      if (subLinkType === 'EXPR_SUBLINK')
        return { ...base, type, typmod, mode: 'scalar', test: undefined };
      const ops = typeOps(type).type;
      const arrayType = ops.arrayOid !== 0 ? ops.arrayOid : ops.elementOid !== 0 ? type : 0;
      if (arrayType === 0) {
        throw failAt(
          'undefinedObject',
          `could not find array type for data type ${typeName(type)}`,
          location,
        );
      }
      return { ...base, type: arrayType, mode: 'array', test: undefined };
    }
    case 'ANY_SUBLINK':
    case 'ALL_SUBLINK':
    case 'ROWCOMPARE_SUBLINK': {
      const name = lastName(node.operName) ?? '=';
      const left = bindExpr(c, node.testexpr);
      const right = columns.map((id) => c.binder.reference(id));
      checkWidth(left, right.length, location);
      const [only] = right;
      const row: RowExpr = {
        kind: 'row',
        type: 2249,
        typmod: -1,
        names: [],
        args: right,
        nullable: false,
      };
      const test =
        left.kind === 'row' || only === undefined
          ? operatorName(c, name, left, row, location)
          : operatorName(c, name, left, only, location);
      if (test.type !== boolOid) {
        throw failAt(
          'datatypeMismatch',
          `operator ${name} must return type boolean, not type ${typeName(test.type)}`,
          location,
        );
      }
      if (subLinkType === 'ROWCOMPARE_SUBLINK') {
        const id = c.binder.newColumn({ name: 'compare', type: boolOid });
        return {
          ...base,
          type: boolOid,
          mode: 'scalar',
          rel: { kind: 'project', input: query.rel, items: [{ id, expr: test }] },
          columns: [id],
          test: undefined,
        };
      }
      return { ...base, type: boolOid, mode: subLinkType === 'ANY_SUBLINK' ? 'any' : 'all', test };
    }
    default:
      throw failAt('featureNotSupported', 'this form of subquery is not supported', location);
  }
}

function checkWidth(left: Expr, width: number, location?: number): void {
  const own = left.kind === 'row' ? left.args.length : 1;
  if (own < width) throw failAt('syntaxError', 'subquery has too many columns', location);
  if (own > width) throw failAt('syntaxError', 'subquery has too few columns', location);
}

function lastName(name: readonly Node[] | undefined): string | undefined {
  const last = name?.at(-1);
  return last !== undefined && 'String' in last ? last.String.sval : undefined;
}
