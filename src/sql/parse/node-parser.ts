/** ALTER NODE: nodes leave, stay or drain. */
import { integer, type Source } from './parts.ts';
import { type ClusterStatement } from './types.ts';

export interface NodeStatement {
  readonly kind: 'alter-nodes';
  readonly action: 'decommission' | 'recommission' | 'drain';
  readonly nodes: readonly number[];
  /** Refuse what could not come to an end. */
  readonly checks: boolean;
}

/** Behind `ALTER NODE`. */
export function alterNodes({ reader }: Source): ClusterStatement {
  const nodes = [integer(reader)];
  while (reader.takeSymbol(',')) nodes.push(integer(reader));
  const statement = (action: NodeStatement['action'], checks: boolean): NodeStatement => ({
    kind: 'alter-nodes',
    action,
    nodes,
    checks,
  });
  if (reader.take('recommission')) return statement('recommission', true);
  if (reader.take('drain')) return statement('drain', true);
  reader.expect('decommission');
  return statement('decommission', !reader.take('without', 'checks'));
}
