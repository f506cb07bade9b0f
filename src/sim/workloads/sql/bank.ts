/** The bank workload (Jepsen): transfers between accounts that lie in two tables, and reads of all of them. */
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { bankCodec, checkBank, type BankOperation } from '../../checkers/bank.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const accounts = 8;
const initialBalance = 25;
const amountMax = 5;
const tables = ['bank_even', 'bank_odd'] as const;

interface Row {
  readonly id: number;
  readonly balance: number | null;
}

export function bank(isolation: IsolationLevel): CheckedWorkload<BankOperation> {
  return {
    tables,
    setup: tables.flatMap((table, i) => [
      `CREATE TABLE ${table} (id int PRIMARY KEY, balance int)`,
      `INSERT INTO ${table} SELECT id, ${initialBalance} FROM generate_series(${i}, ${accounts - 1}, 2) id`,
    ]),
    codec: bankCodec,
    next: (random) => (random.chance(0.5) ? transfer(random, isolation) : read(random, isolation)),
    finalReads: () => [readAtOnce()],
    permitted: [],
    check: (history) => checkBank(history, { accounts, total: accounts * initialBalance }),
  };
}

function transfer(random: SqlRandom, isolation: IsolationLevel): Step<BankOperation> {
  const from = random.between(0, accounts - 1);
  const to = (from + random.between(1, accounts - 1)) % accounts;
  const amount = random.between(1, amountMax);
  // Who reads first and locks nothing relies on more than READ COMMITTED.
  const manners = ['in place', 'locking', ...(isolation === 'read committed' ? [] : ['plain'])];
  const manner = random.pick(manners);
  const what = { kind: 'transfer', value: [from, to, amount] } as const;
  return {
    what,
    async run(sql) {
      await transact(sql, async (txn) => {
        if (manner === 'in place') await moveInPlace(txn, from, to, amount);
        else await readAndMove(txn, what.value, manner === 'locking' ? ' FOR UPDATE' : '');
      });
      return what;
    },
  };
}

async function moveInPlace(
  sql: SqlQueries,
  ...[from, to, amount]: readonly [number, number, number]
): Promise<void> {
  const { rowCount } = await sql.query(
    `UPDATE ${tableOf(from)} SET balance = balance - $2 WHERE id = $1 AND balance >= $2`,
    [from, amount],
  );
  if (rowCount === 0) return;
  await sql.query(`UPDATE ${tableOf(to)} SET balance = balance + $2 WHERE id = $1`, [to, amount]);
}

async function readAndMove(
  sql: SqlQueries,
  [from, to, amount]: readonly [number, number, number],
  lock: string,
): Promise<void> {
  const balanceOf = async (account: number): Promise<number> => {
    const { rows } = await sql.query<Row>(
      `SELECT balance FROM ${tableOf(account)} WHERE id = $1${lock}`,
      [account],
    );
    return rows[0]?.balance ?? 0;
  };
  const set = async (account: number, balance: number): Promise<void> => {
    await sql.query(`UPDATE ${tableOf(account)} SET balance = $2 WHERE id = $1`, [
      account,
      balance,
    ]);
  };
  const before = await balanceOf(from);
  if (before < amount) return;
  const other = await balanceOf(to);
  await set(from, before - amount);
  await set(to, other + amount);
}

function read(random: SqlRandom, isolation: IsolationLevel): Step<BankOperation> {
  // In READ COMMITTED each statement sees a state of its own.
  if (isolation === 'read committed' || random.chance(0.5)) return readAtOnce();
  const pause = random.chance(0.3) ? 'SELECT pg_sleep(0.1)' : undefined;
  return readWith(async (sql) => {
    const rows: Row[] = [];
    for (const table of tables) {
      rows.push(...(await sql.query<Row>(`SELECT id, balance FROM ${table}`)).rows);
      if (pause !== undefined) await sql.query(pause);
    }
    return rows;
  });
}

function readAtOnce(): Step<BankOperation> {
  const union = tables.map((table) => `SELECT id, balance FROM ${table}`).join(' UNION ALL ');
  return readWith(async (sql) => (await sql.query<Row>(union)).rows);
}

function readWith(rowsOf: (sql: SqlQueries) => Promise<readonly Row[]>): Step<BankOperation> {
  return {
    what: { kind: 'read', value: null },
    async run(sql) {
      const rows = await transact(sql, rowsOf);
      return { kind: 'read', value: rows.map(({ id, balance }) => [id, balance] as const) };
    },
  };
}

function tableOf(account: number): string {
  return tables[account % 2 === 0 ? 0 : 1];
}
