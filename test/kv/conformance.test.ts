/** What nodes say of their ranges, put together: every range that there is, once. */
import { expect, it } from 'vitest';
import {
  asNodeId,
  asRangeId,
  asReplicaId,
  collectConformance,
  KvFailure,
  zeroTimestamp,
  type ClusterReports,
  type RangeDescriptor,
  type ReportedConformance,
} from '../../src/kv/index.ts';

function range(id: number, generation = 1): RangeDescriptor {
  return {
    rangeId: asRangeId(id),
    startKey: Buffer.from([id]),
    endKey: Buffer.from([id + 1]),
    replicas: [],
    nextReplicaId: asReplicaId(1),
    generation,
    stickyUntil: zeroTimestamp,
  };
}

function report(of: RangeDescriptor, isLed: boolean): ReportedConformance {
  return {
    rangeId: of.rangeId,
    range: of,
    isLed,
    isUnavailable: !isLed,
    isUnderReplicated: false,
    isOverReplicated: false,
    violations: [],
    criticalLocalities: [],
    criticalNodes: [],
  };
}

/** Answers of nodes 1, 2, ... to one question after the other; the last ones to all further ones. */
function reportsOf(...answers: (readonly ReportedConformance[])[][]): ClusterReports {
  let asked = 0;
  return {
    async collect() {
      const nodes = answers[Math.min(asked++, answers.length - 1)] ?? [];
      const rows = nodes.flatMap((own, at) =>
        own.map((row) => ({ nodeId: asNodeId(at + 1), row: row as never })),
      );
      return { rows, missing: asked === 1 ? [asNodeId(9)] : [] };
    },
  };
}

const known = (...ids: number[]) => ({ rangeDescriptors: async () => ids.map((id) => range(id)) });

async function found(
  reports: ClusterReports,
  db: Parameters<typeof collectConformance>[1],
): Promise<string> {
  const { ranges, missing } = await collectConformance(reports, db);
  const texts = ranges.map((each) => {
    const by = each.isLed ? 'leader' : 'others';
    return `${each.rangeId}: ${each.isUnavailable ? 'unavailable' : by}`;
  });
  return [...texts, ...missing.map((node) => `n${node} is silent`)].join(', ');
}

it('the leaseholder knows best', async () => {
  const reports = reportsOf([[report(range(1, 7), false)], [report(range(1), true)]]);
  expect(await found(reports, known(1))).toBe('1: leader, n9 is silent');
});

it('a lease that was on its way is found with a second look; what nobody has is unavailable', async () => {
  const one = report(range(1), true);
  const reports = reportsOf([[one], []], [[one], [report(range(2), true)]]);
  expect(await found(reports, known(1, 2))).toBe('1: leader, 2: leader');
  const lost = reportsOf([[one], []]);
  expect(await found(lost, known(1, 2))).toBe('1: leader, 2: unavailable');
});

it('a range that is no more does not count; without the index of ranges everything does', async () => {
  const reports = (): ClusterReports =>
    reportsOf([[report(range(1), true), report(range(2), true)]]);
  expect(await found(reports(), known(1))).toBe('1: leader, n9 is silent');
  const failing = {
    rangeDescriptors: () =>
      Promise.reject(new KvFailure({ kind: 'unavailable', reason: 'nobody is there' })),
  };
  expect(await found(reports(), failing)).toBe('1: leader, 2: leader, n9 is silent');
});
