/**
 * What clients of a checked workload do with SQL: every attempt is made once and on one connection, and ends in a known way. Trying
 * again is another attempt, with values of its own: whoever repeats what may have happened can no longer tell what did.
 */
import { type Outcome } from '../../checkers/history.ts';
import { codeOf, type SqlQueries, type SqlResult } from '../../sql-session.ts';

export class AttemptFailure extends Error {
  /** 'fail' only where it is proven that nothing was committed. */
  readonly outcome: Exclude<Outcome, 'ok'>;
  /** SQLSTATE, or the system's name of a broken connection. */
  readonly code: string;

  constructor(outcome: Exclude<Outcome, 'ok'>, cause: unknown) {
    super(String(cause), { cause });
    this.outcome = outcome;
    this.code = codeOf(cause) ?? '';
  }
}

/** BEGIN, `body`, COMMIT. Throws AttemptFailure. */
export async function transact<T>(
  sql: SqlQueries,
  body: (sql: SqlQueries) => Promise<T>,
): Promise<T> {
  let value: T;
  try {
    await sql.query('BEGIN');
    value = await body(sql);
  } catch (error) {
    // Nothing commits that was not asked to; on a broken connection the node rolls back by itself.
    await sql.query('ROLLBACK').catch(() => undefined);
    if (codeOf(error) === undefined) throw error;
    throw new AttemptFailure('fail', error);
  }
  await execute(sql, 'COMMIT');
  return value;
}

/** One statement, which commits by itself (or COMMIT). Throws AttemptFailure. */
export async function execute<Row extends object>(
  sql: SqlQueries,
  text: string,
  values: readonly unknown[] = [],
): Promise<SqlResult<Row>> {
  try {
    return await sql.query<Row>(text, values);
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    const isCertain = changesNothing.test(text) || provesNothingHappened.test(code);
    throw new AttemptFailure(isCertain ? 'fail' : 'info', error);
  }
}

/** No workload calls functions that do: an answer that was lost leaves nothing to know. */
const changesNothing = /^(SELECT|SET) /;

/** Refused as it stands, a violated constraint, a transaction that must be tried again, a failed one. */
const provesNothingHappened = /^(0A000|22|23|25P02|40001|40P01|42|55P03)/;
