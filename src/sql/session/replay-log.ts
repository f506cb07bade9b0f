/**
 * What the statements of an open transaction did and said, so that all of them can be run again in a new one when it
 * cannot commit. If every answer is the same as before, the client cannot tell the difference; otherwise it is told of
 * the conflict (40001). After TiDB's and YugabyteDB's experience nothing is replayed on trust: answers are compared, and
 * a statement whose effect may change without a changed answer makes the whole transaction unrepeatable.
 *
 * INVARIANT: `refused` is set, or `steps` are all statements since the transaction began.
 */
import { rowBytes } from '../exec/index.ts';
import { type Datum } from '../types/datum.ts';
import { type ResultFormats } from './client.ts';
import { DrawnValues } from './drawn-values.ts';
import { type TransactionModes } from './isolation.ts';
import { type PreparedStatement } from './prepared.ts';
import { statementName } from './statement-kind.ts';

export interface ReplayStep {
  readonly statement: PreparedStatement;
  readonly params: readonly Datum[];
  readonly formats: ResultFormats;
  /** What the client was told. */
  readonly digest: string;
  /** statement_timestamp(). */
  readonly statementMicros: bigint;
  /** What EXECUTE found under its name. */
  readonly executed: PreparedStatement | undefined;
}

/** Of a step, beside its text and parameters. */
const stepBytes = 200;
/** Of a drawn value. */
const drawnBytes = 64;

/** Change nothing that a replay would have to change again, and tell nothing that comes from the keys. */
const withoutTrace = new Set([
  'VariableShowStmt',
  'PrepareStmt',
  'DeallocateStmt',
  'CheckPointStmt',
  'UnlistenStmt',
]);
/** What they do stays when the transaction is rolled back. */
const beyondRollback = new Set(['PrepareStmt', 'DeallocateStmt']);
const repeatable = new Set(['VariableSetStmt', 'ExecuteStmt', 'LockStmt', 'ConstraintsSetStmt']);

export class ReplayLog {
  readonly #maxBytes: number;
  #bytes = 0;
  steps: ReplayStep[] = [];
  readonly drawn = new DrawnValues();
  /** Why there is no replay. */
  refused: string | undefined;
  /** Something was done that a rollback does not take back: the statements since the beginning cannot be run anew on their own. */
  outlivesRollback = false;
  /** A statement has said how the transaction runs, beside BEGIN. */
  setsModes = false;
  /** How the transaction began; undefined before its first statement, and for statements that stand alone. */
  modes: TransactionModes | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Before a statement runs: is it one to be added when it has? */
  accepts(statement: PreparedStatement, modes: TransactionModes): boolean {
    this.modes ??= modes;
    const name = statementName(statement);
    if (beyondRollback.has(name)) this.outlivesRollback = true;
    if (this.refused !== undefined) return false;
    this.drawn.isOn = true;
    switch (statement.kind) {
      case 'query':
      case 'transaction':
        return true;
      case 'control': {
        if (withoutTrace.has(name)) return false;
        if (!repeatable.has(name)) this.refuse('a cursor or the like was used');
        return this.refused === undefined;
      }
      case 'copy':
        this.refuse('COPY was used');
        return false;
      case 'utility':
        this.refuse('the schema or the cluster was changed or shown');
        return false;
      case 'empty':
      // It is refused in a transaction.
      case 'changefeed':
        return false;
    }
  }

  /** `digest` undefined: the answer was too long. */
  add(step: Omit<ReplayStep, 'digest'> & { readonly digest: string | undefined }): void {
    if (this.refused !== undefined) return;
    const { digest } = step;
    if (digest === undefined) {
      this.refuse('an answer was too long');
      return;
    }
    this.#bytes += stepBytes + step.statement.text.length + rowBytes(step.params);
    if (this.#bytes + this.drawn.count * drawnBytes > this.#maxBytes)
      this.refuse('the transaction is too long');
    else this.steps.push({ ...step, digest });
  }

  /** The open transaction cannot be replayed; the first reason stays. */
  refuse(reason: string): void {
    this.refused ??= reason;
    this.steps = [];
    this.drawn.clear();
  }

  /** A BEGIN behind other statements says how all of them run: no query has been among them. */
  beginAs(modes: TransactionModes): void {
    if (this.modes === undefined) return;
    this.modes = modes;
    // It would be run again under the modes of BEGIN, and change them.
    if (this.setsModes) this.refuse('BEGIN stood behind SET TRANSACTION');
  }

  clear(): void {
    this.outlivesRollback = false;
    this.setsModes = false;
    if (this.modes === undefined && this.refused === undefined) return;
    this.modes = undefined;
    this.refused = undefined;
    this.#bytes = 0;
    this.steps = [];
    this.drawn.clear();
  }
}
