/** Why a replica cannot go to a store, or anywhere, in words. */
import { isFree } from './candidates.ts';
import { nameOf, type Situation } from './situation.ts';
import { freeShare, hasRoom, type StoreState } from './store-state.ts';
import { type ReplicaRole } from './types.ts';

/** Undefined: nothing but the zone's constraints could be against it. */
export function obstacleAt(
  situation: Situation,
  staying: Situation,
  store: StoreState,
): string | undefined {
  if (situation.voters.includes(store) || situation.nonVoters.includes(store)) {
    return 'holds a replica';
  }
  if (store.status !== 'live') return store.status;
  if (!isFree(situation, staying, store)) return `node ${store.nodeId} holds a replica`;
  return hasRoom(store) ? undefined : `${(freeShare(store) * 100).toFixed(0)} % of its space left`;
}

/** Why no store can take a replica beside `staying`. */
export function obstacleEverywhere(
  situation: Situation,
  staying: Situation,
  role: ReplicaRole,
): string {
  const { cluster, rules } = situation;
  const unmeetable = rules.unmeetable();
  if (unmeetable !== undefined) return `constraint ${unmeetable} matches no live store`;
  if (role === 'voter' && rules.voterNodes < rules.numVoters) {
    return `${rules.numVoters} ${nameOf(situation, role)} wanted, nodes left for ${rules.voterNodes}`;
  }
  const wanted = rules.numVoters + rules.numNonVoters;
  if (rules.nodes < wanted) return `${wanted} replicas wanted, nodes left for ${rules.nodes}`;
  const free = [...cluster.stores.values()].filter(
    (each) => each.status === 'live' && isFree(situation, staying, each),
  );
  if (free.length === 0) return 'every live node that could take one holds one';
  return free.some(hasRoom) ? 'no free store meets its constraints' : 'no free store has room';
}
