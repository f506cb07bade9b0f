/** What a decision was chosen from: for each store how good it would have been, or why it could not be. */
import { compareRanks, diversityAt, leastUseful, rankAt } from './candidates.ts';
import { heirs } from './heirs.ts';
import { obstacleAt } from './obstacles.ts';
import { holders, without, type Situation } from './situation.ts';
import { type Considered, type PlacementAction, type ReplicaRole } from './types.ts';

/** Stores named per decision. */
const consideredMax = 12;

export function withConsidered(situation: Situation, action: PlacementAction): PlacementAction {
  return { ...action, considered: consideredFor(situation, action).slice(0, consideredMax) };
}

function consideredFor(situation: Situation, action: PlacementAction): Considered[] {
  switch (action.kind) {
    case 'add':
      return places(situation, situation, action.role);
    case 'replace': {
      const gone = holders(situation, action.role).find(
        (each) => each.storeId === action.remove.storeId,
      );
      const staying = gone === undefined ? situation : without(situation, gone);
      return places(situation, staying, action.role);
    }
    case 'remove':
      return replicas(situation, action.role);
    case 'demote':
      return replicas(situation, 'voter');
    case 'promote':
    case 'swap':
      return replicas(situation, 'non-voter');
    case 'transfer-lease':
      return heirs(situation).map(({ storeId, leaseCount, qps }) => ({
        storeId,
        verdict: `${leaseCount} leases, ${qps.toFixed(0)} requests/s`,
      }));
  }
}

/** Every store as a place for one more replica: possible ones first, in order of preference. */
function places(situation: Situation, staying: Situation, role: ReplicaRole): Considered[] {
  const rated = [...situation.cluster.stores.values()].map((store) => ({
    store,
    obstacle: obstacleAt(situation, staying, store),
    rank: rankAt(staying, role, store.site),
  }));
  rated.sort(
    (a, b) =>
      Number(a.obstacle !== undefined) - Number(b.obstacle !== undefined) ||
      compareRanks(a.rank, b.rank) ||
      a.store.rangeCount - b.store.rangeCount ||
      a.store.storeId - b.store.storeId,
  );
  return rated.map(({ store, obstacle: reason, rank }) => {
    const violations = rank.violations === 0 ? '' : `, violations ${rank.violations}`;
    const merit = `diversity ${rank.diversity.toFixed(2)}, ${store.rangeCount} ranges${violations}`;
    return { storeId: store.storeId, verdict: reason ?? merit };
  });
}

function replicas(situation: Situation, role: ReplicaRole): Considered[] {
  return leastUseful(situation, role).map((store) => {
    const diversity = diversityAt(without(situation, store), role, store.site);
    const merit = `diversity ${diversity.toFixed(2)}, ${store.rangeCount} ranges`;
    return { storeId: store.storeId, verdict: merit };
  });
}
