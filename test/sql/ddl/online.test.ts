/** Indexes and primary keys are built while other sessions write: afterwards table and indexes agree exactly. */
import { describe, expect, it } from 'vitest';
import { systemIds, type TableDescriptor } from '../../../src/sql/catalog/index.ts';
import { must } from '../../../src/util/index.ts';
import { SeededRandom } from '../../random.ts';
import { indexEntries } from './index-entries.ts';
import { TestSession, startCluster, type TestCluster } from './node.ts';

/** Every index holds exactly the entries that the rows ask for. */
async function checkIndexes(cluster: TestCluster, table: TableDescriptor): Promise<number> {
  const entries = await indexEntries(cluster.db, table);
  const rows = must(entries[0]).count;
  for (const { name, count, missing, surplus } of entries)
    expect({ name, count, missing, surplus }).toEqual({
      name,
      count: rows,
      missing: [],
      surplus: [],
    });
  return rows;
}

/** Every scan, read and commit gives the event loop back first, so that sessions really interleave. */
function interleave(cluster: TestCluster): void {
  const { db } = cluster;
  const begin = db.begin.bind(db);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  db.begin = (options) => {
    const txn = begin(options);
    const [scan, getMany, commit] = [
      txn.scan.bind(txn),
      txn.getMany.bind(txn),
      txn.commit.bind(txn),
    ];
    txn.scan = async (scanned) => {
      await turn();
      return scan(scanned);
    };
    txn.getMany = async (keys, how) => {
      await turn();
      return getMany(keys, how);
    };
    txn.commit = async (how) => {
      await turn();
      return commit(how);
    };
    return txn;
  };
}

async function buildUnderLoad(
  create: string,
  change: string,
  seed: number,
): Promise<TableDescriptor> {
  const cluster = await startCluster(2);
  const session = new TestSession(cluster, 0);
  await session.run(
    `${create}; insert into t select i, i % 50, 'row' || i from generate_series(1, 3000) as g(i)`,
  );
  interleave(cluster);
  let result: string | undefined;
  const building = session.run(change).then((text) => {
    result = text;
  });
  const random = new SeededRandom(seed);
  let next = 0;
  let writesMeanwhile = 0;
  const writer = async (node: number): Promise<void> => {
    const own = new TestSession(cluster, node);
    // Also some writes after the end, under the new definition.
    for (let rest = 20; rest > 0; rest -= result === undefined ? 0 : 1) {
      const a = random.below(3200) + 1;
      const statement = [
        `insert into t values (${10_000 + next++}, ${random.below(50)}, 'new')`,
        `update t set b = ${random.below(50)}, c = 'changed' where a = ${a}`,
        `delete from t where a = ${a}`,
      ][random.below(3)];
      expect(await own.run(must(statement))).toMatch(/^(INSERT 0|UPDATE|DELETE) \d+$/);
      if (result === undefined) writesMeanwhile++;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const writers = Promise.all([writer(0), writer(1)]);
  let isOver = false;
  const all = Promise.all([building, writers]).finally(() => {
    isOver = true;
  });
  all.catch(() => {});
  await cluster.env.runFor(600_000, () => isOver);
  await all;
  expect(result).toMatch(/^(CREATE INDEX|ALTER TABLE)$/);
  expect(writesMeanwhile).toBeGreaterThan(5);
  const snapshot = must(cluster.caches[0]).current;
  const table = must(snapshot.contents(systemIds.defaultDatabase).tables[0]);
  const rows = await checkIndexes(cluster, table);
  expect(await session.run('select count(*) from t')).toBe(`count\n${rows}`);
  return table;
}

describe('building under load', () => {
  const keyed = 'create table t (a int primary key, b int, c text)';

  it('an index', async () => {
    const table = await buildUnderLoad(keyed, 'create index on t (b desc) include (c)', 11);
    expect(table.indexes.map(({ state }) => state)).toEqual(['public']);
  });

  it('a unique index', async () => {
    const table = await buildUnderLoad(keyed, 'create unique index on t (b, a)', 12);
    expect(table.indexes[0]?.unique).toBe(true);
  });

  it('a check and a not null constraint', async () => {
    const table = await buildUnderLoad(
      keyed,
      'alter table t add constraint few check (b < 50), alter column c set not null',
      14,
    );
    expect(table.checks.map(({ validated }) => validated)).toEqual([true]);
    expect(table.columns.map(({ nullable }) => nullable)).toEqual([false, true, false]);
  });

  it('a primary key, and with it every other index anew', async () => {
    const table = await buildUnderLoad(
      // Writers find their rows by an index: who reads the whole table begins anew whenever another one has written.
      'create table t (a int, b int, c text); create index on t (b); create index on t (a)',
      'alter table t add primary key (a)',
      13,
    );
    expect(table.columns.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(table.primaryIndex.isConstraint).toBe(true);
    expect(table.indexes.map(({ suffixColumnIds }) => suffixColumnIds)).toEqual([[1], []]);
  });
});
