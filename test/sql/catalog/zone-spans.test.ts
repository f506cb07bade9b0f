/** Which configuration holds for which keys, and where ranges must end for it. */
import { describe, expect, it } from 'vitest';
import {
  indexPrefix,
  keyMax,
  keyMin,
  metaEnd,
  tableKeyPrefix,
  userTablesStart,
} from '../../../src/encoding/index.ts';
import {
  emptySnapshot,
  sameZones,
  zoneBoundaries,
  zoneConfigFor,
} from '../../../src/sql/catalog/index.ts';
import { tableCodec } from '../../../src/sql/row/index.ts';
import { prefixEnd } from '../../../src/util/index.ts';
import { startCluster, TestSession } from '../ddl/node.ts';

const hex = (keys: readonly (Buffer | undefined)[]): (string | undefined)[] =>
  keys.map((key) => key?.toString('hex'));

describe('zone boundaries', () => {
  it('part meta records, the system and the tables of users, and nothing else', async () => {
    const cluster = await startCluster();
    const session = new TestSession(cluster);
    await session.run('create table a (i int primary key); create table b (i int primary key)');
    const snapshot = cluster.caches[0]?.current ?? emptySnapshot;
    expect(hex(zoneBoundaries(snapshot, keyMin, keyMax))).toEqual(hex([metaEnd, userTablesStart]));
    expect(zoneBoundaries(snapshot, metaEnd, userTablesStart)).toEqual([]);
  });

  it('stand around a table and around an index that differ from their neighbours', async () => {
    const cluster = await startCluster();
    const session = new TestSession(cluster);
    const current = (): typeof emptySnapshot => cluster.caches[0]?.current ?? emptySnapshot;
    await session.run('create table a (i int primary key)');
    await session.run('create table b (i int primary key, j int, k int)');
    await session.run('create index bj on b (j); create index bk on b (k)');
    await session.run('create table c (i int primary key)');
    const b = [...current().data.descriptors.values()].find(({ name }) => name === 'b')?.id ?? 0;
    const before = current();
    const outside = [metaEnd, userTablesStart];
    const boundaries = (): Buffer[] => zoneBoundaries(current(), keyMin, keyMax);

    await session.run('alter table b configure zone using gc.ttlseconds = 60');
    expect(sameZones(before, current())).toBe(false);
    const nextTable = tableKeyPrefix(b + 1);
    expect(hex(boundaries())).toEqual(hex([...outside, tableKeyPrefix(b), nextTable]));

    await session.run('alter index b@bj configure zone using gc.ttlseconds = 70');
    const bj = indexPrefix({ tableId: b, indexId: 2 });
    expect(hex(boundaries())).toEqual(
      hex([...outside, tableKeyPrefix(b), bj, prefixEnd(bj), nextTable]),
    );
    const ttl = (key: Buffer): number => zoneConfigFor(current(), key).gcTtlSeconds;
    expect(ttl(Buffer.concat([bj, Buffer.from([1])]))).toBe(70);
    expect(ttl(indexPrefix({ tableId: b, indexId: 3 }))).toBe(60);
    expect(ttl(userTablesStart)).toBe(14_400);

    // A configuration that is equal to its neighbours' is no boundary, wherever it comes from.
    await session.run('alter index b@bj configure zone using gc.ttlseconds = 60');
    expect(hex(boundaries())).toEqual(hex([...outside, tableKeyPrefix(b), nextTable]));
    await session.run(
      'alter table b configure zone discard; alter index b@bj configure zone discard',
    );
    expect(sameZones(before, current())).toBe(true);
  });

  it('follow the innermost of partitions that lie in one another', async () => {
    const cluster = await startCluster();
    const session = new TestSession(cluster);
    const current = (): typeof emptySnapshot => cluster.caches[0]?.current ?? emptySnapshot;
    await session.run(
      'create table p (a int, b int, primary key (a, b)) partition by list (a, b) (partition one values in ((1, default)), ' +
        'partition two values in ((1, 2)), partition other values in (default))',
    );
    const outside = [metaEnd, userTablesStart];
    expect(hex(zoneBoundaries(current(), keyMin, keyMax))).toEqual(hex(outside));
    for (const [partition, ttl] of [
      ['one', 100],
      ['two', 200],
      ['other', 300],
    ] as const) {
      await session.run(
        `alter partition ${partition} of table p configure zone using gc.ttlseconds = ${ttl}`,
      );
    }
    const table = [...current().data.descriptors.values()].find(({ name }) => name === 'p');
    if (table?.kind !== 'table') throw new Error('no table');
    const index = tableCodec(table).index(table.primaryIndex.id);
    const ttl = (...row: number[]): number =>
      zoneConfigFor(current(), index.encodeKeyPrefix(row)).gcTtlSeconds;
    expect([ttl(0, 9), ttl(1), ttl(1, 1), ttl(1, 2), ttl(1, 3), ttl(2, 2)]).toEqual([
      300, 100, 100, 200, 100, 300,
    ]);
    const prefixes = [[1], [1, 2]].map((row) => index.encodeKeyPrefix(row));
    const [one, two] = prefixes;
    const [endOne, endTwo] = prefixes.map((prefix) => prefixEnd(prefix));
    const [start, end] = [index.prefix, prefixEnd(index.prefix)];
    expect(hex(zoneBoundaries(current(), keyMin, keyMax))).toEqual(
      hex([...outside, start, one, two, endTwo, endOne, end]),
    );
  });
});
