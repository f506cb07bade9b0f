/** What a select list item without AS is called (PostgreSQL's FigureColname). */
import { type Node } from '@pgsql/types';
import { typeOps } from '../../types/index.ts';
import { typeFromName } from './resolve.ts';

export function figureName(node: Node | undefined): string {
  return (node === undefined ? undefined : (strong(node) ?? weak(node))) ?? '?column?';
}

function last(nodes: readonly Node[] | undefined): string | undefined {
  const found = (nodes ?? []).findLast((node) => 'String' in node);
  return found !== undefined && 'String' in found ? found.String.sval : undefined;
}

/** Names that a cast around does not hide. */
function strong(node: Node): string | undefined {
  if ('ColumnRef' in node) return last(node.ColumnRef.fields);
  if ('A_Indirection' in node) {
    return (
      last(node.A_Indirection.indirection) ??
      (node.A_Indirection.arg && strong(node.A_Indirection.arg))
    );
  }
  if ('FuncCall' in node) return last(node.FuncCall.funcname);
  if ('A_Expr' in node) return node.A_Expr.kind === 'AEXPR_NULLIF' ? 'nullif' : undefined;
  if ('TypeCast' in node) return node.TypeCast.arg && strong(node.TypeCast.arg);
  if ('CollateClause' in node) return node.CollateClause.arg && strong(node.CollateClause.arg);
  if ('CoalesceExpr' in node) return 'coalesce';
  if ('MinMaxExpr' in node) return node.MinMaxExpr.op === 'IS_LEAST' ? 'least' : 'greatest';
  if ('GroupingFunc' in node) return 'grouping';
  if ('A_ArrayExpr' in node) return 'array';
  if ('RowExpr' in node) return 'row';
  if ('SQLValueFunction' in node) {
    const op = (node.SQLValueFunction.op ?? '')
      .replace('SVFOP_', '')
      .replace(/_N$/, '')
      .toLowerCase();
    return op;
  }
  if ('SubLink' in node) {
    const { subLinkType, subselect } = node.SubLink;
    if (subLinkType === 'EXISTS_SUBLINK') return 'exists';
    if (subLinkType === 'ARRAY_SUBLINK') return 'array';
    if (subLinkType !== 'EXPR_SUBLINK' || subselect === undefined) return undefined;
    let select = 'SelectStmt' in subselect ? subselect.SelectStmt : undefined;
    while (select?.larg !== undefined) select = select.larg;
    const target = select?.targetList?.[0];
    if (select?.valuesLists !== undefined) return 'column1';
    if (target === undefined || !('ResTarget' in target)) return undefined;
    return target.ResTarget.name ?? figureName(target.ResTarget.val);
  }
  return undefined;
}

function weak(node: Node): string | undefined {
  if ('CaseExpr' in node) {
    const { defresult } = node.CaseExpr;
    const inner = defresult === undefined ? undefined : strong(defresult);
    return inner ?? 'case';
  }
  if ('TypeCast' in node && node.TypeCast.typeName !== undefined) {
    const { names } = node.TypeCast.typeName;
    return last(names) ?? typeOps(typeFromName(node.TypeCast.typeName).oid).type.name;
  }
  if ('CollateClause' in node && node.CollateClause.arg !== undefined)
    return weak(node.CollateClause.arg);
  return undefined;
}
