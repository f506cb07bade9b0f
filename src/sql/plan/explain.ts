/** EXPLAIN: physical plans as a tree of lines, or as JSON. */
import { unreachable } from '../../util/index.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { showSchema } from '../parse/index.ts';
import { typeOps } from '../types/index.ts';
import { type Meter } from '../exec/index.ts';
import { type Binder } from './bind/binder.ts';
import { type ColumnId, type Expr } from './expr.ts';
import { type SortKey } from './logical.ts';
import { type Phys, type ScanNode, type SpanPart } from './physical/types.ts';

export interface ExplainOptions {
  readonly verbose: boolean;
  readonly costs: boolean;
  readonly meters: ReadonlyMap<Phys, Meter> | undefined;
  /** False leaves out times, which differ from run to run. */
  readonly timing: boolean;
}

export interface ExplainNode {
  readonly name: string;
  readonly details: readonly (readonly [string, string])[];
  readonly children: readonly ExplainNode[];
  readonly estimate: { readonly rows: number; readonly cost: number };
  readonly meter: Meter | undefined;
}

export function explainTree(
  phys: Phys,
  binder: Binder,
  subplans: readonly Phys[],
  meters: ReadonlyMap<Phys, Meter> | undefined,
): ExplainNode {
  const printer = new Printer(binder);
  const node = printer.node(phys, meters);
  const extra = subplans.map((plan, i) => {
    const inner = printer.node(plan, meters);
    return { ...inner, name: `SubPlan ${i + 1}: ${inner.name}` };
  });
  return { ...node, children: [...node.children, ...extra] };
}

export function explainText(node: ExplainNode, options: ExplainOptions): string[] {
  const lines: string[] = [];
  const walk = (item: ExplainNode, depth: number): void => {
    const indent = depth === 0 ? '' : `${'  '.repeat(depth * 3 - 2)}->  `;
    const costs = options.costs
      ? `  (rows=${Math.round(item.estimate.rows)} cost=${item.estimate.cost.toFixed(1)})`
      : '';
    const { meter } = item;
    const actual =
      meter === undefined
        ? ''
        : `  (actual ${options.timing ? `time=${meter.timeMs.toFixed(3)} ` : ''}rows=${meter.rows} loops=${meter.loops})`;
    lines.push(`${indent}${item.name}${costs}${actual}`);
    const pad = depth === 0 ? '  ' : `${'  '.repeat(depth * 3 - 2)}      `;
    for (const [label, text] of item.details) lines.push(`${pad}${label}: ${text}`);
    for (const child of item.children) walk(child, depth + 1);
  };
  walk(node, 0);
  return lines;
}

export function explainJson(node: ExplainNode): string {
  const convert = (item: ExplainNode): Record<string, unknown> => ({
    'Node Type': item.name,
    'Plan Rows': Math.round(item.estimate.rows),
    'Total Cost': Number(item.estimate.cost.toFixed(1)),
    ...(item.meter === undefined
      ? {}
      : { 'Actual Rows': item.meter.rows, 'Actual Loops': item.meter.loops }),
    ...Object.fromEntries(item.details),
    ...(item.children.length === 0 ? {} : { Plans: item.children.map(convert) }),
  });
  return JSON.stringify([{ Plan: convert(node) }], undefined, 2);
}

class Printer {
  readonly #binder: Binder;

  constructor(binder: Binder) {
    this.#binder = binder;
  }

  node(phys: Phys, meters: ReadonlyMap<Phys, Meter> | undefined): ExplainNode {
    const details: [string, string][] = [];
    const say = (label: string, text: string): void => {
      if (text !== '') details.push([label, text]);
    };
    const name = this.#describe(phys, say);
    return {
      name,
      details,
      children: childrenOf(phys).map((child) => this.node(child, meters)),
      estimate: phys.estimate,
      meter: meters?.get(phys),
    };
  }

  #describe(phys: Phys, say: (label: string, text: string) => void): string {
    switch (phys.kind) {
      case 'scan':
        return this.#scan(phys, say);
      case 'virtual-scan':
        say(
          'Lookup',
          phys.equals.map(({ name, value }) => `${name} = ${this.#expr(value)}`).join(', '),
        );
        say('Filter', this.#conditions(phys.filter));
        return `Virtual Scan on ${virtualName(phys.rel.table)}`;
      case 'values':
        return phys.rel.columns.length === 0 ? 'Result' : `Values (${phys.rel.rows.length} rows)`;
      case 'project':
        say('Output', phys.items.map((item) => this.#expr(item.expr)).join(', '));
        return 'Project';
      case 'filter':
        say('Filter', this.#conditions(phys.conditions));
        return 'Filter';
      case 'hash-join':
        say(
          'Hash Cond',
          phys.leftKeys
            .map((key, i) => `${this.#expr(key)} = ${this.#expr(phys.rightKeys[i])}`)
            .join(' AND '),
        );
        say('Join Filter', this.#conditions(phys.residual));
        return `Hash ${joinWord(phys.type)}`;
      case 'merge-join':
        say(
          'Merge Cond',
          phys.leftKeys
            .map((key, i) => `${this.#expr(key)} = ${this.#expr(phys.rightKeys[i])}`)
            .join(' AND '),
        );
        say('Join Filter', this.#conditions(phys.residual));
        return `Merge ${joinWord(phys.type)}`;
      case 'lookup-join':
        say('Join Filter', this.#conditions(phys.residual));
        return `Lookup ${joinWord(phys.type)}`;
      case 'loop-join':
        say('Join Filter', this.#conditions(phys.on));
        return `${phys.dependent.length > 0 ? 'Apply' : 'Nested Loop'} ${joinWord(phys.type)}`;
      case 'aggregate':
        say('Group Key', phys.rel.groups.map((group) => this.#expr(group.expr)).join(', '));
        say('Aggregates', phys.rel.aggregates.map((call) => call.fn.name).join(', '));
        if (phys.rel.sets !== undefined) say('Grouping Sets', String(phys.rel.sets.length));
        return phys.fromPartial
          ? 'Final Aggregate'
          : phys.rel.groups.length > 0
            ? 'Hash Aggregate'
            : 'Aggregate';
      case 'window':
        say('Functions', phys.rel.calls.map((call) => call.fn.name).join(', '));
        return 'Window';
      case 'sort':
        say('Sort Key', this.#keys(phys.keys));
        if (phys.limit !== undefined) say('Top', this.#expr(phys.limit));
        return 'Sort';
      case 'limit':
        say('Count', phys.rel.count === undefined ? '' : this.#expr(phys.rel.count));
        say('Offset', phys.rel.offset === undefined ? '' : this.#expr(phys.rel.offset));
        return phys.rel.ties === undefined ? 'Limit' : 'Limit With Ties';
      case 'distinct':
        say('Key', phys.rel.on.map((id) => this.#column(id)).join(', '));
        return 'Distinct';
      case 'set-op':
        return `${phys.rel.op[0]?.toUpperCase() ?? ''}${phys.rel.op.slice(1)}${phys.rel.all ? ' All' : ''}`;
      case 'project-set':
        return 'ProjectSet';
      case 'function':
        return `Function Scan on ${phys.rel.alias}`;
      case 'cte':
        return `CTE Scan on ${phys.rel.name}`;
      case 'with':
        return `With ${phys.definitions.map((definition) => definition.name).join(', ')}`;
      case 'recursive':
        return 'Recursive Union';
      case 'lock':
        return 'LockRows';
      case 'insert':
        if (phys.rel.conflict !== undefined) {
          say('Conflict Resolution', phys.rel.conflict.update === undefined ? 'NOTHING' : 'UPDATE');
        }
        return `Insert on ${phys.rel.table.name}`;
      case 'update':
        return `Update on ${phys.rel.table.name}`;
      case 'delete':
        return `Delete on ${phys.rel.table.name}`;
      default:
        return unreachable(phys);
    }
  }

  #scan(node: ScanNode, say: (label: string, text: string) => void): string {
    const on =
      node.alias === node.table.name ? node.table.name : `${node.table.name} ${node.alias}`;
    say('Span', this.#spans(node));
    say('Filter', this.#conditions(node.filter));
    if (node.partial !== undefined) {
      const calls = node.partial.aggregates.map((call) => call.fn.name).join(', ');
      say('Partial Aggregate', calls === '' ? 'groups' : calls);
    }
    if (node.lock !== undefined) say('Lock', node.lock.strength);
    if (node.limit !== undefined) say('Limit', this.#expr(node.limit));
    const direction = node.reverse ? ' Backward' : '';
    if (node.isPoint && !node.lookup) return `Point Get on ${on} using ${node.index.name}`;
    const kind = node.lookup
      ? 'Index Lookup'
      : node.index === node.table.primaryIndex
        ? 'Scan'
        : 'Index Only Scan';
    return `${kind}${direction} on ${on} using ${node.index.name}`;
  }

  #spans(node: ScanNode): string {
    const names = [
      ...node.index.columns.map((column) => column.columnId),
      ...node.index.suffixColumnIds,
    ].map((id) => node.table.columns.find((column) => column.id === id)?.name ?? '?');
    const part = (item: SpanPart, i: number): string => {
      const column = names[i] ?? '?';
      switch (item.kind) {
        case 'equal':
          return `${column} = ${this.#expr(item.value)}`;
        case 'list':
          return `${column} IN (${item.values.map((value) => this.#expr(value)).join(', ')})`;
        case 'array':
          return `${column} = ANY (${this.#expr(item.array)})`;
        case 'null':
          return `${column} IS NULL`;
      }
    };
    const { prefix, lower, upper } = node.spans;
    const parts = prefix.map(part);
    const column = names[prefix.length] ?? '?';
    if (lower !== undefined)
      parts.push(`${column} ${lower.inclusive ? '>=' : '>'} ${this.#expr(lower.value)}`);
    if (upper !== undefined)
      parts.push(`${column} ${upper.inclusive ? '<=' : '<'} ${this.#expr(upper.value)}`);
    return parts.join(' AND ');
  }

  #conditions(conditions: readonly Expr[]): string {
    return conditions.map((condition) => this.#expr(condition)).join(' AND ');
  }

  #keys(keys: readonly SortKey[]): string {
    return keys.map((key) => `${this.#expr(key.expr)}${key.descending ? ' DESC' : ''}`).join(', ');
  }

  #column(id: ColumnId): string {
    return this.#binder.info(id).qualified;
  }

  #expr(expr: Expr | undefined): string {
    if (expr === undefined) return '';
    const list = (exprs: readonly Expr[]): string =>
      exprs.map((item) => this.#expr(item)).join(', ');
    switch (expr.kind) {
      case 'const':
        return constText(expr, this.#binder.eval);
      case 'param':
        return `$${expr.index + 1}`;
      case 'column':
        return this.#column(expr.id);
      case 'context':
        return expr.what.toUpperCase();
      case 'call': {
        const [a, b] = expr.args;
        if (/^[a-z_]/i.test(expr.fn.name)) return `${expr.fn.name}(${list(expr.args)})`;
        return b === undefined
          ? `(${expr.fn.name} ${this.#expr(a)})`
          : `(${this.#expr(a)} ${expr.fn.name} ${this.#expr(b)})`;
      }
      case 'cast':
      case 'array-cast':
        return `${this.#expr(expr.arg)}::${typeOps(expr.type).type.displayName}`;
      case 'and':
      case 'or':
        return `(${expr.args.map((arg) => this.#expr(arg)).join(expr.kind === 'and' ? ' AND ' : ' OR ')})`;
      case 'not':
        return `(NOT ${this.#expr(expr.arg)})`;
      case 'case':
        return `CASE ${expr.operand === undefined ? '' : `${this.#expr(expr.operand.expr)} `}${expr.whens.map(({ when, result }) => `WHEN ${this.#expr(when)} THEN ${this.#expr(result)}`).join(' ')} ELSE ${this.#expr(expr.otherwise)} END`;
      case 'coalesce':
        return `COALESCE(${list(expr.args)})`;
      case 'minmax':
        return `${expr.greatest ? 'GREATEST' : 'LEAST'}(${list(expr.args)})`;
      case 'nullif':
        return `NULLIF(${expr.equal.kind === 'call' ? list(expr.equal.args) : this.#expr(expr.arg)})`;
      case 'is-null':
        return `(${this.#expr(expr.arg)} IS ${expr.negated ? 'NOT ' : ''}NULL)`;
      case 'bool-test':
        return `(${this.#expr(expr.arg)} IS ${expr.negated ? 'NOT ' : ''}${expr.test.toUpperCase()})`;
      case 'distinct-from':
        return `(${this.#expr(expr.left)} IS ${expr.negated ? 'NOT ' : ''}DISTINCT FROM ${this.#expr(expr.right)})`;
      case 'in-list':
        return `(${this.#expr(expr.arg)} ${expr.negated ? 'NOT ' : ''}IN (${list(expr.items)}))`;
      case 'array-compare':
        return `(${this.#expr(expr.left)} ${expr.fn.name} ${expr.all ? 'ALL' : 'ANY'} (${this.#expr(expr.right)}))`;
      case 'array':
        return `ARRAY[${list(expr.elements)}]`;
      case 'subscript':
        return `${this.#expr(expr.arg)}[${expr.indices
          .map((index) =>
            [index.lower, index.upper]
              .filter((e) => e !== undefined)
              .map((e) => this.#expr(e))
              .join(':'),
          )
          .join('][')}]`;
      case 'row':
        return `ROW(${list(expr.args)})`;
      case 'row-compare':
        return `(row ${expr.operator} row)`;
      case 'field':
        return `(${this.#expr(expr.arg)}).f${expr.index + 1}`;
      case 'subquery':
        return `(SubPlan ${expr.mode.toUpperCase()})`;
      default:
        return unreachable(expr);
    }
  }
}

function constText(expr: Extract<Expr, { kind: 'const' }>, context: EvalContext): string {
  const { value } = expr;
  if (value === null) return 'NULL';
  const { category, displayName } = typeOps(expr.type).type;
  const text = typeOps(expr.type).format(value, context);
  if (category === 'N') return text;
  if (category === 'B') return value === true ? 'true' : 'false';
  return `'${text.replaceAll("'", "''")}'::${displayName}`;
}

function joinWord(type: string): string {
  switch (type) {
    case 'inner':
      return 'Join';
    case 'left':
      return 'Left Join';
    case 'right':
      return 'Right Join';
    case 'full':
      return 'Full Join';
    case 'semi':
      return 'Semi Join';
    default:
      return 'Anti Join';
  }
}

export function childrenOf(phys: Phys): readonly Phys[] {
  switch (phys.kind) {
    case 'scan':
    case 'virtual-scan':
    case 'values':
    case 'function':
    case 'cte':
      return [];
    case 'hash-join':
    case 'merge-join':
    case 'lookup-join':
    case 'loop-join':
    case 'set-op':
      return [phys.left, phys.right];
    case 'with':
      return [...phys.definitions.map((definition) => definition.plan), phys.body];
    case 'recursive':
      return [phys.initial, phys.step];
    default:
      return [phys.input];
  }
}

function virtualName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return schema === showSchema ? `[${name}]` : `${schema}.${name}`;
}
