/**
 * Placement decisions: the next thing to do for one range, given a picture of the cluster. Pure; every
 * decision can be replayed from its input. The order of the rules is their priority:
 *
 *   1. finish what was begun          4. drop what is too much
 *   2. replace dead replicas          5. leases off draining stores
 *   3. add missing replicas           6. balance ranges, then leases
 *
 * Balance moves a range or a lease only when the difference shrinks by it and is larger than the
 * dead band, so that two stores never pass one to and fro.
 */
import { isChanging, type ReplicaDescriptor, type StoreId, type ZoneConfig } from '../kv/index.ts';
import { diversityOf } from './diversity.ts';
import {
  type AllocatorAction,
  type AllocatorSettings,
  type RangePicture,
  type StorePicture,
} from './types.ts';

/** Stores with at most so many ranges more or less than the mean are balanced, whatever the threshold says. */
const balanceMin = 2;
const nothingToDo: AllocatorAction = { kind: 'none', blocked: [] };
/** A store with less free space than this share takes nothing more. */
const freeShareMin = 0.05;

interface Situation {
  readonly stores: ReadonlyMap<StoreId, StorePicture>;
  readonly voters: readonly ReplicaDescriptor[];
  readonly range: RangePicture;
}

export function decide(
  stores: readonly StorePicture[],
  range: RangePicture,
  zone: ZoneConfig,
  settings: AllocatorSettings,
): AllocatorAction {
  const byId = new Map(stores.map((store) => [store.storeId, store]));
  const voters = range.replicas.filter(({ kind }) => kind !== 'learner' && kind !== 'non-voter');
  const situation: Situation = { stores: byId, voters, range };
  const alive = voters.filter((each) => isAlive(byId.get(each.storeId)));
  const quorum = Math.floor(voters.length / 2) + 1;
  if (alive.length < quorum) return { kind: 'unavailable', live: alive.length, needed: quorum };
  if (isChanging(range)) return { kind: 'finish-change' };
  const needed =
    replaceDead(situation, zone) ??
    addMissing(situation, zone) ??
    dropSurplus(situation, zone) ??
    leaveDraining(situation);
  if (needed !== undefined) return needed;
  if (range.balancing === 'none') return nothingToDo;
  return balanceRanges(situation, settings) ?? balanceLeases(situation, settings) ?? nothingToDo;
}

/**
 * Whose turn it is to balance: live stores take turns, in the order of their ids. Two leaseholders that
 * looked at the same picture at the same time would both send a range to the emptiest store; taking turns,
 * each sees what the one before has done. Clocks that differ only make turns overlap.
 *
 * `nowMs` is wall time, `turnMs` how long a turn lasts.
 */
export function balanceTurn(
  stores: readonly StorePicture[],
  own: StoreId,
  nowMs: number,
  turnMs: number,
): boolean {
  const live = stores.filter((each) => each.status === 'live').map((each) => each.storeId);
  live.sort((a, b) => a - b);
  return live.length > 0 && live[Math.floor(nowMs / turnMs) % live.length] === own;
}

/** How many voters a range should grow to now: never an even number for want of nodes. */
export function wantedVoters(stores: readonly StorePicture[], zone: ZoneConfig): number {
  const nodes = new Set(stores.filter((each) => each.status !== 'dead').map((each) => each.nodeId));
  if (nodes.size >= zone.numReplicas) return zone.numReplicas;
  return Math.max(1, nodes.size % 2 === 0 ? nodes.size - 1 : nodes.size);
}

function isAlive(store: StorePicture | undefined): boolean {
  return store !== undefined && (store.status === 'live' || store.status === 'draining');
}

function replaceDead(situation: Situation, zone: ZoneConfig): AllocatorAction | undefined {
  const { stores, voters } = situation;
  const dead = voters.find((each) => stores.get(each.storeId)?.status === 'dead');
  if (dead === undefined) return undefined;
  const remove = { nodeId: dead.nodeId, storeId: dead.storeId };
  const reason = `store ${dead.storeId} is dead`;
  if (voters.length > zone.numReplicas)
    return { kind: 'remove', role: 'voter', target: remove, reason, considered: [] };
  const add = bestCandidate(
    situation,
    voters.filter((each) => each !== dead),
  );
  // With nowhere to go the dead voter stays: it may come back, and two of two are no better than two of three.
  if (add === undefined) return undefined;
  return {
    kind: 'replace',
    role: 'voter',
    add: place(add),
    remove,
    purpose: 'recovery',
    reason,
    considered: [],
  };
}

function addMissing(situation: Situation, zone: ZoneConfig): AllocatorAction | undefined {
  const { stores, voters } = situation;
  const wanted = wantedVoters([...stores.values()], zone);
  if (voters.length >= wanted) return undefined;
  const candidate = bestCandidate(situation, voters);
  if (candidate === undefined) return undefined;
  const reason = `${voters.length} of ${wanted} replicas`;
  return { kind: 'add', role: 'voter', target: place(candidate), reason, considered: [] };
}

function dropSurplus(situation: Situation, zone: ZoneConfig): AllocatorAction | undefined {
  const { stores, voters, range } = situation;
  const wanted = zone.numReplicas;
  // A shrinking cluster keeps what it has: only the zone decides what is too much.
  if (voters.length <= wanted) return undefined;
  const alive = voters.filter((each) => isAlive(stores.get(each.storeId)));
  if (alive.length - 1 < Math.floor((voters.length - 1) / 2) + 1) return undefined;
  const known = voters.flatMap((each) => stores.get(each.storeId) ?? []);
  const ranked = [...known].sort((a, b) => {
    const others = (store: StorePicture): StorePicture[] => known.filter((each) => each !== store);
    const diversity = diversityAmong(a, others(a)) - diversityAmong(b, others(b));
    if (diversity !== 0) return diversity;
    const holds = Number(a.storeId === range.leaseholder) - Number(b.storeId === range.leaseholder);
    return holds || b.rangeCount - a.rangeCount || a.storeId - b.storeId;
  });
  const [worst] = ranked;
  if (worst === undefined) return undefined;
  const reason = `${voters.length} replicas where ${wanted} are wanted`;
  return { kind: 'remove', role: 'voter', target: place(worst), reason, considered: [] };
}

function leaveDraining(situation: Situation): AllocatorAction | undefined {
  const { stores, range } = situation;
  if (stores.get(range.leaseholder)?.status !== 'draining') return undefined;
  const heir = leaseCandidates(situation)[0];
  if (heir === undefined) return undefined;
  const reason = `store ${range.leaseholder} is draining`;
  return { kind: 'transfer-lease', to: heir.storeId, reason, considered: [] };
}

function balanceRanges(
  situation: Situation,
  settings: AllocatorSettings,
): AllocatorAction | undefined {
  const { stores, voters } = situation;
  const live = [...stores.values()].filter((each) => each.status === 'live');
  const known = voters.flatMap((each) => stores.get(each.storeId) ?? []);
  if (known.length !== voters.length || live.length <= voters.length) return undefined;
  // A leaseholder hands over before it leaves: it takes two.
  if (voters.length === 1) return undefined;
  const mean = live.reduce((sum, each) => sum + each.rangeCount, 0) / live.length;
  const band = Math.max(mean * settings.rangeThreshold, balanceMin);
  let best: { from: StorePicture; to: StorePicture; gain: number; reason: string } | undefined;
  for (const from of known) {
    const others = known.filter((each) => each !== from);
    const staying = voters.filter((each) => each.storeId !== from.storeId);
    const before = diversityAmong(from, others);
    for (const to of candidates(situation, staying)) {
      if (to.storeId === from.storeId) continue;
      const after = diversityAmong(to, others);
      const spread = from.rangeCount - to.rangeCount;
      if (after < before) continue;
      const farther = after > before;
      const overfull = from.rangeCount > mean + band && to.rangeCount < mean;
      const underfull = to.rangeCount < mean - band && from.rangeCount > mean;
      if (!farther && !(spread > balanceMin && (overfull || underfull))) continue;
      const gain = (after - before) * 1e9 + spread;
      if (best === undefined || gain > best.gain) {
        const reason = farther
          ? `store ${to.storeId} is farther from the others`
          : `store ${from.storeId} has ${from.rangeCount} ranges, store ${to.storeId} ${to.rangeCount}`;
        best = { from, to, gain, reason };
      }
    }
  }
  if (best === undefined) return undefined;
  const { from, to, reason } = best;
  return {
    kind: 'replace',
    role: 'voter',
    add: place(to),
    remove: place(from),
    purpose: 'rebalance',
    reason,
    considered: [],
  };
}

function balanceLeases(
  situation: Situation,
  settings: AllocatorSettings,
): AllocatorAction | undefined {
  const { stores, range } = situation;
  const own = stores.get(range.leaseholder);
  const heir = leaseCandidates(situation)[0];
  if (own === undefined || heir === undefined) return undefined;
  const live = [...stores.values()].filter((each) => each.status === 'live');
  const mean = live.reduce((sum, each) => sum + each.leaseCount, 0) / live.length;
  const band = Math.max(mean * settings.leaseThreshold, 1);
  const spread = own.leaseCount - heir.leaseCount;
  const overfull = own.leaseCount > mean + band && heir.leaseCount < mean;
  const underfull = heir.leaseCount < mean - band && own.leaseCount > mean;
  if (spread < 2 || !(overfull || underfull)) return undefined;
  const reason = `store ${own.storeId} has ${own.leaseCount} leases, store ${heir.storeId} ${heir.leaseCount}`;
  return { kind: 'transfer-lease', to: heir.storeId, reason, considered: [] };
}

/** Live voters besides the leaseholder, the one with the fewest leases first. */
function leaseCandidates(situation: Situation): StorePicture[] {
  const { stores, voters, range } = situation;
  return voters
    .flatMap((each) => stores.get(each.storeId) ?? [])
    .filter((each) => each.status === 'live' && each.storeId !== range.leaseholder)
    .sort((a, b) => a.leaseCount - b.leaseCount || a.storeId - b.storeId);
}

/** Live stores with room on nodes that hold none of `staying`. */
function candidates(situation: Situation, staying: readonly ReplicaDescriptor[]): StorePicture[] {
  const { stores, voters } = situation;
  return [...stores.values()].filter((store) => {
    if (store.status !== 'live' || !hasRoom(store)) return false;
    if (voters.some((each) => each.storeId === store.storeId)) return false;
    return !staying.some((each) => each.nodeId === store.nodeId);
  });
}

/** The most diverse place, then the emptiest. */
function bestCandidate(
  situation: Situation,
  staying: readonly ReplicaDescriptor[],
): StorePicture | undefined {
  const others = staying.flatMap((each) => situation.stores.get(each.storeId) ?? []);
  const ranked = candidates(situation, staying).sort(
    (a, b) =>
      diversityAmong(b, others) - diversityAmong(a, others) ||
      a.rangeCount - b.rangeCount ||
      a.storeId - b.storeId,
  );
  return ranked[0];
}

function diversityAmong(store: StorePicture, others: readonly StorePicture[]): number {
  return diversityOf(
    store.locality,
    others.map((each) => each.locality),
  );
}

function hasRoom(store: StorePicture): boolean {
  const capacity = store.usedBytes + store.availableBytes;
  return capacity === 0 || store.availableBytes >= capacity * freeShareMin;
}

function place(store: StorePicture): { nodeId: StorePicture['nodeId']; storeId: StoreId } {
  return { nodeId: store.nodeId, storeId: store.storeId };
}
