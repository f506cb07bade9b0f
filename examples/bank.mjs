// Transfers between accounts, with what must hold of them. Run it against a cluster that fails:
//
//     skein sim --workload examples/bank.mjs --runs 10
import assert from 'node:assert/strict';

const accounts = 10;

export const clients = 5;

/** Transfers of which COMMIT was acknowledged. */
const acknowledged = new Set();
let transfers = 0;

export async function setup(sql) {
  await sql.query('CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)');
  await sql.query('CREATE TABLE receipts (transfer int PRIMARY KEY, amount int NOT NULL)');
  await sql.query('INSERT INTO accounts SELECT id, 100 FROM generate_series(1, $1) id', [accounts]);
}

export async function step(sql, random) {
  const from = random.between(1, accounts);
  const to = random.between(1, accounts);
  const transfer = transfers++;
  await sql.transaction(async (tx) => {
    // At READ COMMITTED, the default, another transfer could take the same money meanwhile: FOR UPDATE keeps it out.
    const { rows } = await tx.query('SELECT balance FROM accounts WHERE id = $1 FOR UPDATE', [
      from,
    ]);
    const amount = Math.min(rows[0].balance, random.between(1, 50));
    await tx.query('UPDATE accounts SET balance = balance - $1 WHERE id = $2', [amount, from]);
    await tx.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, to]);
    await tx.query('INSERT INTO receipts VALUES ($1, $2)', [transfer, amount]);
  });
  acknowledged.add(transfer);
}

/** At any moment, also while nodes fail: no money appears or vanishes. */
export async function invariant(sql) {
  const { rows } = await sql.query(
    'SELECT sum(balance)::int AS total, min(balance) AS least FROM accounts',
  );
  assert.equal(rows[0].total, 100 * accounts);
  assert.ok(rows[0].least >= 0, `a balance is ${rows[0].least}`);
}

/** In the end: what was acknowledged is there. */
export async function check(sql) {
  const { rows } = await sql.query('SELECT transfer FROM receipts');
  const kept = new Set(rows.map((row) => row.transfer));
  for (const transfer of acknowledged) assert.ok(kept.has(transfer), `${transfer} is lost`);
}
