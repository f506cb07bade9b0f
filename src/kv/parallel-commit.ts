/**
 * The question that decides over a parallel commit: have all writes in flight landed at or below the staged timestamp?
 * Asked by whoever recovers the transaction, and by its coordinator when an answer was lost. A write that is
 * missing is kept from landing there later, so a 'no' stays true (trap X4).
 */
import { type KvRequest, type KvResult } from './api.ts';
import { type InFlightWrite, type TxnMeta } from './txn.ts';

export function queriesOf(staged: TxnMeta, writes: readonly InFlightWrite[]): KvRequest[] {
  return writes.map(({ key, sequence }) => ({ kind: 'query-intent', key, txn: staged, sequence }));
}

export function allLanded(answers: readonly KvResult[]): boolean {
  return answers.every((answer) => answer.kind === 'query-intent' && answer.found);
}
