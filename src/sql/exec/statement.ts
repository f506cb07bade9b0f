/** One execution of a compiled statement, as the session sees it. */
import {
  type ResultColumn,
  type StatementContext,
  type StatementResult,
} from '../session/types.ts';
import { sqlError } from '../errors.ts';
import { type Row } from '../types/index.ts';
import { affectedRows, finishWrites } from './dml/statements.ts';
import { mutationsOf } from './dml/mutations.ts';
import { type Operator, type Plan } from './operator.ts';
import { Runtime } from './runtime.ts';

export interface CompiledStatement {
  readonly plan: Plan;
  readonly slotCount: number;
  readonly columns: readonly ResultColumn[];
  /** Positions of the result columns in the plan's rows; undefined: the rows are the result. */
  readonly positions: readonly number[] | undefined;
  readonly writes: boolean;
  readonly tag: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'EXPLAIN';
}

export function runStatement(
  compiled: CompiledStatement,
  context: StatementContext,
): StatementResult {
  const rt = new Runtime(context, compiled.slotCount);
  return compiled.writes ? new WritingResult(compiled, rt) : new ReadingResult(compiled, rt);
}

function shape(rows: readonly Row[], positions: readonly number[] | undefined): readonly Row[] {
  if (positions === undefined) return rows;
  return rows.map((row) => positions.map((position) => row[position] ?? null));
}

function tagText(tag: CompiledStatement['tag'], count: number): string {
  if (tag === 'EXPLAIN') return tag;
  return tag === 'INSERT' ? `INSERT 0 ${count}` : `${tag} ${count}`;
}

class ReadingResult implements StatementResult {
  readonly columns: readonly ResultColumn[];
  readonly #compiled: CompiledStatement;
  readonly #rt: Runtime;
  #source: Operator | undefined;
  #count = 0;
  #closed = false;

  constructor(compiled: CompiledStatement, rt: Runtime) {
    this.columns = compiled.columns;
    this.#compiled = compiled;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    if (this.#closed) return undefined;
    this.#source ??= this.#compiled.plan.open(this.#rt);
    const batch = await this.#source.next();
    if (batch === undefined) {
      await this.close();
      return undefined;
    }
    this.#count += batch.length;
    return shape(batch, this.#compiled.positions);
  }

  tag(): string {
    return tagText(this.#compiled.tag, this.#count);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#source?.close();
  }
}

/** A writing statement does everything at the first `next`: rows go out when the writes are in. */
class WritingResult implements StatementResult {
  readonly columns: readonly ResultColumn[];
  readonly #compiled: CompiledStatement;
  readonly #rt: Runtime;
  #batches: (readonly Row[])[] | undefined;
  #selected = 0;

  constructor(compiled: CompiledStatement, rt: Runtime) {
    this.columns = compiled.columns;
    this.#compiled = compiled;
    this.#rt = rt;
  }

  async next(): Promise<readonly Row[] | undefined> {
    this.#batches ??= await this.#run();
    return this.#batches.shift();
  }

  async #run(): Promise<(readonly Row[])[]> {
    const rt = this.#rt;
    if (rt.context.readOnly) {
      throw sqlError(
        'readOnlySqlTransaction',
        `cannot execute ${this.#compiled.tag} in a read-only transaction`,
      );
    }
    const source = this.#compiled.plan.open(rt);
    const batches: (readonly Row[])[] = [];
    try {
      for (;;) {
        const batch = await mutationsOf(rt).guard(() => source.next());
        if (batch === undefined) break;
        if (this.#compiled.columns.length > 0) batches.push(shape(batch, this.#compiled.positions));
        this.#selected += batch.length;
      }
    } finally {
      source.close();
    }
    await finishWrites(rt);
    return batches;
  }

  tag(): string {
    const { tag } = this.#compiled;
    return tagText(tag, tag === 'SELECT' ? this.#selected : affectedRows(this.#rt));
  }

  async close(): Promise<void> {
    this.#batches ??= [];
  }
}
