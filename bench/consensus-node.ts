/**
 * One node of the consensus benchmark, a process of its own; its parent (`consensus.ts`) says what to do.
 * The clients are loops in this process. Each commits 100 bytes under a key that no other client writes
 * meanwhile, and waits until a quorum has it on disk and it is applied here.
 */
import { maxTimestamp, type BatchRequest } from '../src/kv/index.ts';
import { encodeHead, headKey, zeroStats } from '../src/storage/index.ts';
import { type Layer, type Order, type Report } from './consensus.ts';
import { key, replicatedEverywhere, startNode } from './nodes.ts';

const keys = 100_000;
const value = Buffer.alloc(100, 1);

const [root = '', firstPort, index] = process.argv.slice(2);
// The lease stays where the clients are.
const node = await startNode({ root, firstPort: Number(firstPort) }, Number(index), {
  balanceMovesPerTurn: 0,
});
process.on('disconnect', () => process.exit(1));
process.on('message', (order: Order) => void obey(order));
report({ commits: 0, messages: 0 });

async function obey(order: Order): Promise<void> {
  switch (order.kind) {
    case 'prepare':
      // A range of its own, three replicas of it.
      await node.db.split(key(0), { expiration: maxTimestamp });
      await replicatedEverywhere(node);
      report({ commits: 0, messages: 0 });
      return;
    case 'commit':
      report(await drive(order));
      return;
    case 'stop':
      await node.stop();
      process.exit(0);
  }
}

function report(result: Report): void {
  process.send?.(result);
}

async function drive(order: Extract<Order, { kind: 'commit' }>): Promise<Report> {
  const commit = await entrance(order.layer);
  const messagesBefore = node.store.counters.raftMessagesSent;
  const endMs = performance.now() + order.seconds * 1000;
  let next = 0;
  let commits = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await commit(key(next++ % keys));
      commits++;
    }
  };
  await Promise.all(Array.from({ length: order.clients }, client));
  return { commits, messages: node.store.counters.raftMessagesSent - messagesBefore };
}

async function entrance(layer: Layer): Promise<(at: Buffer) => Promise<void>> {
  const { store, db, clock } = node;
  const [info] = await db.ranges(key(0), key(1));
  if (info === undefined) throw new Error('the range of the benchmark is not there');
  const { rangeId, generation } = info.range;
  switch (layer) {
    case 'transaction':
      return (at) => db.run({}, async (txn) => txn.put(at, value));
    case 'batch':
      return async (at) => {
        const request: BatchRequest = {
          header: {
            rangeId,
            generation,
            timestamp: clock.now(),
            txn: undefined,
            gatewayNodeId: node.nodeId,
            waitPolicy: 'block',
            lockTimeoutMs: 0,
            consistency: 'txn',
            canForwardReadTimestamp: true,
          },
          requests: [{ kind: 'put', key: at, value, sequence: 0 }],
        };
        const response = await store.send(request);
        if (response.kind === 'error') throw new Error(`a put failed: ${response.error.kind}`);
      };
    case 'proposal':
      return async (at) => {
        const replica = store.replicas.get(rangeId);
        if (replica === undefined) throw new Error('the replica is gone');
        const timestamp = clock.now();
        const head = encodeHead({ timestamp, value, intent: undefined });
        const outcome = await replica.propose(
          {
            timestamp,
            statsDelta: zeroStats,
            writes: [{ key: headKey(at), value: head }],
            clears: [],
            trigger: undefined,
          },
          replica.leaseSequence,
        );
        if (outcome.kind !== 'applied') throw new Error(`a proposal ended ${outcome.kind}`);
      };
  }
}
