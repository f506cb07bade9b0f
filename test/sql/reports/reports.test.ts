/** Replication reports as tables: whose turn it is, in which zones ranges are counted, and which rows are written. */
import { describe, expect, it, vi } from 'vitest';
import { indexPrefix, keyMax, keyMin, tableKeyPrefix } from '../../../src/encoding/index.ts';
import {
  asNodeId,
  type Db,
  type ReplicationReport,
  type TxnOptions,
} from '../../../src/kv/index.ts';
import { emptySnapshot, type CatalogSnapshot } from '../../../src/sql/catalog/index.ts';
import { keepReport, takeTurn, zonesOfRange, type ReportClaim } from '../../../src/sql/index.ts';
import { must } from '../../../src/util/index.ts';
import { startCluster, TestSession } from '../ddl/node.ts';

const at = (node: number, seconds: number): ReportClaim => ({
  nodeId: asNodeId(node),
  at: seconds * 1_000_000,
});
const empty: ReplicationReport = { stats: [], constraints: [], localities: [] };
const minuteMs = 60_000;

describe('turns', () => {
  it('one node makes each report, whoever is the first when it is due', async () => {
    const { db } = await startCluster();
    const all = [1, 2, 3].map((node) => takeTurn(db, at(node, 1000), minuteMs));
    const turns = await Promise.all(all);
    expect(turns.filter(({ kind }) => kind === 'mine').length).toBe(1);
    const mine = turns.find((turn) => turn.kind === 'mine');
    await keepReport(db, must(mine?.claim), empty);
    expect(await takeTurn(db, at(2, 1020), minuteMs)).toEqual({ kind: 'wait', ms: 40_000 });
    expect((await takeTurn(db, at(2, 1060), minuteMs)).kind).toBe('mine');
  });

  it('a claim without a report is given up, and comes too late then', async () => {
    const cluster = await startCluster();
    const { db } = cluster;
    await takeTurn(db, at(1, 1000), minuteMs);
    expect(await takeTurn(db, at(2, 1010), minuteMs)).toEqual({ kind: 'wait', ms: 20_000 });
    expect((await takeTurn(db, at(2, 1030), minuteMs)).kind).toBe('mine');
    const session = new TestSession(cluster);
    const meta = (): Promise<string> => session.run('SELECT count(*) FROM system.reports_meta');
    await keepReport(db, at(1, 1000), empty);
    expect(await meta()).toContain('\n0');
    await keepReport(db, at(2, 1030), empty);
    expect(await meta()).toContain('\n3');
  });

  it('a clock that was ahead does not stop the reports', async () => {
    const { db } = await startCluster();
    await takeTurn(db, at(1, 5000), minuteMs);
    expect(await takeTurn(db, at(2, 1000), minuteMs)).toEqual({ kind: 'wait', ms: 30_000 });
  });
});

describe('zones of a range', () => {
  it('are those that speak of what is reported', async () => {
    const cluster = await startCluster();
    const session = new TestSession(cluster);
    const current = (): CatalogSnapshot => cluster.caches[0]?.current ?? emptySnapshot;
    await session.run(
      'create table a (i int primary key); create table b (i int primary key, j int)',
    );
    await session.run('create index bj on b (j); create table c (i int primary key)');
    const idOf = (wanted: string): number =>
      must([...current().data.descriptors.values()].find(({ name }) => name === wanted)).id;
    const [a, b] = [idOf('a'), idOf('b')];
    const zones = (startKey: Buffer, endKey: Buffer): string => {
      const { replication, constraints } = zonesOfRange(current(), { startKey, endKey });
      const text = [
        ...replication.map((each) => `${each.zoneId}/${each.subzoneId}`),
        ...constraints.map(
          (each) => `${each.zoneId}/${each.subzoneId} ${each.type} ${each.constraint}`,
        ),
      ];
      return text.join(', ').replaceAll(String(b), 'b').replaceAll(String(a), 'a');
    };
    expect(zones(keyMin, keyMax)).toBe('16/0, 17/0, 0/0');

    // How long old versions live is no business of the reports.
    await session.run('alter table a configure zone using gc.ttlseconds = 60');
    expect(zones(tableKeyPrefix(a), tableKeyPrefix(b))).toBe('0/0');

    await session.run(
      "alter table b configure zone using num_replicas = 3, constraints = '[-zone=x, -rack=9]'",
    );
    await session.run(
      `alter index b@bj configure zone using num_voters = 3, voter_constraints = '[-zone=y]'`,
    );
    expect(zones(tableKeyPrefix(b), tableKeyPrefix(b + 1))).toBe(
      'b/0, b/2, b/0 constraint -zone=x,-rack=9, b/2 voter_constraint -zone=y',
    );
    const index = indexPrefix({ tableId: b, indexId: 2 });
    expect(zones(index, tableKeyPrefix(b + 1))).toBe(
      'b/2, b/0, b/0 constraint -zone=x,-rack=9, b/2 voter_constraint -zone=y',
    );
    expect(zones(keyMin, keyMax)).toBe(
      '16/0, 17/0, 0/0, b/0, b/2, b/0 constraint -zone=x,-rack=9, b/2 voter_constraint -zone=y',
    );
  });
});

it('rows are written when they change, and go with what they are about', async () => {
  const cluster = await startCluster();
  const session = new TestSession(cluster);
  const counted = counting(cluster.db);
  const zone = { zoneId: 0, subzoneId: 0 };
  const stats = {
    ...zone,
    totalRanges: 3,
    unavailableRanges: 0,
    underReplicatedRanges: 0,
    overReplicatedRanges: 0,
  };
  const violated = (violatingRanges: number): ReplicationReport['constraints'] => [
    { ...zone, type: 'constraint', constraint: '+ssd', violatingRanges },
  ];
  let seconds = 1000;
  /** Rows of the reports that were written, those of reports_meta aside. */
  const keep = async (report: Partial<ReplicationReport>): Promise<number> => {
    seconds += 60;
    await takeTurn(cluster.db, at(1, seconds), minuteMs);
    const before = counted.writes();
    await keepReport(counted.db, at(1, seconds), { ...empty, ...report });
    const ownWrites = 1 + 3;
    return counted.writes() - before - ownWrites;
  };
  const show = async (query: string): Promise<string[]> =>
    (await session.run(query)).split('\n').slice(1);
  const constraints = (): Promise<string[]> =>
    show(
      `SELECT type, config, report_id, extract(epoch FROM violation_start)::int, violating_ranges
       FROM system.replication_constraint_stats`,
    );

  const localities = [{ ...zone, locality: 'region=eu', atRiskRanges: 2 }];
  expect(await keep({ stats: [stats], constraints: violated(2), localities })).toBe(3);
  expect(await constraints()).toEqual(['constraint | +ssd | 1 | 1060 | 2']);
  expect(await keep({ stats: [stats], constraints: violated(2), localities })).toBe(0);

  // The violation lasts, though of other ranges.
  expect(await keep({ stats: [stats], constraints: violated(1), localities: [] })).toBe(2);
  expect(await constraints()).toEqual(['constraint | +ssd | 1 | 1060 | 1']);
  expect(await show('SELECT * FROM system.replication_critical_localities')).toEqual([]);
  expect(await show('SELECT * FROM system.replication_stats')).toEqual([
    '0 | 0 | 3 | 3 | 0 | 0 | 0',
  ]);

  expect(await keep({ stats: [stats], constraints: violated(0) })).toBe(1);
  expect(await constraints()).toEqual(['constraint | +ssd | 1 | NULL | 0']);
  expect(await keep({ stats: [stats], constraints: violated(4) })).toBe(1);
  expect(await constraints()).toEqual(['constraint | +ssd | 1 | 1300 | 4']);

  expect(await keep({})).toBe(2);
  expect(await constraints()).toEqual([]);
  expect(
    await show('SELECT id, extract(epoch FROM generated)::int FROM system.reports_meta'),
  ).toEqual(['1 | 1360', '2 | 1360', '3 | 1360']);
});

/** A Db that counts what transactions write. */
function counting(db: Db): { readonly db: Db; writes: () => number } {
  let writes = 0;
  const counted: Db = Object.create(db, {
    run: {
      value: (options: TxnOptions, body: Parameters<Db['run']>[1]) =>
        db.run(options, (txn) => {
          for (const method of ['put', 'delete'] as const) {
            const real = txn[method].bind(txn) as (...given: unknown[]) => void;
            vi.spyOn(txn, method).mockImplementation((...given: unknown[]) => {
              writes++;
              real(...given);
            });
          }
          return body(txn);
        }),
    },
  });
  return { db: counted, writes: () => writes };
}
