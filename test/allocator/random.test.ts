/**
 * Decisions about random ranges on random clusters, played through until nothing is due: every single one is allowed, and
 * they come to an end. SEED= repeats one case, CASES= chooses how many.
 */
import { expect, it } from 'vitest';
import {
  allocatorSettings,
  apply,
  ClusterPicture,
  decide,
  finished,
  type PlacementAction,
  type RangePicture,
  type StorePicture,
  type StoreStatus,
} from '../../src/allocator/index.ts';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  ClusterSettings,
  type ReplicaKind,
  type StoreId,
} from '../../src/kv/index.ts';
import { SeededRandom } from '../../src/sim/random.ts';
import { parseLocality, parseZone } from './words.ts';

const firstSeed = Number(process.env['SEED'] ?? 1);
const cases = Number(process.env['CASES'] ?? (process.env['SEED'] === undefined ? 1500 : 1));
/** More than any of them takes: three replicas of seven moved three times each. */
const stepsMax = 60;

const places = ['eu/a', 'eu/b', 'us/a', 'us/b', 'asia/a', 'asia/b'];
const statuses: readonly StoreStatus[] = [
  'suspect',
  'dead',
  'draining',
  'decommissioning',
  'decommissioned',
];
const zoneTexts = [
  { replicas: '3' },
  { replicas: '5' },
  { replicas: '5', voters: '3' },
  { replicas: '3', constraints: '+region=eu' },
  { replicas: '3', constraints: '-region=us', prefer: '+region=asia;+region=eu' },
  { replicas: '3', constraints: '1:+region=eu;1:+region=us;1:+region=asia' },
  { replicas: '5', constraints: '2:+region=eu;1:+ssd', prefer: '+region=eu' },
  { replicas: '4', voters: '3', voter_constraints: '+region=us', constraints: '1:+region=eu' },
  { replicas: '3', constraints: '+region=mars,+ssd' },
  { replicas: '7', voters: '5', voter_constraints: '2:+region=eu;1:+region=us' },
];

function pick<T>(random: SeededRandom, from: readonly T[]): T {
  const one = from[random.between(0, from.length - 1)];
  if (one === undefined) throw new Error('nothing to pick from');
  return one;
}

function randomStores(random: SeededRandom): StorePicture[] {
  const perNode = random.chance(0.3) ? 2 : 1;
  const trouble = pick(random, [0, 0.1, 0.3]);
  const nodes = random.between(1, 14);
  const status = Array.from({ length: nodes }, () =>
    random.chance(trouble) ? pick(random, statuses) : 'live',
  );
  const at = Array.from({ length: nodes }, () => parseLocality(pick(random, places)));
  return Array.from({ length: nodes * perNode }, (_, i): StorePicture => {
    const node = Math.floor(i / perNode);
    const isFull = random.chance(0.1);
    return {
      storeId: asStoreId(i + 1),
      nodeId: asNodeId(node + 1),
      status: status[node] ?? 'live',
      locality: at[node] ?? [],
      attributes: random.chance(0.5) ? ['ssd'] : [],
      rangeCount: random.between(0, 60),
      leaseCount: random.between(0, 30),
      qps: random.between(0, 900),
      cpuMs: 0,
      usedBytes: isFull ? random.between(92, 99) : 50,
      availableBytes: isFull ? random.between(1, 8) : 50,
    };
  });
}

function randomRange(random: SeededRandom, stores: readonly StorePicture[]): RangePicture {
  const free = [...stores];
  const replicas: RangePicture['replicas'][number][] = [];
  const kinds: readonly ReplicaKind[] = [
    'voter',
    'voter',
    'voter',
    'voter',
    'non-voter',
    'learner',
  ];
  for (let left = random.between(1, 6); left > 0 && free.length > 0; left--) {
    const [store] = free.splice(random.between(0, free.length - 1), 1);
    if (store === undefined) break;
    const { nodeId, storeId } = store;
    if (replicas.some((each) => each.nodeId === nodeId)) continue;
    const kind = replicas.length === 0 ? 'voter' : pick(random, kinds);
    replicas.push({ nodeId, storeId, replicaId: asReplicaId(replicas.length + 1), kind });
  }
  return {
    rangeId: asRangeId(random.between(1, 1000)),
    replicas,
    leaseholder: replicas[0]?.storeId ?? asStoreId(1),
    sizeBytes: 1,
    qps: random.between(0, 300),
    balancing: 'counts and load',
  };
}

/** What must hold for an action whatever the rules are. */
function checkAllowed(cluster: ClusterPicture, range: RangePicture, action: PlacementAction): void {
  const { replicas } = range;
  const kindOn = (storeId: StoreId): ReplicaKind | undefined =>
    replicas.find((each) => each.storeId === storeId)?.kind;
  const roleOn = (storeId: StoreId): string | undefined => kindOn(storeId);
  const checkTarget = (storeId: StoreId, leaving?: StoreId): void => {
    const store = cluster.stores.get(storeId);
    expect(store?.status).toBe('live');
    expect(kindOn(storeId)).toBeUndefined();
    const others = replicas.filter((each) => each.storeId !== leaving);
    expect(others.map((each) => each.nodeId)).not.toContain(store?.nodeId);
    const capacity = (store?.usedBytes ?? 0) + (store?.availableBytes ?? 0);
    expect((store?.availableBytes ?? 0) / capacity).toBeGreaterThanOrEqual(0.05);
  };
  switch (action.kind) {
    case 'add':
      checkTarget(action.target.storeId);
      break;
    case 'remove':
      expect(roleOn(action.target.storeId)).toBe(action.role);
      break;
    case 'replace':
      expect(roleOn(action.remove.storeId)).toBe(action.role);
      checkTarget(action.add.storeId, action.remove.storeId);
      break;
    case 'promote':
      expect(kindOn(action.target.storeId)).toBe('non-voter');
      break;
    case 'demote':
      expect(kindOn(action.target.storeId)).toBe('voter');
      break;
    case 'swap':
      expect(kindOn(action.promote.storeId)).toBe('non-voter');
      expect(kindOn(action.demote.storeId)).toBe('voter');
      break;
    case 'transfer-lease':
      expect(kindOn(action.to)).toBe('voter');
      expect(cluster.stores.get(action.to)?.status).toBe('live');
      expect(action.to).not.toBe(range.leaseholder);
  }
  expect(action.reason).not.toBe('');
}

/** A quorum of the voters is alive. */
function isAvailable(cluster: ClusterPicture, range: RangePicture): boolean {
  const voters = range.replicas.filter((each) => each.kind === 'voter');
  const alive = voters.filter((each) =>
    ['live', 'draining', 'decommissioning'].includes(cluster.storeOf(each).status),
  );
  return alive.length > voters.length / 2;
}

function playThrough(seed: number): void {
  const random = new SeededRandom(seed);
  const stores = randomStores(random);
  const zone = parseZone(new Map(Object.entries(pick(random, zoneTexts))));
  const cluster = new ClusterPicture(stores);
  const settings = allocatorSettings(new ClusterSettings());
  let range = randomRange(random, stores);
  const story: string[] = [];
  for (let step = 0; step < stepsMax; step++) {
    const action = decide(cluster, range, zone, settings);
    switch (action.kind) {
      case 'none':
      case 'unavailable':
        return;
      case 'finish-change':
        range = finished(range);
        continue;
      default: {
        const on = range.replicas.map(
          (each) => `${each.storeId}${each.kind === 'voter' ? '' : 'N'}`,
        );
        story.push(`${on.join(',')} lease ${range.leaseholder}: ${action.kind} ${action.reason}`);
        checkAllowed(cluster, range, action);
        range = apply(cluster, range, action);
        expect(isAvailable(cluster, range), story.join('\n')).toBe(true);
      }
    }
  }
  throw new Error(`seed ${seed} does not come to an end:\n${story.join('\n')}`);
}

it(`decisions are allowed and come to an end (seeds ${firstSeed} and ${cases - 1} more)`, () => {
  for (let seed = firstSeed; seed < firstSeed + cases; seed++) {
    try {
      playThrough(seed);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
});
