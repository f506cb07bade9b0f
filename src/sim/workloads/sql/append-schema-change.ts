/** The list-append workload while its first client changes the schema: what lists hold must not depend on columns, indexes and constraints. */
import { type Finding, type Recorded } from '../../checkers/history.ts';
import { type IsolationLevel } from '../../checkers/isolation.ts';
import { int, operations, text, type Codec, type OperationOf } from '../../checkers/shape.ts';
import { execute } from './attempt.ts';
import { listAppend, type AppendOps } from './list-append.ts';
import { type CheckedWorkload, type Step } from './workload.ts';

const shapes = {
  /** A statement. */
  ddl: text,
  /** How many rows of the first table have no value in the column with a default. */
  nulls: int,
};

type SchemaChange = OperationOf<typeof shapes>;
type What = AppendOps | SchemaChange;

const schemaCodec = operations(shapes);

export function appendSchemaChange(isolation: IsolationLevel): CheckedWorkload<What> {
  const appends = listAppend(isolation);
  const [first = ''] = appends.tables;
  const changes = changesOf(first);
  let made = 0;
  const codec: Codec<What> = {
    encode: (what) => (isChange(what) ? schemaCodec.encode(what) : appends.codec.encode(what)),
    decode: (written) =>
      Object.hasOwn(shapes, written.f)
        ? schemaCodec.decode(written)
        : appends.codec.decode(written),
  };
  return {
    tables: appends.tables,
    setup: appends.setup,
    codec,
    next(random, client) {
      if (client === 0 && random.chance(0.6)) return change(changes[made++ % changes.length] ?? '');
      if (client === 0 && random.chance(0.5)) return countNulls(first);
      return ofAny(appends.next(random, client));
    },
    finalReads: () => appends.finalReads().map(ofAny),
    permitted: appends.permitted,
    check(history) {
      const isAppend = (each: Recorded<What>): each is Recorded<AppendOps> => !isChange(each.what);
      return [...appends.check(history.filter(isAppend)), ...nullDefaults(history)];
    },
  };
}

/** Each is undone by one behind it. */
function changesOf(table: string): string[] {
  return [
    `ALTER TABLE ${table} ADD COLUMN IF NOT EXISTS extra int NOT NULL DEFAULT 7`,
    `DROP INDEX IF EXISTS ${table}_sk_idx`,
    `CREATE TABLE IF NOT EXISTS append_other (id int PRIMARY KEY)`,
    `ALTER TABLE ${table} ADD CONSTRAINT extra_is_seven CHECK (extra = 7)`,
    `CREATE INDEX IF NOT EXISTS ${table}_sk_idx ON ${table} (sk)`,
    `TRUNCATE append_other`,
    `ALTER TABLE ${table} DROP CONSTRAINT IF EXISTS extra_is_seven`,
    `CREATE UNIQUE INDEX IF NOT EXISTS append_unique ON ${table} (sk)`,
    `DROP TABLE IF EXISTS append_other`,
    `DROP INDEX IF EXISTS append_unique`,
    `ALTER TABLE ${table} DROP COLUMN IF EXISTS extra`,
  ];
}

function change(statement: string): Step<What> {
  const what = { kind: 'ddl', value: statement } as const;
  return {
    what,
    async run(sql) {
      await execute(sql, statement);
      return what;
    },
  };
}

function countNulls(table: string): Step<What> {
  const select = `SELECT count(*)::int AS nulls FROM ${table} WHERE extra IS NULL`;
  return {
    what: { kind: 'nulls', value: 0 },
    async run(sql) {
      // Fails while there is no such column.
      const { rows } = await execute<{ nulls: number }>(sql, select);
      return { kind: 'nulls', value: rows[0]?.nulls ?? 0 };
    },
  };
}

function nullDefaults(history: readonly Recorded<What>[]): Finding[] {
  return history.flatMap(({ what, outcome, process, invokedMs }) =>
    isChange(what) && what.kind === 'nulls' && outcome === 'ok' && what.value > 0
      ? [
          {
            anomaly: 'null-default',
            text: `process ${process} saw ${what.value} rows, from ${Math.round(invokedMs)} ms`,
          },
        ]
      : [],
  );
}

function isChange(what: What): what is SchemaChange {
  return !Array.isArray(what);
}

function ofAny({ what, run }: Step<AppendOps>): Step<What> {
  return { what, run };
}
