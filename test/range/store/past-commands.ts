/** Commands of scripts about the past: what is closed where, reads there, and writes that come late. */
import {
  addMicros,
  asNodeId,
  asTxnId,
  type BatchHeader,
  type BatchResponse,
  type RangeDescriptor,
  type Timestamp,
} from '../../../src/kv/index.ts';
import { must } from '../../../src/util/index.ts';
import { type Cluster } from './cluster.ts';

/** How long ago each replica of the range is closed. */
export function closedEverywhere(cluster: Cluster, rangeId: number): string {
  return cluster
    .replicas(rangeId)
    .map(({ machine, replica }) => {
      const { closedTimestamp } = replica;
      return `${machine.id}: ${ago(machine.clock.now(), closedTimestamp)}`;
    })
    .join('\n');
}

/** A read `ms` ago, put to the replica of one node, whatever it is: the value, or the kind of the error. */
export async function readPast(
  cluster: Cluster,
  node: number,
  key: Buffer,
  ms: number,
): Promise<string> {
  const { clock, store } = cluster.machine(node);
  const now = clock.now();
  const range = must(cluster.rangeOf(key));
  const header = headerAt(range, addMicros(now, -ms * 1000), node, now);
  const response = await cluster.time.settleOf(
    store.send({ header, requests: [{ kind: 'get', key, lock: 'none' }] }),
  );
  if (response.kind === 'error') return response.error.kind;
  const [result] = response.results;
  return result?.kind === 'get' ? (result.value?.toString('utf8') ?? 'nothing') : 'no result';
}

/** A transaction that began `ms` ago writes and commits at once; where it ends up. */
export async function writeLate(
  cluster: Cluster,
  node: number,
  key: Buffer,
  ms: number,
): Promise<string> {
  const { clock, router } = cluster.machine(node);
  const now = clock.now();
  const range = must(cluster.rangeOf(key));
  const response: BatchResponse = await cluster.time.settleOf(
    router.keySender.send({
      header: headerAt(range, addMicros(now, -ms * 1000), node, now),
      requests: [
        { kind: 'put', key, value: Buffer.from('late'), sequence: 1 },
        {
          kind: 'end-txn',
          anchor: key,
          commit: true,
          lockSpans: [],
          onePhase: true,
          inFlightWrites: [],
          trigger: undefined,
        },
      ],
    }),
  );
  if (response.kind === 'error') return response.error.kind;
  return `written ${ago(clock.now(), must(response.txn).writeTimestamp.wall)}`;
}

function ago(now: Timestamp, wall: number): string {
  if (wall === 0) return 'never';
  const seconds = ((now.wall - wall) / 1e6).toFixed(1);
  return wall > now.wall ? `${seconds.slice(1)} s ahead` : `${seconds} s ago`;
}

function headerAt(
  { rangeId, generation }: RangeDescriptor,
  at: Timestamp,
  node: number,
  now: Timestamp,
): BatchHeader {
  return {
    rangeId,
    generation,
    timestamp: now,
    txn: {
      id: asTxnId(String(now.wall).padStart(32, '0')),
      anchor: undefined,
      epoch: 0,
      isolation: 'serializable',
      priority: 1,
      readTimestamp: at,
      writeTimestamp: at,
      minTimestamp: at,
      uncertaintyLimit: at,
      sequence: 1,
      ignoredSequences: [],
    },
    gatewayNodeId: asNodeId(node),
    waitPolicy: 'block',
    lockTimeoutMs: 0,
    consistency: 'txn',
    canForwardReadTimestamp: true,
    anyReplica: true,
  };
}
