/** What one execution of a plan carries: parameters, outer-row slots, caches, memory account. */
import { type Txn } from '../../kv/index.ts';
import { yieldTurn } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { type EvalContext } from '../functions/registry-types.ts';
import { type StatementContext } from '../session/types.ts';
import { ArrayDatum, type Datum, Jsonb, Numeric, RecordDatum, type Row } from '../types/index.ts';

/** Largest batch that operators hand over. */
export const batchRows = 1024;

/** A result set kept for several readers (CTE, working table of a recursive query). */
export interface RowSet {
  rows: readonly Row[];
}

export class Runtime {
  readonly context: StatementContext;
  readonly txn: Txn;
  readonly eval: EvalContext;
  readonly params: readonly Datum[];
  /** Values of outer rows for dependent plans; each site owns its slots. */
  readonly slots: Datum[];
  /** Results of WITH queries, by CTE id: read at first use. */
  readonly ctes = new Map<number, () => Promise<RowSet>>();
  readonly workTables = new Map<number, RowSet>();
  /** Work to be done when the statement's reads are finished (writes, constraint checks), in order. */
  readonly atEnd: (() => Promise<void>)[] = [];
  /** What does not depend on outer rows, by its place in the statement. */
  readonly #sites = new Map<number, Promise<unknown>>();
  #bytes = 0;
  #batches = 0;

  constructor(context: StatementContext, slotCount: number) {
    this.context = context;
    this.txn = context.txn;
    this.eval = context.eval;
    this.params = context.params;
    this.slots = Array.from<Datum>({ length: slotCount }).fill(null);
  }

  /** The result of the site, made by the first caller. Without a site each caller makes its own. */
  once<T>(site: number | undefined, make: () => Promise<T>): Promise<T> {
    if (site === undefined) return make();
    const known = this.#sites.get(site) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const made = make();
    this.#sites.set(site, made);
    return made;
  }

  /** Claims memory for rows that an operator keeps. */
  hold(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.context.memoryLimitBytes) return;
    throw sqlError('outOfMemory', 'out of memory', {
      detail: `The statement holds more than its limit of ${this.context.memoryLimitBytes} bytes.`,
    });
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Between batches: cancel requests and other work of the node get their turn. */
  async breathe(): Promise<void> {
    this.context.checkCanceled();
    if (++this.#batches % 4 === 0) await yieldTurn(this.context.env);
    this.context.checkCanceled();
  }
}

const wordBytes = 16;

/** About how much a row takes in memory. */
export function rowBytes(row: Row): number {
  let bytes = 48;
  for (const value of row) bytes += datumBytes(value);
  return bytes;
}

export function datumBytes(value: Datum): number {
  switch (typeof value) {
    case 'string':
      return wordBytes + value.length;
    case 'bigint':
      return wordBytes + 8;
    case 'object':
      if (value === null) return 8;
      if (Buffer.isBuffer(value)) return 96 + value.length;
      if (value instanceof Numeric) return 64;
      if (value instanceof ArrayDatum) {
        return value.elements.reduce<number>((sum, element) => sum + datumBytes(element), 64);
      }
      if (value instanceof RecordDatum) return rowBytes(value.values) + wordBytes;
      if (value instanceof Jsonb) return 256;
      return 64;
    default:
      return 8;
  }
}
