/**
 * Plans for statements that differ in literals only: `SELECT c FROM t WHERE id = 17` is run as
 * `SELECT c FROM t WHERE id = $1` with 17 as parameter. The shape is recognised in the text (`literals.ts`), so a
 * statement of a known shape is neither parsed nor planned.
 *
 * Only literals whose replacement cannot change the meaning become parameters: operands in WHERE,
 * values of INSERT and of UPDATE's SET. All others (LIMIT 5, ORDER BY 1, casts, function arguments) are
 * compared: a statement that differs in one of them is another one.
 */
import { type InsertStmt, type Node, type SelectStmt } from '@pgsql/types';
import { type ParsedStatement } from '../parse/index.ts';
import { type Datum, type FormatSettings, oids, typeOf, typeOps } from '../types/index.ts';
import { type Literal, type LiteralText } from './literals.ts';
import { makeStatement, type PreparedStatement } from './prepared.ts';

interface TemplateParameter {
  readonly literal: number;
  readonly isNegative: boolean;
  /** An operand of a comparison, not a value for a column. */
  readonly isCompared: boolean;
}

export interface Template {
  readonly statement: PreparedStatement;
  readonly parameters: readonly TemplateParameter[];
  /** Literals that have to be the same: index and value. */
  readonly fixed: readonly { readonly literal: number; readonly value: string }[];
}

type Entry =
  | { readonly kind: 'seen' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'made'; readonly template: Template };

export class TemplateCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The template of this shape, if its fixed literals are the same. */
  find(shape: LiteralText): Template | undefined {
    const entry = this.#entries.get(shape.key);
    if (entry?.kind !== 'made') return undefined;
    for (const { literal, value } of entry.template.fixed) {
      if (shape.literals[literal]?.value !== value) return undefined;
    }
    return entry.template;
  }

  /** True when a shape comes for the second time: from then on a template pays. */
  isWorthwhile(shape: LiteralText): boolean {
    const entry = this.#entries.get(shape.key);
    if (entry === undefined) this.#put(shape.key, { kind: 'seen' });
    return entry?.kind === 'seen';
  }

  add(shape: LiteralText, template: Template | undefined): void {
    this.#put(shape.key, template === undefined ? { kind: 'refused' } : { kind: 'made', template });
  }

  refuse(shape: LiteralText): void {
    this.#put(shape.key, { kind: 'refused' });
  }

  /** Its parameters may have other types by now: to be made anew when the shape comes twice again. */
  outdate(shape: LiteralText): void {
    this.#entries.delete(shape.key);
  }

  #put(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size <= this.#limit) return;
    for (const [oldest] of this.#entries) {
      this.#entries.delete(oldest);
      break;
    }
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** The statement with parameters in place of literals; undefined when it has no literal that may be one. */
export function makeTemplate(parsed: ParsedStatement, shape: LiteralText): Template | undefined {
  if (
    parsed.statement.kind !== 'postgres' ||
    parsed.statement.upsert ||
    parsed.statement.asOf !== undefined
  ) {
    return undefined;
  }
  // Tree locations are bytes, literal offsets UTF-16 units: only where they agree.
  if (Buffer.byteLength(parsed.text) !== parsed.text.length) return undefined;
  const builder = new TemplateBuilder(shape.literals);
  const node = builder.statement(parsed.statement.node);
  if (node === undefined || builder.parameters.length === 0) return undefined;
  const used = new Set(builder.parameters.map(({ literal }) => literal));
  const statement = makeStatement(
    '',
    parsed.text,
    { statement: { ...parsed.statement, node }, text: shape.key, offset: 0 },
    builder.types,
  );
  statement.isTemplate = true;
  return {
    statement,
    parameters: builder.parameters,
    fixed: shape.literals.flatMap(({ value }, literal) =>
      used.has(literal) ? [] : [{ literal, value }],
    ),
  };
}

const comparisons = new Set(['=', '<>', '<', '<=', '>', '>=']);
const arithmetic = new Set(['+', '-', '*']);

class TemplateBuilder {
  readonly parameters: TemplateParameter[] = [];
  /** 0: as the planner infers from the column it meets. */
  readonly types: number[] = [];
  readonly #literals: readonly Literal[];

  constructor(literals: readonly Literal[]) {
    this.#literals = literals;
  }

  statement(node: Node): Node | undefined {
    if ('SelectStmt' in node) {
      const select = node.SelectStmt;
      if (!isPlainSelect(select) || select.whereClause === undefined) return undefined;
      return { SelectStmt: { ...select, whereClause: this.#condition(select.whereClause) } };
    }
    if ('InsertStmt' in node) return this.#insert(node.InsertStmt);
    if ('UpdateStmt' in node) {
      const update = node.UpdateStmt;
      if (update.withClause !== undefined || update.fromClause !== undefined) return undefined;
      const targetList = (update.targetList ?? []).map((target): Node => {
        if (!('ResTarget' in target) || target.ResTarget.val === undefined) return target;
        return { ResTarget: { ...target.ResTarget, val: this.#value(target.ResTarget.val) } };
      });
      const where = update.whereClause;
      return {
        UpdateStmt: {
          ...update,
          targetList,
          ...(where === undefined ? {} : { whereClause: this.#condition(where) }),
        },
      };
    }
    if ('DeleteStmt' in node) {
      const remove = node.DeleteStmt;
      if (remove.withClause !== undefined || remove.usingClause !== undefined) return undefined;
      if (remove.whereClause === undefined) return undefined;
      return { DeleteStmt: { ...remove, whereClause: this.#condition(remove.whereClause) } };
    }
    return undefined;
  }

  #insert(insert: InsertStmt): Node | undefined {
    const source = insert.selectStmt;
    if (insert.withClause !== undefined || source === undefined || !('SelectStmt' in source))
      return undefined;
    const lists = source.SelectStmt.valuesLists;
    if (lists === undefined || lists.length !== 1 || source.SelectStmt.withClause !== undefined)
      return undefined;
    const valuesLists = lists.map((list): Node => {
      if (!('List' in list)) return list;
      return { List: { items: (list.List.items ?? []).map((item) => this.#value(item)) } };
    });
    return {
      InsertStmt: { ...insert, selectStmt: { SelectStmt: { ...source.SelectStmt, valuesLists } } },
    };
  }

  /** A value that goes into a column: its type is the column's; inside arithmetic it is its own. */
  #value(node: Node): Node {
    if ('A_Const' in node) return this.#parameter(node, 0, false);
    if ('A_Expr' in node) return this.#arithmetic(node);
    return node;
  }

  #condition(node: Node): Node {
    if ('BoolExpr' in node) {
      return {
        BoolExpr: {
          ...node.BoolExpr,
          args: (node.BoolExpr.args ?? []).map((arg) => this.#condition(arg)),
        },
      };
    }
    if (!('A_Expr' in node)) return node;
    const { lexpr, rexpr, kind } = node.A_Expr;
    if (lexpr === undefined || rexpr === undefined) return node;
    const type = 'ColumnRef' in lexpr ? 0 : undefined;
    switch (kind) {
      case 'AEXPR_OP':
        if (!comparisons.has(operatorOf(node.A_Expr.name))) return node;
        return {
          A_Expr: {
            ...node.A_Expr,
            lexpr: this.#operand(lexpr, 'ColumnRef' in rexpr ? 0 : undefined),
            rexpr: this.#operand(rexpr, type),
          },
        };
      case 'AEXPR_IN':
      case 'AEXPR_BETWEEN':
      case 'AEXPR_NOT_BETWEEN':
        if (!('List' in rexpr) || type === undefined) return node;
        return {
          A_Expr: {
            ...node.A_Expr,
            rexpr: {
              List: {
                ...rexpr.List,
                items: (rexpr.List.items ?? []).map((item) => this.#operand(item, 0)),
              },
            },
          },
        };
      default:
        return node;
    }
  }

  /** `type` 0: compared with a column, whose type it takes. */
  #operand(node: Node, type: 0 | undefined): Node {
    if ('A_Const' in node)
      return type === undefined ? this.#typedNumber(node) : this.#parameter(node, type, true);
    if ('A_Expr' in node) return this.#arithmetic(node);
    return node;
  }

  #arithmetic(node: Node): Node {
    if (!('A_Expr' in node) || node.A_Expr.kind !== 'AEXPR_OP') return node;
    const { lexpr, rexpr, name } = node.A_Expr;
    if (!arithmetic.has(operatorOf(name))) return node;
    const side = (operand: Node): Node =>
      'A_Const' in operand ? this.#typedNumber(operand) : this.#arithmetic(operand);
    return {
      A_Expr: {
        ...node.A_Expr,
        ...(lexpr === undefined ? {} : { lexpr: side(lexpr) }),
        ...(rexpr === undefined ? {} : { rexpr: side(rexpr) }),
      },
    };
  }

  /** A number keeps the type it has as a literal: int4. Larger ones and decimals stay literals. */
  #typedNumber(node: Node & { A_Const: object }): Node {
    return 'ival' in node.A_Const ? this.#parameter(node, oids.int4, false) : node;
  }

  #parameter(node: Node, type: number, isCompared: boolean): Node {
    if (!('A_Const' in node) || node.A_Const.isnull === true || node.A_Const.boolval !== undefined)
      return node;
    const { location = 0, ival, fval } = node.A_Const;
    const isNegative = (ival?.ival ?? 0) < 0 || fval?.fval?.startsWith('-') === true;
    const literal = this.#literals.findIndex(({ start }) => start >= location);
    const found = this.#literals[literal];
    if (found === undefined || (!isNegative && found.start !== location)) return node;
    this.parameters.push({ literal, isNegative, isCompared });
    this.types.push(type);
    return { ParamRef: { number: this.parameters.length, location } };
  }
}

function isPlainSelect(select: SelectStmt): boolean {
  return (
    select.op === 'SETOP_NONE' &&
    select.withClause === undefined &&
    select.valuesLists === undefined &&
    select.intoClause === undefined
  );
}

function operatorOf(name: readonly Node[] | undefined): string {
  const only = name?.[0];
  return name?.length === 1 && only !== undefined && 'String' in only
    ? (only.String.sval ?? '')
    : '';
}

/**
 * The literals as parameter values of the types the plan has. Undefined when one does not fit as it would have
 * as a literal (a decimal for an integer column, a number for text): then the literal's own rules decide.
 */
export function templateParams(
  template: Template,
  literals: readonly Literal[],
  settings: FormatSettings,
): Datum[] | undefined {
  const types = template.statement.parameterTypes;
  const params: Datum[] = [];
  for (const [i, { literal, isNegative, isCompared }] of template.parameters.entries()) {
    const found = literals[literal];
    const oid = types[i] ?? 0;
    if (found === undefined || oid === 0) return undefined;
    if (found.kind === 'string') {
      params.push(typeOps(oid).parse(found.value, -1, settings));
      continue;
    }
    const text = isNegative ? `-${found.value}` : found.value;
    if (oid === oids.int4) {
      const value = Number(text);
      if (!Number.isInteger(value) || Math.abs(value) > 0x7fffffff || found.value.includes('.'))
        return undefined;
      params.push(value);
    } else {
      if (typeOf(oid).category !== 'N') return undefined;
      // As a literal it is compared as float8.
      if (oid === oids.float4 && isCompared) return undefined;
      params.push(typeOps(oid).parse(text, -1, settings));
    }
  }
  return params;
}
