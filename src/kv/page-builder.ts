/** Collects the rows of one scan page under its limits, through a row program when there is one. */
import { type RowProgram, type RowProgramRun } from './api.ts';

export interface PageLimits {
  /** Returned rows; 0 = no limit. */
  readonly maxRows: number;
  /** Returned bytes; 0 = no limit. The row that reaches it is still returned. */
  readonly maxBytes: number;
}

export class PageBuilder {
  readonly #maxRows: number;
  readonly #maxBytes: number;
  readonly #run: RowProgramRun | undefined;
  readonly keys: Buffer[] = [];
  values: Buffer[] = [];
  #bytes = 0;
  /** The last row produced output at once: what a locking scan has to lock. */
  grew = false;

  constructor(limits: PageLimits, program: RowProgram | undefined) {
    this.#maxRows = limits.maxRows;
    this.#maxBytes = limits.maxBytes;
    this.#run = program?.start();
  }

  /** Takes one live row, whose buffers it keeps; returns true when the page is full. */
  row(key: Buffer, value: Buffer): boolean {
    const run = this.#run;
    if (run === undefined) {
      this.keys.push(key);
      this.values.push(value);
      this.#bytes += key.length + value.length;
      this.grew = true;
      return this.#full(this.values.length);
    }
    const enough = run.row(key, value);
    const before = this.values.length;
    for (const output of run.take()) {
      this.values.push(output);
      this.#bytes += output.length;
    }
    this.grew = this.values.length > before;
    return enough || this.#full(run.produced);
  }

  /** Adds what the program held back. Called once, behind the last row. */
  finish(): void {
    if (this.#run === undefined) return;
    for (const output of this.#run.take()) this.values.push(output);
    for (const output of this.#run.finish()) this.values.push(output);
  }

  #full(rows: number): boolean {
    return (
      (this.#maxRows > 0 && rows >= this.#maxRows) ||
      (this.#maxBytes > 0 && this.#bytes >= this.#maxBytes)
    );
  }
}
