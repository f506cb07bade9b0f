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

/** In the middle, or just below the last key, where inserts go. */
async function split(target: Target, place: number): Promise<string> {
  const table = pickAt(target.tables, place);
  const where = fraction(place * target.tables.length) < 0.5 ? 'last' : 'random';
  await splitTable((text, values) => target.sql(text, values), table, where);
  return `split of ${table}, ${where} key`;
}

/** By rows of it, at most two; a table without rows stays as it is. */
export async function splitTable(
  sql: Target['sql'],
  table: string,
  where: 'last' | 'random',
): Promise<void> {
  const [first] = await sql<{ column_name: string }>(
    `SELECT column_name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position LIMIT 1`,
    [table],
  );
  const key = first?.column_name ?? '';
  const order = where === 'last' ? `${key} DESC LIMIT 1` : 'random() LIMIT 2';
  await sql(`ALTER TABLE ${table} SPLIT AT SELECT ${key} FROM ${table} ORDER BY ${order}`);
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
    return operation(target, fraction(place * operations.length));
  }),
} satisfies Record<string, FaultClass>;

function fraction(number: number): number {
  return number - Math.floor(number);
}
