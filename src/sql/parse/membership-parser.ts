/** ALTER NODE, ALTER STORE: nodes and stores leave, stay or drain. */
import { integer, type Source } from './parts.ts';

export interface MembershipStatement {
  readonly kind: 'alter-members';
  readonly what: 'node' | 'store';
  readonly action: 'decommission' | 'recommission' | 'drain';
  readonly ids: readonly number[];
  readonly checks: DecommissionChecks;
}

/**
 * 'enabled': a decommissioning that could not come to its end is refused. 'strict': also while a range needs something done
 * already. 'skip': it waits for whatever changes.
 */
export type DecommissionChecks = 'enabled' | 'strict' | 'skip';

/** Behind `ALTER NODE`, `ALTER STORE`. */
export function alterMembers(
  { reader }: Source,
  what: MembershipStatement['what'],
): MembershipStatement {
  const ids = [integer(reader)];
  while (reader.takeSymbol(',')) ids.push(integer(reader));
  const statement = (
    action: MembershipStatement['action'],
    checks: DecommissionChecks = 'enabled',
  ): MembershipStatement => ({ kind: 'alter-members', what, action, ids, checks });
  if (reader.take('recommission')) return statement('recommission');
  if (reader.take('drain')) return statement('drain');
  reader.expect('decommission');
  if (reader.take('without', 'checks')) return statement('decommission', 'skip');
  return statement('decommission', reader.take('with', 'strict', 'checks') ? 'strict' : 'enabled');
}
