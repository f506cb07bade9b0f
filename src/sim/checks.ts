/** What must hold of a cluster once it is healed and nothing is under way. `invariants.ts`: what always must. */
import { meta2Start, metaEnd } from '../encoding/index.ts';
import {
  allActive,
  type Db,
  decodeDescriptor,
  leavingAt,
  memberName,
  membershipOf,
  type RangeDescriptor,
  type RangeId,
} from '../kv/index.ts';
import { rangeSpans } from '../storage/index.ts';
import { sleep } from '../util/index.ts';
import { type SimCluster } from './cluster.ts';
import { ranges, replicasOf } from './picture.ts';

export interface ReplicaPicture {
  /** Empty when everything is equal and complete. */
  readonly problems: string[];
  readonly ranges: number;
}

/**
 * After healing, with no traffic: the ranges partition the keyspace, each has one leaseholder and its full
 * number of replicas, all at the same applied index with the same contents.
 */
export async function checkReplicas(
  cluster: SimCluster,
  expectedReplicas: number,
): Promise<ReplicaPicture> {
  const problems: string[] = [];
  const byRange = new Map<
    RangeId,
    { range: RangeDescriptor; name: string; applied: number; hash: string; leaseholder: boolean }[]
  >();
  for (const { name, node, store, replica } of replicasOf(cluster)) {
    const copies = byRange.get(replica.rangeId) ?? [];
    copies.push({
      range: replica.descriptor,
      name,
      applied: replica.raft.appliedIndex,
      hash: await contentHash(store.engine, replica.descriptor),
      leaseholder: replica.checkLease(node.clock.now()) === undefined,
    });
    byRange.set(replica.rangeId, copies);
  }
  for (const [rangeId, copies] of byRange) {
    const first = copies[0];
    if (first === undefined) continue;
    const describe = copies.map((copy) => `${copy.name}@${copy.applied}:${copy.hash}`);
    if (copies.length !== expectedReplicas || first.range.replicas.length !== expectedReplicas) {
      problems.push(`r${rangeId} has ${copies.length} replicas: ${describe.join(' ')}`);
    }
    if (copies.filter((copy) => copy.leaseholder).length !== 1) {
      problems.push(`r${rangeId} has not one leaseholder: ${describe.join(' ')}`);
    }
    if (copies.some((copy) => copy.applied !== first.applied || copy.hash !== first.hash)) {
      problems.push(`r${rangeId} replicas differ: ${describe.join(' ')}`);
    }
  }
  const inOrder = [...byRange.values()]
    .flatMap((copies) => (copies[0] === undefined ? [] : [copies[0].range]))
    .sort((a, b) => a.startKey.compare(b.startKey));
  for (const [i, range] of inOrder.entries()) {
    const next = inOrder[i + 1];
    if (next !== undefined && !range.endKey.equals(next.startKey)) {
      problems.push(`r${range.rangeId} and r${next.rangeId} do not meet`);
    }
  }
  return { problems, ranges: inOrder.length };
}

/**
 * Gossip that was lost is told again after a second, to each node on its way; ranges with `global_reads` are closed ahead of
 * the clock, and changes of them are indexed at a time to come. So long a check may fail.
 */
const lateMs = 5_000;
const askMs = 500;

async function lastProblems(
  { world }: SimCluster,
  look: () => Promise<string[]>,
): Promise<string[]> {
  const deadlineMs = world.nowMs + lateMs;
  for (;;) {
    const problems = await look();
    if (problems.length === 0 || world.nowMs >= deadlineMs) return problems;
    await sleep(world, askMs);
  }
}

/** The second level of the index of ranges names exactly the ranges that there are, as they are. */
export async function checkMeta(cluster: SimCluster): Promise<string[]> {
  const db = cluster.serving()[0]?.node.db;
  if (db === undefined) return ['no node serves'];
  return lastProblems(cluster, async () => {
    const indexed = await indexedRanges(db);
    const there = describeRanges(cluster);
    return [
      ...[...there].filter((range) => !indexed.has(range)).map((range) => `not in meta2: ${range}`),
      ...[...indexed]
        .filter((range) => !there.has(range))
        .map((range) => `only in meta2: ${range}`),
    ];
  });
}

async function indexedRanges(db: Db): Promise<Set<string>> {
  const rows = await db.run({ name: 'check meta' }, async (txn) => {
    const found: Buffer[] = [];
    let span: { start: Buffer; end: Buffer } | undefined = { start: meta2Start, end: metaEnd };
    while (span !== undefined) {
      const page = await txn.scan(span);
      found.push(...page.values);
      span = page.resume;
    }
    return found;
  });
  return new Set(rows.map((value) => describeRange(decodeDescriptor(value))));
}

function describeRanges(cluster: SimCluster): Set<string> {
  const indexed = ranges(cluster).filter(({ endKey }) => endKey.compare(metaEnd) > 0);
  return new Set(indexed.map(describeRange));
}

function describeRange({ rangeId, startKey, endKey, generation }: RangeDescriptor): string {
  return `r${rangeId} [${startKey.toString('hex')}, ${endKey.toString('hex')}) generation ${generation}`;
}

/** Who has left for good holds nothing, and nobody goes on serving on a node that has. */
export function checkMemberships(cluster: SimCluster): Promise<string[]> {
  return lastProblems(cluster, () => leftAndThere(cluster));
}

async function leftAndThere(cluster: SimCluster): Promise<string[]> {
  const memberships = (await cluster.serving()[0]?.node.db.memberships()) ?? allActive;
  const serving = cluster
    .serving()
    .filter(({ node }) => memberships.nodes.get(node.nodeId) === 'decommissioned')
    .map(({ index, node }) => `m${index + 1} serves as n${node.nodeId}, which is decommissioned`);
  const held = ranges(cluster).flatMap(({ rangeId, replicas }) =>
    replicas.flatMap((replica) => {
      const leaving = leavingAt(replica, (member) => membershipOf(memberships, member));
      return leaving?.membership === 'decommissioned'
        ? [`r${rangeId} has a replica on ${memberName(leaving.member)}, which is decommissioned`]
        : [];
    }),
  );
  return [...serving, ...held];
}

/** Of all that a replica holds of its range. */
export async function contentHash(
  engine: {
    iterate(span: { start: Buffer; end: Buffer }): {
      next(max: number): Promise<[Buffer, Buffer][]>;
      close(): Promise<void>;
    };
  },
  range: RangeDescriptor,
): Promise<string> {
  let hash = 0x811c9dc5;
  for (const span of rangeSpans(range)) {
    const iterator = engine.iterate(span);
    for (;;) {
      const entries = await iterator.next(256);
      if (entries.length === 0) break;
      for (const entry of entries) {
        for (const bytes of entry) {
          for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
          hash = Math.imul(hash ^ bytes.length, 0x01000193);
        }
      }
    }
    await iterator.close();
  }
  return (hash >>> 0).toString(16);
}
