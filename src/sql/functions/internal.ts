/** Functions of skein_internal (also crdb_internal, kwdb_internal): to be called by their qualified names. */
import { asBool, asBuffer } from '../types/index.ts';
import { setFunction } from './define.ts';
import { type SetFunction } from './registry-types.ts';

export const internalFunctions: readonly SetFunction[] = [
  // As CockroachDB's crdb_internal.check_consistency.
  setFunction(
    'skein_internal.check_consistency(bool,bytea,bytea) record',
    ([statsOnly, start, end], context) =>
      context.host.checkConsistency(asBool(statsOnly), asBuffer(start), asBuffer(end)),
    {
      volatility: 'volatile',
      columns: [
        ['range_id', 'int8'],
        ['start_key', 'bytea'],
        ['start_key_pretty', 'text'],
        ['status', 'text'],
        ['detail', 'text'],
        ['duration', 'interval'],
      ],
    },
  ),
];
