/**
 * What follows the faults: a core of the cluster is healed and must serve what it has a quorum of (liveness), then
 * all of it, and all must come to rest in equal states.
 */
import { meta1Start } from '../encoding/index.ts';
import {
  allActive,
  asMember,
  containsKey,
  type Db,
  KvFailure,
  membershipOf,
  type Member as ClusterMember,
} from '../kv/index.ts';
import { type Replica } from '../range/index.ts';
import { checkReplicas, type ReplicaPicture } from './checks.ts';
import { type SimCluster } from './cluster.ts';
import { linksBetween } from './links.ts';
import { replicasOf, type Member } from './picture.ts';
import { type SeededRandom } from './random.ts';
import { type World } from './world.ts';

const serveLimitMs = 60_000;

/** Moves the time on, with an eye on the invariants; false when it came to `untilMs` without being done. */
export type Advance = (untilMs: number, done: () => boolean) => boolean;

/**
 * A random quorum of the machines is healed, the others stay down or are cut off. Returns ranges with a quorum in the
 * core that nobody serves after 60 s, and nodes of the core that do not start.
 */
export function healCore(
  world: World,
  cluster: SimCluster,
  random: SeededRandom,
  advance: Advance,
): string[] {
  const machines = Array.from({ length: cluster.size }, (_, i) => ({ i, order: random.u32() }))
    .sort((a, b) => a.order - b.order)
    .map(({ i }) => i);
  const size = Math.floor(machines.length / 2) + 1;
  const core = machines.slice(0, size);
  const others = machines.slice(size);
  cluster.heal();
  const names = core.map((i) => `m${i + 1}`).join(' ');
  world.story(`the core heals: ${names}`);
  for (const machine of others) {
    if (random.chance(0.5)) {
      cluster.crash(machine, random.chance(0.5) ? 'process' : 'power');
      cluster.hold([machine]);
    } else {
      cluster.links.impair(linksBetween([machine], core), { cut: true });
    }
  }
  for (const machine of core) cluster.start(machine);
  let problems: string[] = [];
  const isHealed = (): boolean => {
    problems = coreProblems(cluster, core);
    return problems.length === 0;
  };
  advance(world.nowMs + serveLimitMs, isHealed);
  return problems.map((problem) => `the healed core (${names}) after 60 s: ${problem}`);
}

function coreProblems(cluster: SimCluster, core: readonly number[]): string[] {
  const problems: string[] = [];
  const inCore = replicasOf(cluster).filter(({ index }) => core.includes(index));
  for (const index of core) {
    const node = cluster.node(index);
    // Without an identity it waits to be admitted, which takes more of the cluster than the core.
    const isKnown = node !== undefined && Number(node.nodeId) > 0;
    if (!isKnown || cluster.serving().some((each) => each.index === index)) continue;
    problems.push(`m${index + 1} does not serve`);
  }
  const metaIsServed = inCore.some(
    (member) => containsKey(member.replica.descriptor, meta1Start) && serves(member),
  );
  const present = new Set(inCore.map(({ replica }) => `${replica.rangeId} ${replica.replicaId}`));
  for (const rangeId of new Set(inCore.map(({ replica }) => replica.rangeId))) {
    const members = inCore.filter(({ replica }) => replica.rangeId === rangeId);
    const hasQuorum = members.every(({ replica }) =>
      quorumIn(replica, (id) => present.has(`${rangeId} ${id}`)),
    );
    if (!hasQuorum) continue;
    // What becomes of a merge is read in the meta records.
    const waits = members.some(({ replica }) => replica.mergeWatch.isFrozen) && !metaIsServed;
    if (!waits && !members.some(serves))
      problems.push(`r${rangeId} has a quorum and is not served`);
  }
  return problems;
}

function serves({ node, replica }: Member): boolean {
  return replica.checkLease(node.clock.now()) === undefined;
}

/** Both majorities of a replica's configuration are among the replicas that are there. */
function quorumIn({ raft }: Replica, isThere: (id: number) => boolean): boolean {
  const { voters, votersOutgoing } = raft.configuration;
  const isMajority = (ids: readonly number[]): boolean =>
    ids.length === 0 || ids.filter(isThere).length > ids.length / 2;
  return voters.length > 0 && isMajority(voters) && isMajority(votersOutgoing);
}

/** Nodes and stores that were to leave and have not left are needed after all. */
export async function recommission(cluster: SimCluster): Promise<void> {
  const db = cluster.serving()[0]?.node.db;
  const { nodes, stores } = (await db?.memberships()) ?? allActive;
  const members = [
    ...[...nodes].map(([id, membership]) => ({ member: asMember('node', id), membership })),
    ...[...stores].map(([id, membership]) => ({ member: asMember('store', id), membership })),
  ];
  for (const { member, membership } of members) {
    if (membership === 'decommissioning' && db !== undefined) await keep(db, member);
  }
}

/** Unless it leaves in this very moment. */
async function keep(db: Db, member: ClusterMember): Promise<void> {
  try {
    await db.setMembership(member, 'active');
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    if (membershipOf(await db.memberships(), member) !== 'decommissioned') throw error;
  }
}

/** Waits until the replica checks hold; returns the last picture. */
export function settle(
  world: World,
  cluster: SimCluster,
  options: { readonly replicas: number; readonly limitMs: number; readonly advance: Advance },
): ReplicaPicture {
  const deadlineMs = world.nowMs + options.limitMs;
  let picture: ReplicaPicture = { problems: ['not checked'], ranges: 0 };
  while (world.nowMs < deadlineMs) {
    const untilMs = world.nowMs + 1000;
    options.advance(untilMs, () => false);
    // Stopped by a violation.
    if (world.nowMs < untilMs) break;
    picture = now(world, checkReplicas(cluster, options.replicas)) ?? picture;
    if (picture.problems.length === 0) break;
  }
  return picture;
}

/** The result of something that waits for no event; undefined when it does. */
export function now<T>(world: World, work: Promise<T>): T | undefined {
  let result: T | undefined;
  let failure: { readonly error: unknown } | undefined;
  work.then(
    (value) => {
      result = value;
    },
    (error: unknown) => {
      failure = { error };
    },
  );
  world.run(world.nowMs, () => result !== undefined || failure !== undefined);
  if (failure !== undefined) throw failure.error;
  return result;
}
