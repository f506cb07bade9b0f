/**
 * Moves every condition as close to the data as it can go, splits conjunctions, puts them in order, and turns what
 * compares both sides of a cross product into join conditions.
 */
import { type ColumnId, conjuncts, type Expr } from '../expr.ts';
import { type JoinRel, outputOf, type Rel } from '../logical.ts';
import { columnExpr } from '../expr.ts';
import { freeColumns, mapInputs, substitute } from '../walk.ts';
import { cheapestFirst, isVolatile, usesAny, usesOnly } from './predicates.ts';
import { type Rule, type RuleContext } from './rule.ts';

export const pushFilters: Rule = {
  name: 'PushFilters',
  apply(rel, context) {
    return push(rel, [], context);
  },
};

function wrap(rel: Rel, conditions: readonly Expr[]): Rel {
  if (conditions.length === 0) return rel;
  return { kind: 'filter', input: rel, conditions: cheapestFirst(conditions) };
}

/** `rel` with `conditions` applied somewhere at or below. */
function push(rel: Rel, conditions: readonly Expr[], context: RuleContext): Rel {
  switch (rel.kind) {
    case 'filter':
      return push(rel.input, [...rel.conditions.flatMap(conjuncts), ...conditions], context);
    case 'project': {
      const made = new Map(rel.items.map((item) => [item.id, item.expr]));
      const volatile = new Set(
        rel.items.flatMap((item) => (isVolatile(item.expr) ? [item.id] : [])),
      );
      const [down, up] = split(conditions, (c) => !isVolatile(c) && !usesAny(c, volatile));
      const input = push(
        rel.input,
        down.map((c) => substitute(c, made)),
        context,
      );
      return wrap(input === rel.input ? rel : { ...rel, input }, up);
    }
    case 'join':
      return pushJoin(rel, conditions, context);
    case 'aggregate': {
      const groups = new Map(rel.groups.map((group) => [group.id, group.expr]));
      // A volatile group would be computed a second time, with another result.
      const ids = new Set(rel.groups.flatMap(({ id, expr }) => (isVolatile(expr) ? [] : [id])));
      const [down, up] = split(
        conditions,
        (c) =>
          rel.sets === undefined && rel.groups.length > 0 && !isVolatile(c) && usesOnly(c, ids),
      );
      const input = push(
        rel.input,
        down.map((c) => substitute(c, groups)),
        context,
      );
      return wrap(input === rel.input ? rel : { ...rel, input }, up);
    }
    case 'sort':
    case 'lock': {
      const [down, up] = split(conditions, (c) => !isVolatile(c));
      const input = push(rel.input, down, context);
      return wrap(input === rel.input ? rel : { ...rel, input }, up);
    }
    case 'distinct': {
      const ids = new Set(rel.on);
      const [down, up] = split(conditions, (c) => !isVolatile(c) && usesOnly(c, ids));
      const input = push(rel.input, down, context);
      return wrap(input === rel.input ? rel : { ...rel, input }, up);
    }
    case 'window': {
      const ids = new Set(rel.partitionBy.flatMap((e) => (e.kind === 'column' ? [e.id] : [])));
      const [down, up] = split(conditions, (c) => !isVolatile(c) && usesOnly(c, ids));
      const input = push(rel.input, down, context);
      return wrap(input === rel.input ? rel : { ...rel, input }, up);
    }
    case 'set-op': {
      const [down, up] = split(conditions, (c) => !isVolatile(c));
      const side = (input: Rel, ids: readonly ColumnId[], wanted: readonly Expr[]): Rel => {
        const names = new Map<ColumnId, Expr>();
        for (const [i, id] of rel.columns.entries()) {
          const source = ids[i] ?? id;
          const { type, typmod } = context.binder.info(source);
          names.set(id, columnExpr(source, type, typmod));
        }
        return push(
          input,
          wanted.map((c) => substitute(c, names)),
          context,
        );
      };
      const left = side(rel.left, rel.leftColumns, down);
      // 1.00 takes away a 1.0 without passing the same conditions.
      const right = side(rel.right, rel.rightColumns, rel.op === 'except' ? [] : down);
      const same = left === rel.left && right === rel.right;
      return wrap(same ? rel : { ...rel, left, right }, up);
    }
    case 'with': {
      const inside = mapInputs(
        { ...rel, body: { kind: 'values', columns: [], rows: [] } },
        (input) => push(input, [], context),
      );
      const body = push(rel.body, conditions, context);
      return inside.kind === 'with' ? { ...inside, body } : rel;
    }
    default:
      return wrap(
        mapInputs(rel, (input) => push(input, [], context)),
        conditions,
      );
  }
}

function split(all: readonly Expr[], test: (expr: Expr) => boolean): [Expr[], Expr[]] {
  return [all.filter(test), all.filter((expr) => !test(expr))];
}

function pushJoin(rel: JoinRel, above: readonly Expr[], context: RuleContext): Rel {
  const left = new Set(outputOf(rel.left));
  const right = new Set(outputOf(rel.right));
  const on = rel.on.flatMap(conjuncts);
  const toLeft: Expr[] = [];
  const toRight: Expr[] = [];
  const stayOn: Expr[] = [];
  const stayAbove: Expr[] = [];
  const dependent = [...freeColumns(rel.right)].some((id) => left.has(id));
  const isInner = rel.type === 'inner';
  // What joins the rows comes before what is asked of them, as in PostgreSQL: it may keep them from an error.
  for (const condition of on) {
    const usesLeft = usesAny(condition, left);
    const usesRight = usesAny(condition, right);
    if (isVolatile(condition)) stayOn.push(condition);
    else if (!usesRight && (isInner || rel.type === 'right' || rel.type === 'semi'))
      toLeft.push(condition);
    else if (!usesLeft && rel.type !== 'right' && rel.type !== 'full') toRight.push(condition);
    else stayOn.push(condition);
  }
  for (const condition of above) {
    const usesLeft = usesAny(condition, left);
    const usesRight = usesAny(condition, right);
    if (isVolatile(condition)) stayAbove.push(condition);
    else if (
      !usesRight &&
      (isInner || rel.type === 'left' || rel.type === 'semi' || rel.type === 'anti')
    ) {
      toLeft.push(condition);
    } else if (!usesLeft && usesRight && (isInner || rel.type === 'right')) toRight.push(condition);
    else if (isInner && !dependent) stayOn.push(condition);
    else stayAbove.push(condition);
  }
  const newLeft = push(rel.left, toLeft, context);
  const newRight = push(rel.right, toRight, context);
  return wrap({ ...rel, left: newLeft, right: newRight, on: cheapestFirst(stayOn) }, stayAbove);
}
