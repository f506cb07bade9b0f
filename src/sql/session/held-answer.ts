/**
 * The whole answer of a statement that is no query, to be handed out in pieces: Execute has a row limit for SHOW, FETCH and
 * EXECUTE too. As in PostgreSQL such a statement runs to its end before its first row is told.
 */
import { type Row } from '../types/datum.ts';
import { silentOutput } from './answer-digest.ts';
import { type ClientOutput, type ResultFormats } from './client.ts';
import { HeldRows } from './prepared.ts';
import { type ResultColumn, type StatementResult } from './types.ts';

export class HeldAnswer implements StatementResult {
  /** Empty for a statement that told no rows. */
  columns: readonly ResultColumn[] = [];
  formats: ResultFormats = [];
  /** What the statement runs with; what it has to say beside its rows leaves at once. */
  readonly output: ClientOutput;
  readonly #limitBytes: number;
  #rows: HeldRows;
  #tag = '';

  constructor(out: ClientOutput, limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#rows = new HeldRows(limitBytes);
    this.output = {
      ...silentOutput,
      beginResult: (columns, formats) => {
        this.columns = columns;
        this.formats = formats;
      },
      rows: (rows) => {
        this.#rows.add(rows);
        return undefined;
      },
      complete: (tag) => {
        this.#tag = tag;
      },
      notice: (severity, code, message) => out.notice(severity, code, message),
      mark: () => out.mark(),
      rewind: (mark) => {
        this.#forget();
        return out.rewind(mark);
      },
    };
  }

  #forget(): void {
    this.columns = [];
    this.#rows = new HeldRows(this.#limitBytes);
  }

  next(): Promise<readonly Row[] | undefined> {
    const { rows } = this.#rows;
    this.#rows = new HeldRows(this.#limitBytes);
    return Promise.resolve(rows.length === 0 ? undefined : rows);
  }

  tag(): string {
    return this.#tag;
  }

  close(): Promise<void> {
    this.#rows = new HeldRows(this.#limitBytes);
    return Promise.resolve();
  }
}
