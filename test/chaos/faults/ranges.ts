/** Ranges are split, merged and moved, and leases are handed over, while clients use them. */
import { type Fault, type FaultClass, type Target } from './fault.ts';
import { pickAt, rangesOf } from './roles.ts';

/** Operations follow each other like this: one that a client meets is worth more than one that waits. */
const betweenMs = { min: 300, max: 2_000 };
const countMax = 6;

/** Several in a row, each with a drawn place in [0, 1). One that the cluster refuses is none. */
function often(operate: (target: Target, place: number) => Promise<string>): FaultClass {
  return (random): Fault => {
    const steps = Array.from({ length: random.between(2, countMax) }, () => ({
      place: random.float(),
      thenMs: random.between(betweenMs.min, betweenMs.max),
    }));
    return {
      drawn: { steps: steps.length },
      async run(target) {
        let refused = '';
        let done = 0;
        for (const { place, thenMs } of steps) {
          if (target.isOver) break;
          try {
            target.struck(await operate(target, place));
            done++;
          } catch (error) {
            refused = String(error);
          }
          await target.hold(thenMs);
        }
        if (done === 0 && !target.isOver) throw new Error(refused);
      },
    };
  };
}

async function keyColumns(target: Target, table: string): Promise<string> {
  const rows = await target.sql<{ attname: string }>(
    `SELECT a.attname FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY a.attnum LIMIT 1`,
    [table],
  );
  return rows.map(({ attname }) => attname).join(', ');
}

/** In the middle, or just below the last key, where inserts go. */
async function split(target: Target, place: number): Promise<string> {
  const table = pickAt(target.tables, place);
  const key = await keyColumns(target, table);
  const order =
    place * target.tables.length - Math.floor(place * target.tables.length) < 0.5
      ? `${key} DESC`
      : 'random()';
  await target.sql(
    `ALTER TABLE ${table} SPLIT AT SELECT ${key} FROM ${table} ORDER BY ${order} LIMIT 1`,
  );
  return `split of ${table} by ${order}`;
}

async function merge(target: Target, place: number): Promise<string> {
  const table = pickAt(target.tables, place);
  await target.sql(`ALTER TABLE ${table} UNSPLIT ALL`);
  return `${table} may merge`;
}

async function transfer(target: Target, place: number): Promise<string> {
  const range = pickAt(await rangesOf(target, place), place);
  const others = range.nodes.flatMap((node, i) => (node === range.leaseholder ? [] : [i]));
  const to = range.stores[pickAt(others, place)];
  return relocated(target, `ALTER RANGE ${range.rangeId} RELOCATE LEASE TO ${to}`);
}

async function relocate(target: Target, place: number): Promise<string> {
  const range = pickAt(await rangesOf(target, place), place);
  const rows = await target.sql<{ store_id: string }>(
    'SELECT store_id FROM skein_internal.store_membership',
  );
  const free = rows.map((row) => Number(row.store_id)).filter((id) => !range.stores.includes(id));
  if (free.length === 0) return scatter(target, place);
  const from = pickAt(range.stores, place);
  return relocated(
    target,
    `ALTER RANGE ${range.rangeId} RELOCATE FROM ${from} TO ${pickAt(free, place)}`,
  );
}

async function relocated(target: Target, statement: string): Promise<string> {
  const [row] = await target.sql<{ result: string }>(statement);
  if (row?.result !== 'ok') throw new Error(row?.result ?? 'no such range');
  return statement;
}

async function scatter(target: Target, place: number): Promise<string> {
  const table = pickAt(target.tables, place);
  await target.sql(`ALTER TABLE ${table} SCATTER`);
  return `${table} scattered`;
}

export const ranges = {
  split: often(split),
  merge: often(merge),
  'lease-transfer': often(transfer),
  relocate: often(relocate),
  'range-operations': often((target, place) => {
    const operations = [split, split, merge, transfer, transfer, relocate, scatter];
    const operation = pickAt(operations, place);
    // The rest of the number chooses what it happens to.
    return operation(target, (place * operations.length) % 1);
  }),
} satisfies Record<string, FaultClass>;
