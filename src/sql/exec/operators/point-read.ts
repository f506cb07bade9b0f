/** The shortest way for a point SELECT: key, one read, decode, project. */
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../../session/types.ts';
import { type Row } from '../../types/index.ts';
import { type Phys, type ScanNode } from '../../plan/physical/types.ts';
import { type Eval } from '../expr/compile-types.ts';
import { compile, type Env } from '../expr/compile.ts';
import { Runtime } from '../runtime.ts';
import { type CompiledStatement } from '../statement.ts';
import { tableReader, type TableReader } from './scan.ts';

export interface PointRead {
  readonly reader: TableReader;
  /** Undefined: the row as it is read. */
  readonly items: readonly Eval[] | undefined;
}

/** Undefined when the plan is anything else than a projected point get on a primary index. */
export function pointRead(phys: Phys, compiled: CompiledStatement): PointRead | undefined {
  const project = phys.kind === 'project' ? phys : undefined;
  const scan: Phys = project === undefined ? phys : project.input;
  if (
    scan.kind !== 'scan' ||
    !isPlainPoint(scan) ||
    compiled.writes ||
    compiled.positions !== undefined
  )
    return undefined;
  const env: Env = {
    layout: new Map(),
    outer: new Map(),
    subquery: () => ({ sync: false, run: async () => null }),
  };
  const reader = tableReader(scan, env);
  if (project === undefined) return { reader, items: undefined };
  const layout = new Map(reader.layout.map((id, i) => [id, i]));
  const identity =
    project.items.length === reader.layout.length &&
    project.items.every(
      (item, i) => item.expr.kind === 'column' && item.expr.id === reader.layout[i],
    );
  if (identity) return { reader, items: undefined };
  const items: Eval[] = [];
  for (const item of project.items) {
    const value = compile(item.expr, { ...env, layout });
    if (!value.sync) return undefined;
    items.push(value.run);
  }
  return { reader, items };
}

function isPlainPoint(scan: ScanNode): boolean {
  return (
    scan.isPoint &&
    !scan.lookup &&
    scan.lock === undefined &&
    scan.index === scan.table.primaryIndex
  );
}

export class PointResult implements StatementResult {
  readonly columns: readonly ResultColumn[];
  readonly #read: PointRead;
  readonly #context: StatementContext;
  #count = 0;
  #done = false;

  constructor(read: PointRead, compiled: CompiledStatement, context: StatementContext) {
    this.columns = compiled.columns;
    this.#read = read;
    this.#context = context;
  }

  async next(): Promise<readonly Row[] | undefined> {
    if (this.#done) return undefined;
    this.#done = true;
    const { reader, items } = this.#read;
    const rt = new Runtime(this.#context, 0);
    const [span] = reader.spans([], rt);
    // A NULL key value matches nothing.
    if (span === undefined) return undefined;
    const { txn, autocommit, readOnly } = this.#context;
    // Outside a transaction the leaseholder's own now will do; a read-only one may be in the past.
    const value =
      autocommit && !readOnly ? await txn.readCurrent(span.start) : await txn.get(span.start);
    if (value === undefined) return undefined;
    const row = reader.read(span.start, value, rt);
    if (row === undefined) return undefined;
    this.#count = 1;
    return [items === undefined ? row : items.map((item) => item(row, rt))];
  }

  tag(): string {
    return `SELECT ${this.#count}`;
  }

  async close(): Promise<void> {
    this.#done = true;
  }
}
