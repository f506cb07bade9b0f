/**
 * A leaseholder does not remove itself. Its replica moves in three steps: the new replica is added, the lease is handed
 * over, and the old one is dropped as surplus. Handing over first would leave the move to a leaseholder that may have
 * other ideas: when no other voter meets the lease preference, the lease would be fetched back for ever. A range
 * that lacks voters, in which nothing is surplus, hands over first nevertheless: it moves only when it must.
 */
import { add, promote, transferLease } from './actions.ts';
import { heirs } from './heirs.ts';
import { type Situation } from './situation.ts';
import { type PlacementAction } from './types.ts';

/** The first step of `action`. */
export function firstStep(situation: Situation, action: PlacementAction): PlacementAction {
  const { cluster, range } = situation;
  if (leavingVoter(action) !== range.leaseholder) return action;
  const [heir] = heirs(situation);
  const isWhole = situation.voters.length >= situation.rules.numVoters;
  if (action.kind === 'replace' && (isWhole || heir === undefined)) {
    const to = cluster.stores.get(action.add.storeId);
    return to === undefined ? action : add('voter', to, action.reason);
  }
  if (heir !== undefined) return transferLease(heir, action.reason);
  if (action.kind !== 'swap') return action;
  const to = cluster.stores.get(action.promote.storeId);
  return to === undefined ? action : promote(to, action.reason);
}

function leavingVoter(action: PlacementAction): number | undefined {
  switch (action.kind) {
    case 'replace':
      return action.remove.storeId;
    case 'remove':
    case 'demote':
      return action.target.storeId;
    case 'swap':
      return action.demote.storeId;
    default:
      return undefined;
  }
}
