/** The register workload (Jepsen): reads, writes and compare-and-sets of a few values on a few keys at a time. */
import { checkRegisters, registerCodec, type KeyedRegisterOp } from '../../checkers/register.ts';
import { type SqlRandom } from '../../sql-program.ts';
import { type SqlQueries } from '../../sql-session.ts';
import { KeySlots } from '../key-slots.ts';
import { execute, transact } from './attempt.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const activeKeys = 4;
const operationsPerKey = 60;
const valueMax = 4;

type Cas = Extract<KeyedRegisterOp, { kind: 'cas' }>;
type Write = Extract<KeyedRegisterOp, { kind: 'write' }>;

/** Each operation commits by itself, or in a block. */
export function register(): CheckedWorkload<KeyedRegisterOp> {
  const slots = new KeySlots(activeKeys, operationsPerKey);
  return {
    tables: ['registers'],
    setup: ['CREATE TABLE registers (key int PRIMARY KEY, value int NOT NULL)'],
    codec: registerCodec,
    next: (random) => draw(random, slots.draw(random)),
    finalReads: () => slots.keys.map((key) => readStep(key, (sql) => read(sql, key))),
    permitted: [],
    check: checkRegisters,
  };
}

function draw(random: SqlRandom, key: number): Step<KeyedRegisterOp> {
  const inBlock = random.chance(0.5);
  const within = <T>(sql: SqlQueries, body: (sql: SqlQueries) => Promise<T>): Promise<T> =>
    inBlock ? transact(sql, body) : body(alone(sql));
  const kind = random.pick(['read', 'read', 'write', 'cas', 'cas']);
  if (kind === 'read') return readStep(key, (sql) => within(sql, (txn) => read(txn, key)));
  const value = random.between(0, valueMax);
  if (kind === 'write') {
    const what = { kind: 'write', key, value } as const;
    return {
      what,
      async run(sql) {
        await within(sql, (txn) => write(txn, what));
        return what;
      },
    };
  }
  const what = {
    kind: 'cas',
    key,
    from: value,
    to: random.between(0, valueMax),
    done: false,
  } as const;
  return {
    what,
    run: async (sql) => ({ ...what, done: await within(sql, (txn) => compareAndSet(txn, what)) }),
  };
}

/** Each statement commits by itself. */
function alone(sql: SqlQueries): SqlQueries {
  return { query: (text, values) => execute(sql, text, values) };
}

function readStep(
  key: number,
  value: (sql: SqlQueries) => Promise<number | undefined>,
): Step<KeyedRegisterOp> {
  return {
    what: { kind: 'read', key, value: undefined },
    run: async (sql) => ({ kind: 'read', key, value: await value(sql) }),
  };
}

async function read(sql: SqlQueries, key: number): Promise<number | undefined> {
  const select = 'SELECT value FROM registers WHERE key = $1';
  const { rows } = await sql.query<{ value: number }>(select, [key]);
  return rows[0]?.value;
}

async function write(sql: SqlQueries, { key, value }: Write): Promise<void> {
  await sql.query(
    `INSERT INTO registers VALUES ($1, $2)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    [key, value],
  );
}

async function compareAndSet(sql: SqlQueries, { key, from, to }: Cas): Promise<boolean> {
  const update = 'UPDATE registers SET value = $3 WHERE key = $1 AND value = $2';
  const { rowCount } = await sql.query(update, [key, from, to]);
  return rowCount === 1;
}
