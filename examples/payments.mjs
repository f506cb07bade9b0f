// A service that pays orders, with a mistake that only a failing cluster shows:
//
//     skein sim --workload examples/payments.mjs --runs 20
import assert from 'node:assert/strict';

export const clients = 4;

export async function setup(sql) {
  await sql.query('CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)');
  await sql.query('CREATE TABLE payments (number int, account int, amount int NOT NULL)');
  await sql.query('INSERT INTO accounts SELECT id, 0 FROM generate_series(1, 20) id');
}

async function pay(sql, number, account, amount) {
  for (;;) {
    try {
      await sql.transaction(async (tx) => {
        await tx.query('INSERT INTO payments VALUES ($1, $2, $3)', [number, account, amount]);
        await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, account]);
      });
      return;
    } catch (error) {
      console.log(`payment ${number} failed (${error.code}): once more`);
    }
  }
}

let payments = 0;

export async function step(sql, random) {
  await pay(sql, ++payments, random.between(1, 20), random.between(1, 100));
}

export async function check(sql) {
  const { rows } = await sql.query(
    'SELECT number, count(*)::int AS times FROM payments GROUP BY number HAVING count(*) > 1',
  );
  assert.deepEqual(rows, [], 'payments that were made more than once');
}
