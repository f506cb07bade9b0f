/** What a client is told when keys and transactions fail: KvError -> SQLSTATE, and which failures may be run anew. */
import { unreachable } from '../../util/index.ts';
import { formatTimestamp, KvFailure, type KvError } from '../../kv/index.ts';
import { failureFromWire, sqlError, SqlFailure, sqlStates } from '../errors.ts';

/** True for failures that mean "nothing happened, begin again": a statement on its own may be re-run. */
export function isRestartable(error: unknown): boolean {
  if (!(error instanceof KvFailure)) return false;
  switch (error.kvError.kind) {
    case 'txn-retry':
    case 'txn-aborted':
    case 'statement-retry':
    case 'write-too-old':
    case 'read-within-uncertainty':
    case 'txn-pushed':
    case 'refresh-failed':
      return true;
    default:
      return false;
  }
}

/** True when only the statement has to be run anew: its transaction goes on. */
export function isStatementRetry(error: unknown): boolean {
  return error instanceof KvFailure && error.kvError.kind === 'statement-retry';
}

/**
 * A step behind a commit failed: nobody may run the transaction again or take it for undone. What is wrong with the rows, for instance,
 * stays as it is; failures of the cluster are told as CockroachDB tells them.
 */
export function failureBehindCommit(error: unknown, step: string): unknown {
  const isOfCluster = error instanceof KvFailure || isSerializationFailure(error);
  if (!isOfCluster) return error;
  const { message } = toSqlFailure(error);
  return sqlError(
    'committedWithFailure',
    `the transaction has committed, but a step behind it failed: ${message}`,
    {
      detail: step,
    },
  );
}

function isSerializationFailure(error: unknown): boolean {
  return error instanceof SqlFailure && error.code === sqlStates.serializationFailure;
}

export const restartHint = 'The transaction might succeed if retried.';

export function sqlErrorOfKv(error: KvError): SqlFailure {
  switch (error.kind) {
    case 'txn-retry':
      return sqlError(
        'serializationFailure',
        'could not serialize access due to read/write dependencies among transactions',
        {
          detail: `restart transaction: ${error.reason}`,
          hint: restartHint,
        },
      );
    case 'txn-aborted':
      return sqlError(
        'serializationFailure',
        'could not serialize access: the transaction was aborted',
        {
          detail: `restart transaction: ${error.reason}`,
          hint: restartHint,
        },
      );
    case 'statement-retry':
    case 'write-too-old':
    case 'read-within-uncertainty':
    case 'txn-pushed':
    case 'refresh-failed':
      return sqlError(
        'serializationFailure',
        'could not serialize access due to concurrent update',
        {
          detail: `restart transaction: ${error.kind === 'statement-retry' ? error.reason : error.kind}`,
          hint: restartHint,
        },
      );
    case 'deadlock':
      return sqlError('deadlockDetected', 'deadlock detected', {
        detail: `Transactions wait for each other: ${error.cycle.map(({ txnId }) => txnId).join(' -> ')}.`,
        hint: restartHint,
      });
    case 'lock-not-available':
      return sqlError(
        'lockNotAvailable',
        error.timedOut
          ? 'canceling statement due to lock timeout'
          : 'could not obtain lock on row in relation',
      );
    case 'condition-failed':
      return sqlError('uniqueViolation', 'duplicate key value violates unique constraint');
    case 'ambiguous-result':
      return sqlError('statementCompletionUnknown', 'the outcome of the transaction is not known', {
        detail: error.reason,
        hint: 'It may or may not have been committed. Look before running it again.',
      });
    case 'not-closed':
      return sqlError(
        'cannotConnectNow',
        `the nearest replica knows everything up to ${formatTimestamp(error.closed)} only`,
      );
    case 'below-gc-threshold':
      return sqlError(
        'invalidParameterValue',
        `data as of ${formatTimestamp(error.timestamp)} are no longer kept: ` +
          `reads must be after the garbage collection threshold ${formatTimestamp(error.threshold)}`,
        { hint: 'The zone variable gc.ttlseconds says how long replaced versions are kept.' },
      );
    case 'unavailable':
      return sqlError(
        'cannotConnectNow',
        'part of the data is unavailable; the statement had no effect',
        {
          detail: error.reason,
        },
      );
    case 'range-not-found':
    case 'range-key-mismatch':
    case 'not-leaseholder':
    case 'still-waiting':
      return sqlError('cannotConnectNow', 'the range could not be found', { detail: error.kind });
    case 'feed-ended':
      return error.cause === 'disabled' ? rangefeedsDisabled() : dataRemoved();
    case 'canceled':
      return sqlError('queryCanceled', 'canceling statement due to user request');
    case 'too-large':
      return sqlError('programLimitExceeded', error.reason);
    case 'corruption':
      return sqlError('dataCorrupted', 'a stored value is damaged', { detail: error.reason });
    case 'invalid-request':
      return failureFromWire(error.reason) ?? sqlError('invalidParameterValue', error.reason);
    default:
      return unreachable(error);
  }
}

/** Said at the beginning of a changefeed, and when it ends for that reason. */
export function rangefeedsDisabled(): SqlFailure {
  return sqlError('featureNotSupported', 'rangefeeds require the kv.rangefeed.enabled setting', {
    hint: 'SET CLUSTER SETTING kv.rangefeed.enabled = true',
  });
}

function dataRemoved(): SqlFailure {
  return sqlError(
    'objectNotInPrerequisiteState',
    'the changefeed cannot go on: what it watches was removed for good',
  );
}

/** Anything thrown while a statement ran, as the client shall see it. */
export function toSqlFailure(error: unknown): SqlFailure {
  if (error instanceof SqlFailure) return error;
  if (error instanceof KvFailure) return sqlErrorOfKv(error.kvError);
  // V8 has no other sign of an overflowed stack; trees that nest deeply end here.
  if (error instanceof RangeError && error.message === 'Maximum call stack size exceeded') {
    return sqlError('statementTooComplex', 'stack depth limit exceeded');
  }
  const message = error instanceof Error ? error.message : String(error);
  return sqlError('internalError', `internal error: ${message}`);
}
