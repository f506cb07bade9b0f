/** Prepared statements and portals: the objects of the extended protocol, also used for EXECUTE and cursors. */
import { type Datum, type Row } from '../types/datum.ts';
import { sqlError } from '../errors.ts';
import { rowBytes } from '../exec/index.ts';
import { type ParsedStatement } from '../parse/index.ts';
import { type PreparedPlan } from '../plan/types.ts';
import { type ResultFormats } from './client.ts';
import { kindOfStatement, type StatementKind } from './statement-kind.ts';
import { type ResultColumn, type StatementResult } from './types.ts';

export interface PreparedStatement {
  readonly name: string;
  /** The query text as the client gave it: for pg_prepared_statements. */
  readonly text: string;
  /** Undefined for an empty query. */
  readonly parsed: ParsedStatement | undefined;
  readonly kind: StatementKind;
  /** Types the client asked for; 0 = to be inferred. */
  readonly requestedTypes: readonly number[];
  parameterTypes: readonly number[];
  columns: readonly ResultColumn[];
  plan: PreparedPlan | undefined;
  /** SessionSettings.planEpoch the plan was made under. */
  planEpoch: number;
  /** The columns were told to a client: they may not change any more. */
  isDescribed: boolean;
  /** Its parameters stand for literals (`templates.ts`). */
  isTemplate: boolean;
}

export interface Portal {
  readonly name: string;
  readonly statement: PreparedStatement;
  readonly params: readonly Datum[];
  readonly formats: ResultFormats;
  /** Made by DECLARE: FETCH reads it. */
  readonly isCursor: boolean;
  /** Running, when it was declared, suspended or fetched from. */
  run: PortalRun | undefined;
  /** It has run as a whole. */
  isDone: boolean;
}

/** Rows of a portal that nobody has taken yet. */
export class HeldRows {
  readonly rows: Row[] = [];
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Throws 53200 when they are too many. */
  add(rows: readonly Row[]): void {
    for (const row of rows) {
      this.rows.push(row);
      this.#bytes += rowBytes(row);
    }
    if (this.#bytes <= this.#limitBytes) return;
    throw sqlError('outOfMemory', 'out of memory', {
      detail: `The rows of a portal take more than ${this.#limitBytes} bytes.`,
    });
  }
}

/**
 * Rows of a result on demand, in any portions. What failed stays failed: nobody takes the rows behind a failure for the rest.
 */
export class PortalRun {
  readonly result: StatementResult;
  readonly formats: ResultFormats;
  readonly #name: string;
  #batch: readonly Row[] = [];
  #at = 0;
  #state: 'open' | 'ended' | 'failed' = 'open';
  /** A failure that nobody has been told of yet. */
  #untold: { readonly error: unknown } | undefined;
  /** Something was read, or tried. */
  hasBegun = false;
  rowsTaken = 0;

  /** `name`: of the portal. */
  constructor(name: string, result: StatementResult, formats: ResultFormats) {
    this.#name = name;
    this.result = result;
    this.formats = formats;
  }

  /** At most `count` rows; fewer only at the end. Throws what failed, be it in `complete`, and from then on 55000. */
  async take(count: number): Promise<Row[]> {
    this.#throwUntold();
    if (this.#state === 'failed') {
      throw sqlError('objectNotInPrerequisiteState', `portal "${this.#name}" cannot be run`);
    }
    try {
      const rows = await this.#take(count);
      this.rowsTaken += rows.length;
      return rows;
    } catch (error) {
      this.#fail();
      throw error;
    }
  }

  async #take(count: number): Promise<Row[]> {
    const rows: Row[] = [];
    while (rows.length < count) {
      if (this.#at >= this.#batch.length && !(await this.#refill())) break;
      const end = Math.min(this.#batch.length, this.#at + count - rows.length);
      for (; this.#at < end; this.#at++) {
        const row = this.#batch[this.#at];
        if (row !== undefined) rows.push(row);
      }
    }
    return rows;
  }

  /**
   * Runs to the end and keeps the rows: a statement that writes has its whole effect before its first row shows, and one
   * that reads does not see what comes after its snapshot. Never throws: whoever takes next is told of a failure, which is
   * 53200 when the rows take more than `limitBytes`.
   */
  async complete(limitBytes: number): Promise<void> {
    if (this.#state !== 'open') return;
    try {
      this.#batch = await this.#rest(limitBytes);
      this.#at = 0;
      this.#state = 'ended';
    } catch (error) {
      this.#fail();
      this.#untold = { error };
    }
  }

  async #rest(limitBytes: number): Promise<readonly Row[]> {
    const held = new HeldRows(limitBytes);
    held.add(this.#batch.slice(this.#at));
    for (let batch = await this.#next(); batch !== undefined; batch = await this.#next()) {
      held.add(batch);
    }
    return held.rows;
  }

  async #refill(): Promise<boolean> {
    while (this.#state === 'open') {
      const batch = await this.#next();
      if (batch === undefined) this.#state = 'ended';
      this.#batch = batch ?? [];
      this.#at = 0;
      if (this.#batch.length > 0) return true;
    }
    return false;
  }

  #next(): Promise<readonly Row[] | undefined> {
    this.hasBegun = true;
    return this.result.next();
  }

  #fail(): void {
    this.#state = 'failed';
    this.#batch = [];
    this.#at = 0;
  }

  #throwUntold(): void {
    const untold = this.#untold;
    this.#untold = undefined;
    if (untold !== undefined) throw untold.error;
  }
}

export function makeStatement(
  name: string,
  text: string,
  parsed: ParsedStatement | undefined,
  types: readonly number[],
): PreparedStatement {
  return {
    name,
    text,
    parsed,
    kind: kindOfStatement(parsed),
    requestedTypes: types,
    parameterTypes: types,
    columns: [],
    plan: undefined,
    planEpoch: 0,
    isDescribed: false,
    isTemplate: false,
  };
}
