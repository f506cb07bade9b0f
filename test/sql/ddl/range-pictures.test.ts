/** What SHOW RANGES says of ranges that no node reports. */
import { describe, expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  KvFailure,
  zeroSpanStats,
  zeroTimestamp,
  type Db,
  type RangeDescriptor,
  type RangeInfo,
} from '../../../src/kv/index.ts';
import { rangePictures } from '../../../src/sql/ddl/index.ts';
import { type StatementContext } from '../../../src/sql/index.ts';
import { withTime } from '../../txn/db-script.ts';
import { VirtualEnv } from '../../txn/virtual-env.ts';

const replica = {
  nodeId: asNodeId(1),
  storeId: asStoreId(1),
  replicaId: asReplicaId(1),
  kind: 'voter',
} as const;

function range(id: number, generation = 1): RangeDescriptor {
  return {
    rangeId: asRangeId(id),
    startKey: Buffer.from([5, id]),
    endKey: Buffer.from([5, id + 1]),
    replicas: [replica],
    nextReplicaId: asReplicaId(2),
    generation,
    stickyUntil: zeroTimestamp,
  };
}

function info(of: RangeDescriptor, sizeBytes: number): RangeInfo {
  return {
    range: of,
    leaseholder: replica,
    ...zeroSpanStats,
    sizeBytes,
    queriesPerSecond: 0,
    gcThreshold: zeroTimestamp,
  };
}

/** Ranges 1..n; `ask` answers for those that `reported` lacks. */
async function sizes(
  count: number,
  reported: readonly RangeInfo[],
  ask: (id: number) => Promise<RangeInfo[]>,
): Promise<(number | undefined)[]> {
  const env = new VirtualEnv(1);
  const db: Pick<Db, 'rangeDescriptors' | 'ranges'> = {
    rangeDescriptors: async () => Array.from({ length: count }, (_, i) => range(i + 1)),
    ranges: (start) => ask(start[1] ?? 0),
  };
  const reports = {
    collect: async () => ({
      rows: reported.map((row) => ({ nodeId: asNodeId(1), row })),
      missing: [],
    }),
  };
  // The rest of the context has no part in it.
  const context = { env, db, reports } as unknown as StatementContext;
  const span = { start: Buffer.from([5, 1]), end: Buffer.from([5, count + 1]) };
  const pictures = await withTime(env, rangePictures(context, span, true));
  return pictures.map((picture) => picture.info?.sizeBytes);
}

describe('ranges that nobody reports', () => {
  it('are asked themselves', async () => {
    const answer = async (id: number): Promise<RangeInfo[]> => [info(range(id), id * 10)];
    expect(await sizes(3, [info(range(2), 7)], answer)).toEqual([10, 7, 30]);
  });

  it('are unknown when they do not answer, or fail', async () => {
    const silent = (id: number): Promise<RangeInfo[]> =>
      id === 1
        ? new Promise<RangeInfo[]>(() => {})
        : Promise.reject(new KvFailure({ kind: 'unavailable', reason: 'no replica serves it' }));
    expect(await sizes(2, [], silent)).toEqual([undefined, undefined]);
  });

  it('are not asked when they are many', async () => {
    let asked = 0;
    await sizes(100, [], async (id) => {
      asked++;
      return [info(range(id), 1)];
    });
    expect(asked).toBe(16);
  });

  it('of two reports the one with the newer descriptor counts', async () => {
    const none = async (): Promise<RangeInfo[]> => [];
    const reported = [info(range(1, 5), 50), info(range(1, 4), 40)];
    expect(await sizes(1, reported, none)).toEqual([50]);
    expect(await sizes(1, [...reported].reverse(), none)).toEqual([50]);
  });
});
