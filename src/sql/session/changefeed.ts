/** EXPERIMENTAL CHANGEFEED FOR: the one statement that goes on until somebody stops it. */
import { kvSettings, settingValue } from '../../kv/index.ts';
import { assert } from '../../util/index.ts';
import { sqlError } from '../errors.ts';
import { Changefeed, changefeedOptions, changefeedTables } from '../feed/index.ts';
import { oids } from '../types/index.ts';
import { rangefeedsDisabled } from './kv-errors.ts';
import { type PreparedStatement } from './prepared.ts';
import { type Run, type Session } from './session.ts';
import { type ResultColumn } from './types.ts';

export const changefeedColumns: readonly ResultColumn[] = [
  column('table', oids.text),
  column('key', oids.bytea),
  column('value', oids.bytea),
];

/** Ends with a failure, as there is no other end. `alone`: nothing else is in the transaction. */
export async function runChangefeed(
  session: Session,
  { parsed }: PreparedStatement,
  run: Run,
  alone: boolean,
): Promise<never> {
  const statement = parsed?.statement.kind === 'cluster' ? parsed.statement.statement : undefined;
  assert(statement?.kind === 'changefeed', 'a changefeed is run');
  if (!alone) {
    throw sqlError(
      'activeSqlTransaction',
      'EXPERIMENTAL CHANGEFEED FOR cannot run inside a transaction block',
    );
  }
  const { env, db } = session.services;
  const check = (): void => {
    session.checkCanceled();
    checkEnabled(session);
  };
  check();
  const txn = await session.transaction.require();
  await session.runner.beginStatement(txn, { mayWrite: false });
  const context = session.runner.makeContext(txn, []);
  const now = db.clock.now();
  const options = changefeedOptions(statement, { now, eval: context.eval });
  const tables = await changefeedTables(session.catalog, statement.tables);
  // Whoever changes a definition must not wait for the end of the feed.
  await session.runner.commit();
  const { out } = run;
  out.beginResult(changefeedColumns, run.formats, run.describe);
  await out.flush();
  const feed = new Changefeed({ env, db, tables, options, from: options.cursor ?? now });
  session.onCancel = () => feed.stop();
  await feed.run(async (rows) => {
    await out.rows(rows);
    await out.flush();
  }, check);
  session.checkCanceled();
  throw sqlError('internalError', 'a changefeed has ended by itself');
}

function checkEnabled({ services }: Session): void {
  const { rangefeedEnabled } = kvSettings;
  const { settings } = services.catalogCache.current.data;
  if (!settingValue(rangefeedEnabled, settings.get(rangefeedEnabled.name))) {
    throw rangefeedsDisabled();
  }
}

function column(name: string, typeOid: number): ResultColumn {
  return { name, typeOid, typmod: -1, tableOid: 0, columnNumber: 0 };
}
