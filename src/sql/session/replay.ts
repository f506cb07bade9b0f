/** Runs the statements of a transaction that cannot commit again, in a new one, and compares what they say. */
import { DigestOutput, silentOutput } from './answer-digest.ts';
import { isRestartable, toSqlFailure } from './kv-errors.ts';
import { type ReplayStep } from './replay-log.ts';
import { type SessionTransaction } from './transaction.ts';
import { SqlFailure, sqlStates } from '../errors.ts';

export interface ReplayPort {
  readonly transaction: SessionTransaction;
  /** Of the catalog that the open transaction sees. */
  catalogVersion(): number;
  /** The session has what the step found there: prepared statements are not part of a transaction. */
  isAsBefore(step: ReplayStep): boolean;
  /** Runs one statement; its answer goes to `out`. */
  run(step: ReplayStep, out: DigestOutput): Promise<void>;
  /** Before another try, counted from 1. */
  pause(attempt: number): Promise<void>;
  readonly maxTries: number;
}

/** "Nothing happened, begin again": the transaction may be replayed. */
export function isAgain(error: unknown): boolean {
  return isRestartable(error) || (error instanceof SqlFailure && error.code === '40001');
}

/**
 * Undefined: the transaction stands where it stood, its statements done again with the same answers. Otherwise the reason
 * why not, and the transaction is lost. Throws 57014 when the statement is cancelled meanwhile.
 */
export async function replay(port: ReplayPort): Promise<string | undefined> {
  const { transaction } = port;
  const { log } = transaction;
  if (log.refused !== undefined) return log.refused;
  if (!log.steps.every((step) => port.isAsBefore(step)))
    log.refuse('a prepared statement was replaced');
  if (log.refused !== undefined) return log.refused;
  const { savepoints } = transaction;
  let refused: string | undefined = 'it was cancelled';
  try {
    refused = await replayAll(port, port.catalogVersion());
    return refused;
  } finally {
    if (refused !== undefined) await transaction.abandon(savepoints);
  }
}

async function replayAll(port: ReplayPort, version: number): Promise<string | undefined> {
  const { transaction, maxTries } = port;
  for (let attempt = 1; attempt <= maxTries; attempt++) {
    await transaction.restart();
    try {
      return await replaySteps(port, transaction.log.steps, version);
    } catch (error) {
      if (!isAgain(error)) throw error;
    }
    await port.pause(attempt);
  }
  return 'it was overtaken too often';
}

async function replaySteps(
  port: ReplayPort,
  steps: readonly ReplayStep[],
  version: number,
): Promise<string | undefined> {
  for (const step of steps) {
    if ((await digestOf(port, step)) !== step.digest) return 'an answer would be another one';
    // Plans, and functions that look into the catalog, are as good as the catalog they come from.
    if (port.catalogVersion() !== version) return 'the schema has changed';
  }
  return undefined;
}

async function digestOf(port: ReplayPort, step: ReplayStep): Promise<string | undefined> {
  const out = new DigestOutput(silentOutput);
  try {
    await port.run(step, out);
    return out.digest();
  } catch (error) {
    const failure = toSqlFailure(error);
    if (isAgain(error) || failure.code === sqlStates.queryCanceled) throw error;
    await port.transaction.fail();
    return out.failed(failure);
  }
}
