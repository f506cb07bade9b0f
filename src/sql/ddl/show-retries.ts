/** SHOW RETRIES: the statements of this node that had to be run again, the latest first. */
import { oids } from '../types/index.ts';
import { resultColumn, runQuery } from './context.ts';
import { type Shown } from './types.ts';

const columns = [
  resultColumn('fingerprint', oids.text),
  resultColumn('restarts', oids.int8),
  resultColumn('statement_retries', oids.int8),
  resultColumn('replays', oids.int8),
  resultColumn('replays_refused', oids.int8),
  resultColumn('errors', oids.int8),
  resultColumn('last_reason', oids.text),
  resultColumn('last_at', oids.timestamptz),
];

export const showRetries: Shown = {
  columns,
  rows: (context) => {
    const names = columns.map(({ name }) => name).join(', ');
    return runQuery(context, `SELECT ${names} FROM skein_internal.statement_retries`);
  },
};
