/** From a raw statement to something executable: binds, rewrites, plans, builds. */
import { formatTimestamp, type Txn } from '../../kv/index.ts';
import { type DefElem, type ExplainStmt, type Node } from '@pgsql/types';
import { sqlError } from '../errors.ts';
import { characterPosition } from '../parse/index.ts';
import {
  buildPlan,
  type CompiledStatement,
  type Meter,
  runStatement,
  tableRules,
  type TableRules,
} from '../exec/index.ts';
import { SqlFailure } from '../errors.ts';
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';
import { type Row } from '../types/index.ts';
import { type Binder, type BoundQuery, failAt, type OutputColumn } from './bind/binder.ts';
import { bindDml, bindQuery, newBinder } from './bind/index.ts';
import { prefetch } from './bind/prefetch.ts';
import { explainJson, explainText, explainTree } from './explain.ts';
import { textOid } from './expr.ts';
import { type Rel } from './logical.ts';
import { planPhysical } from './physical/plan.ts';
import { type Phys } from './physical/types.ts';
import { fastPath } from './fast-path.ts';
import { rewrite } from './rules/index.ts';
import { isRepeatable, outlivesRollback } from './rules/predicates.ts';
import { type PlanRequest, type PreparedPlan } from './types.ts';
import { hasLocks, visitAllRels } from './walk.ts';

export async function planStatement(request: PlanRequest): Promise<PreparedPlan> {
  try {
    return await plan(request);
  } catch (error) {
    throw translated(error, request.text);
  }
}

/** Positions in characters instead of bytes; a stack overflow as 54001. */
function translated(error: unknown, text: string | undefined): unknown {
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return sqlError('statementTooComplex', 'stack depth limit exceeded');
  }
  if (!(error instanceof SqlFailure) || text === undefined) return error;
  const { position } = error.fields;
  if (position === undefined) return error;
  const moved = new SqlFailure(error.code, error.message, {
    ...error.fields,
    position: characterPosition(text, position - 1),
  });
  return moved;
}

async function plan(request: PlanRequest): Promise<PreparedPlan> {
  const { statement } = request;
  if ('ExplainStmt' in statement) return planExplain(request, statement.ExplainStmt);
  const prepared = await prepare(request, statement);
  const compiled = prepared.compile(undefined);
  const fast = fastPath(prepared.phys, compiled);
  return {
    catalogVersion: prepared.catalogVersion,
    parameterTypes: prepared.parameterTypes,
    columns: compiled.columns,
    isReadOnly: prepared.isReadOnly,
    isRepeatable: prepared.isRepeatable,
    outlivesRollback: prepared.outlivesRollback,
    execute: async (context) => fast?.(context) ?? runStatement(compiled, context),
  };
}

interface Prepared {
  readonly catalogVersion: number;
  readonly parameterTypes: readonly number[];
  readonly isReadOnly: boolean;
  readonly isRepeatable: boolean;
  readonly outlivesRollback: boolean;
  readonly phys: Phys;
  readonly binder: Binder;
  readonly trace: ReadonlySet<string>;
  readonly subplans: Phys[];
  compile(
    meters:
      | { readonly byNode: Map<Phys, Meter>; readonly clock: StatementContext['env']['clock'] }
      | undefined,
  ): CompiledStatement;
}

async function prepare(request: PlanRequest, statement: Node, traced = false): Promise<Prepared> {
  const { catalog } = request;
  const catalogVersion = catalog.version;
  const prefetched = await prefetch(catalog, statement);
  const binder = newBinder(request.eval, prefetched, request.parameterTypes);
  const bound = bindStatement(binder, statement, request.upsert === true);
  const trace = new Set<string>();
  const rel = rewrite(bound.rel, { binder }, traced ? trace : undefined);
  const written = writtenTables(rel);
  const rules = new Map<number, TableRules>();
  for (const table of written.tables) rules.set(table.id, await tableRules(table, request.eval));
  const phys = planPhysical(rel);
  const subplans: Phys[] = [];
  const isReadOnly = written.tables.length === 0;
  return {
    catalogVersion,
    parameterTypes: binder.parameterTypes.map((type) => (type === 0 ? textOid : type)),
    isReadOnly: isReadOnly && !hasLocks(rel),
    isRepeatable: isRepeatable(rel),
    outlivesRollback: outlivesRollback(rel),
    phys,
    binder,
    trace,
    subplans,
    compile(meters) {
      subplans.length = 0;
      const built = buildPlan(phys, {
        binder,
        rules,
        meters,
        onSubplan: (_expr, sub) => subplans.push(sub),
        directInsert: written.directInsert,
      });
      return {
        plan: built.plan,
        slotCount: built.slotCount,
        columns: bound.columns.map((column) => resultColumn(binder, column)),
        positions: positionsOf(built.plan.layout, bound.columns),
        writes: !isReadOnly,
        tag: tagOf(statement),
      };
    },
  };
}

function bindStatement(binder: Binder, statement: Node, upsert: boolean): BoundQuery {
  if ('SelectStmt' in statement) return bindQuery(binder, statement.SelectStmt, undefined);
  if ('InsertStmt' in statement || 'UpdateStmt' in statement || 'DeleteStmt' in statement) {
    return bindDml(binder, statement, undefined, upsert);
  }
  if ('MergeStmt' in statement) throw failAt('featureNotSupported', 'MERGE is not supported');
  throw failAt('featureNotSupported', `${Object.keys(statement)[0] ?? 'this'} cannot be planned`);
}

function tagOf(statement: Node): CompiledStatement['tag'] {
  if ('InsertStmt' in statement) return 'INSERT';
  if ('UpdateStmt' in statement) return 'UPDATE';
  if ('DeleteStmt' in statement) return 'DELETE';
  return 'SELECT';
}

function resultColumn(binder: Binder, column: OutputColumn): ResultColumn {
  const { type, typmod } = binder.info(column.id);
  return {
    name: column.name,
    typeOid: type,
    typmod,
    tableOid: column.tableOid,
    columnNumber: column.columnNumber,
  };
}

function positionsOf(
  layout: readonly number[],
  columns: readonly OutputColumn[],
): readonly number[] | undefined {
  const positions = columns.map((column) => layout.indexOf(column.id));
  const plain =
    positions.length === layout.length && positions.every((position, i) => position === i);
  return plain ? undefined : positions;
}

interface Written {
  readonly tables: Extract<Rel, { kind: 'insert' }>['table'][];
  readonly directInsert: boolean;
}

function writtenTables(rel: Rel): Written {
  const tables: Written['tables'] = [];
  const read = new Set<number>();
  let inserts = 0;
  visitAllRels(rel, (node) => {
    if (node.kind === 'scan') read.add(node.table.id);
    if (node.kind !== 'insert' && node.kind !== 'update' && node.kind !== 'delete') return;
    tables.push(node.table);
    if (node.kind === 'insert' && node.conflict === undefined) inserts++;
  });
  const [only] = tables;
  const alone = tables.length === 1 && inserts === 1 && only !== undefined && !read.has(only.id);
  return { tables, directInsert: alone };
}

// EXPLAIN.

interface ExplainFlags {
  analyze: boolean;
  verbose: boolean;
  costs: boolean;
  timing: boolean;
  format: 'text' | 'json';
}

function explainFlags(options: readonly Node[] | undefined): ExplainFlags {
  const flags: ExplainFlags = {
    analyze: false,
    verbose: false,
    costs: true,
    timing: true,
    format: 'text',
  };
  for (const node of options ?? []) {
    if (!('DefElem' in node)) continue;
    const element: DefElem = node.DefElem;
    const name = element.defname ?? '';
    const value = optionText(element.arg);
    const on = value === undefined || ['true', 'on', '1'].includes(value);
    if (name === 'analyze' || name === 'verbose' || name === 'costs' || name === 'timing')
      flags[name] = on;
    else if (name === 'format') {
      if (value !== 'text' && value !== 'json') {
        throw failAt(
          'invalidParameterValue',
          `unrecognized value for EXPLAIN option "format": "${value ?? ''}"`,
          element.location,
        );
      }
      flags.format = value;
    } else if (name !== 'buffers' && name !== 'summary' && name !== 'settings' && name !== 'wal') {
      throw failAt('syntaxError', `unrecognized EXPLAIN option "${name}"`, element.location);
    }
  }
  return flags;
}

function optionText(node: Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  if ('String' in node) return (node.String.sval ?? '').toLowerCase();
  if ('Integer' in node) return String(node.Integer.ival ?? 0);
  if ('Boolean' in node) return String(node.Boolean.boolval ?? false);
  return undefined;
}

async function planExplain(request: PlanRequest, stmt: ExplainStmt): Promise<PreparedPlan> {
  const flags = explainFlags(stmt.options);
  const query = stmt.query;
  if (query === undefined) throw failAt('syntaxError', 'EXPLAIN needs a statement');
  const prepared = await prepare(request, query, flags.verbose);
  const columns: ResultColumn[] = [
    {
      name: 'QUERY PLAN',
      typeOid: flags.format === 'json' ? 114 : textOid,
      typmod: -1,
      tableOid: 0,
      columnNumber: 0,
    },
  ];
  return {
    catalogVersion: prepared.catalogVersion,
    parameterTypes: prepared.parameterTypes,
    columns,
    isReadOnly: prepared.isReadOnly || !flags.analyze,
    isRepeatable: prepared.isRepeatable && !flags.analyze,
    outlivesRollback: prepared.outlivesRollback,
    async execute(context) {
      return new ExplainResult(prepared, flags, columns, context);
    },
  };
}

/** What EXPLAIN ANALYZE says of a read of the past. */
function historyLines({ past }: Txn, followerReadsBefore: number): string[] {
  if (past === undefined) return [];
  const historical = `historical: AS OF SYSTEM TIME ${formatTimestamp(past.at)}`;
  return past.followerReads > followerReadsBefore
    ? ['used follower read', historical]
    : [historical];
}

class ExplainResult implements StatementResult {
  readonly columns: readonly ResultColumn[];
  readonly #prepared: Prepared;
  readonly #flags: ExplainFlags;
  readonly #context: StatementContext;
  #done = false;

  constructor(
    prepared: Prepared,
    flags: ExplainFlags,
    columns: readonly ResultColumn[],
    context: StatementContext,
  ) {
    this.columns = columns;
    this.#prepared = prepared;
    this.#flags = flags;
    this.#context = context;
  }

  async next(): Promise<readonly Row[] | undefined> {
    if (this.#done) return undefined;
    this.#done = true;
    const { analyze, format, verbose, costs, timing } = this.#flags;
    const meters = analyze
      ? { byNode: new Map<Phys, Meter>(), clock: this.#context.env.clock }
      : undefined;
    const compiled = this.#prepared.compile(meters);
    const { txn } = this.#context;
    const followerReadsBefore = txn.past?.followerReads ?? 0;
    if (analyze) {
      const result = runStatement(compiled, this.#context);
      while ((await result.next()) !== undefined);
    }
    const tree = explainTree(
      this.#prepared.phys,
      this.#prepared.binder,
      this.#prepared.subplans,
      meters?.byNode,
    );
    if (format === 'json') return [[explainJson(tree)]];
    const lines = explainText(tree, { verbose, costs, timing, meters: meters?.byNode });
    if (verbose && this.#prepared.trace.size > 0)
      lines.push(`Rules: ${[...this.#prepared.trace].join(', ')}`);
    if (analyze) lines.push(...historyLines(txn, followerReadsBefore));
    return lines.map((line) => [line]);
  }

  tag(): string {
    return 'EXPLAIN';
  }

  async close(): Promise<void> {
    this.#done = true;
  }
}
