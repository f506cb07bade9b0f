/** Money that is moved between accounts: every read of all of them sees the same total. */
import { type Finding, type Recorded } from './history.ts';
import { findingsAmong } from './describe.ts';
import { int, listOf, operations, orNull, tuple, type OperationOf } from './shape.ts';

const shapes = {
  /** From, to, amount. */
  transfer: tuple(int, int, int),
  /** Account and balance. */
  read: orNull(listOf(tuple(int, orNull(int)))),
};

export type BankOperation = OperationOf<typeof shapes>;
export const bankCodec = operations(shapes);

export interface Accounts {
  /** They are numbered from 0. */
  readonly accounts: number;
  readonly total: number;
}

/**
 *   missing-account, unknown-account, duplicate-account, null-balance
 *   negative       a transfer took what was not there
 *   wrong-total    money came or went
 */
export function checkBank(
  history: readonly Recorded<BankOperation>[],
  { accounts, total }: Accounts,
): Finding[] {
  const { findings, found } = findingsAmong(bankCodec);
  for (const operation of history) {
    const { what, outcome } = operation;
    if (what.kind !== 'read' || what.value === null || outcome !== 'ok') continue;
    for (const anomaly of anomaliesOf(what.value, { accounts, total })) {
      found(anomaly, operation);
    }
  }
  return findings;
}

function anomaliesOf(
  rows: readonly (readonly [number, number | null])[],
  { accounts, total }: Accounts,
): string[] {
  const anomalies = new Set<string>();
  const seen = new Set<number>();
  let sum = 0;
  for (const [account, balance] of rows) {
    if (account < 0 || account >= accounts) anomalies.add('unknown-account');
    if (seen.has(account)) anomalies.add('duplicate-account');
    if (balance === null) anomalies.add('null-balance');
    else if (balance < 0) anomalies.add('negative');
    seen.add(account);
    sum += balance ?? 0;
  }
  if (seen.size < accounts) anomalies.add('missing-account');
  if (rows.length === accounts && sum !== total) anomalies.add('wrong-total');
  return [...anomalies];
}
