/** What scripts cannot say: parameters, index states, limits, concurrency, depth. */
import { describe, expect, it } from 'vitest';
import { must } from '../../../src/util/index.ts';
import { type TableDescriptor } from '../../../src/sql/catalog/descriptors.ts';
import { parseStatements, loadParser } from '../../../src/sql/parse/index.ts';
import { planStatement, type PreparedPlan } from '../../../src/sql/plan/index.ts';
import { type Datum, type Row } from '../../../src/sql/types/index.ts';
import { formatError, formatRows, TestDatabase } from './fixture.ts';

async function prepare(
  database: TestDatabase,
  sql: string,
  types: readonly number[] = [],
): Promise<PreparedPlan> {
  await loadParser();
  const [first] = parseStatements(sql);
  if (first?.statement.kind !== 'postgres') throw new Error('a PostgreSQL statement');
  return planStatement({
    statement: first.statement.node,
    parameterTypes: types,
    text: first.text,
    catalog: database,
    eval: database.eval,
  });
}

async function execute(
  database: TestDatabase,
  plan: PreparedPlan,
  params: readonly Datum[],
): Promise<Row[]> {
  const txn = database.db.begin();
  const result = await plan.execute(database.context(txn, true, params));
  const rows: Row[] = [];
  for (;;) {
    const batch = await result.next();
    if (batch === undefined) break;
    rows.push(...batch);
  }
  if (txn.status === 'open') await txn.commit();
  return rows;
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    return formatError(error);
  }
}

async function withTable(): Promise<TestDatabase> {
  const database = new TestDatabase();
  await database.ddl(
    'create table t (id int primary key, a int, b text); create index t_a on t (a)',
  );
  await database.run("insert into t values (1, 10, 'x'), (2, 20, 'y'), (3, 30, 'z')");
  return database;
}

describe('parameters', () => {
  it.each([
    ['select * from t where id = $1', [23]],
    ['select $1', [25]],
    ['select $1::int8 + 1', [20]],
    ['select id from t where a > $1 and b like $2', [23, 25]],
    ['insert into t values ($1, $2, $3)', [23, 23, 25]],
    ['update t set b = $2 where id = $1', [23, 25]],
    ['select id from t where id in ($1, $2)', [23, 23]],
    ['select id from t where id = any ($1)', [1007]],
    ['select id from t limit $1 offset $2', [20, 20]],
    ['select $1 || b from t', [25]],
    ['select case when $1 then 1 else $2 end', [16, 23]],
    ["select coalesce($1, 'x'), $2 is null", [25, 25]],
  ])('infers the types of %s', async (sql, types) => {
    const plan = await prepare(await withTable(), sql);
    expect(plan.parameterTypes).toEqual(types);
  });

  it('runs one plan with many values', async () => {
    const database = await withTable();
    const plan = await prepare(database, 'select b from t where id = $1');
    expect(await execute(database, plan, [2])).toEqual([['y']]);
    expect(await execute(database, plan, [3])).toEqual([['z']]);
    expect(await execute(database, plan, [null])).toEqual([]);
    expect(await execute(database, plan, [9])).toEqual([]);
  });

  it('uses parameters inside pushed-down filters, ranges and limits', async () => {
    const database = await withTable();
    const filter = await prepare(database, 'select id from t where b > $1 and a <> $2 order by id');
    expect(await execute(database, filter, ['x', 20])).toEqual([[3]]);
    const range = await prepare(
      database,
      'select id from t where id between $1 and $2 order by id desc limit $3',
    );
    expect(await execute(database, range, [1, 3, 2n])).toEqual([[3], [2]]);
    const list = await prepare(database, 'select id from t where a = any ($1) order by id', [1007]);
    expect(await execute(database, list, [null])).toEqual([]);
  });

  it('describes its columns', async () => {
    const database = await withTable();
    const plan = await prepare(database, 'select id, b as label, a + 1 from t');
    expect(
      plan.columns.map(({ name, typeOid, columnNumber }) => [name, typeOid, columnNumber]),
    ).toEqual([
      ['id', 23, 1],
      ['label', 25, 3],
      ['?column?', 23, 0],
    ]);
    expect(plan.isReadOnly).toBe(true);
    expect((await prepare(database, 'delete from t')).isReadOnly).toBe(false);
    expect((await prepare(database, 'select * from t for update')).isReadOnly).toBe(false);
  });
});

describe('index states', () => {
  function withState(
    table: TableDescriptor,
    state: 'delete-only' | 'write-only' | 'public',
  ): TableDescriptor {
    return {
      ...table,
      version: table.version + 1,
      indexes: table.indexes.map((index) => ({ ...index, state })),
    };
  }

  it('deletes but does not add entries while delete-only, and keeps them exact while write-only', async () => {
    const database = await withTable();
    const table = must(database.tables.get('t'));
    database.replaceTable(withState(table, 'delete-only'));
    await database.run("insert into t values (4, 40, 'w')");
    await database.run('delete from t where id = 1');
    await database.run('update t set a = 21 where id = 2');
    expect((await database.run('select a from t order by id')).rows).toEqual([[21], [30], [40]]);
    database.replaceTable(withState(table, 'public'));
    expect((await database.run('select a from t where a > 0 order by a')).rows).toEqual([[30]]);
    database.replaceTable(withState(table, 'write-only'));
    await database.run('update t set b = b');
    await database.run("insert into t values (5, 50, 'v')");
    database.replaceTable(withState(table, 'public'));
    expect((await database.run('select a from t where a > 0 order by a')).rows).toEqual([
      [21],
      [30],
      [40],
      [50],
    ]);
  });
});

describe('limits', () => {
  it('stops a statement that holds too much memory', async () => {
    const database = await withTable();
    database.memoryLimitBytes = 200_000;
    const sorted = database.run('select g from generate_series(1, 100000) g order by g desc');
    expect(await failure(sorted)).toContain('ERROR 53200 out of memory');
    const counted = await database.run('select count(*) from generate_series(1, 100000) g');
    expect(counted.rows).toEqual([[100000n]]);
  });

  it.each([
    ['parentheses', `select ${'('.repeat(300)}1${')'.repeat(300)}`, /^1$/],
    ['operators', `select ${'1 + '.repeat(5000)}1`, /54001|^5001$/],
    ['conditions', `select 1 where ${'1 = 1 and '.repeat(20000)}true`, /^1$/],
    ['cases', `select ${'case when true then '.repeat(900)}1${' end'.repeat(900)}`, /54001|^1$/],
    [
      'subqueries',
      `select * from ${'(select * from '.repeat(700)}(select 1) x${') x'.repeat(700)}`,
      /54001|^1$/,
    ],
    [
      'lists',
      `select 1 where 7 in (${Array.from({ length: 20000 }, (_, i) => i).join(', ')})`,
      /^1$/,
    ],
    ['unions', `select 1${' union all select 1'.repeat(3000)}`, /54001|^1/],
  ])('survives deep %s', async (_name, sql, expected) => {
    const database = new TestDatabase();
    let text: string;
    try {
      text = formatRows(await database.run(sql), database.eval).join('\n');
    } catch (error) {
      text = formatError(error);
    }
    expect(text).toMatch(expected);
  });
});

describe('transactions', () => {
  it('gives the same answers over buffered writes as over stored rows', async () => {
    const queries = [
      'select count(*), sum(a) from t',
      'select a, count(*) from t where b <> $$q$$ group by a order by a',
      'select id from t where a > 15 order by a desc',
      'select id from t where a = 25',
      'select b from t order by id desc limit 2',
      'select x.id from t x join t y on x.a = y.id * 10 order by 1',
    ];
    const database = await withTable();
    await database.run('begin');
    await database.run(
      "insert into t values (4, 25, 'n'); update t set a = 11 where id = 1; delete from t where id = 3",
    );
    const inside: unknown[] = [];
    for (const sql of queries) inside.push((await database.run(sql)).rows);
    await database.run('commit');
    const after: unknown[] = [];
    for (const sql of queries) after.push((await database.run(sql)).rows);
    expect(inside).toEqual(after);
  });

  it('does not lose concurrent updates of one row', async () => {
    const database = await withTable();
    const plan = await prepare(database, 'update t set a = a + 1 where id = 1');
    await Promise.all(Array.from({ length: 20 }, () => execute(database, plan, [])));
    expect((await database.run('select a from t where id = 1')).rows).toEqual([[30]]);
  });

  it('does not see its own writes', async () => {
    const database = await withTable();
    await database.run('insert into t select id + 100, a, b from t');
    expect((await database.run('select count(*) from t')).rows).toEqual([[6n]]);
    await database.run('update t set a = a + 1000 where a < 5000');
    expect((await database.run('select max(a) from t')).rows).toEqual([[1030]]);
  });

  it('commits a single-row write with the statement', async () => {
    const database = await withTable();
    const plan = await prepare(database, "insert into t values (9, 9, 'q')");
    const txn = database.db.begin();
    const result = await plan.execute(database.context(txn, true, []));
    await result.next();
    expect(txn.status).toBe('committed');
    expect(result.tag()).toBe('INSERT 0 1');
  });
});

describe('explain', () => {
  it('prints estimates, and what happened with ANALYZE', async () => {
    const database = await withTable();
    const plain = await database.run('explain select * from t where a > 5');
    expect(plain.rows[0]?.[0]).toMatch(/rows=\d+ cost=/);
    const analyzed = await database.run(
      'explain (analyze, costs off, timing off) select * from t where a > 15',
    );
    expect(analyzed.rows[0]?.[0]).toMatch(/actual rows=2 loops=1/);
    const json = await database.run('explain (format json) select * from t');
    const [text = ''] = formatRows(json, database.eval);
    expect(JSON.parse(text)[0].Plan['Node Type']).toContain('Scan');
  });
});
