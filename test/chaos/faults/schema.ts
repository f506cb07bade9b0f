/** Tables change while clients use them. */
import { type Fault, type FaultClass } from './fault.ts';
import { pickAt } from './roles.ts';

export const schema = {
  /** A column with a default and an index on it come and go; beside it a table of one name is made and dropped. */
  'schema-change': (random): Fault => {
    const place = random.float();
    const column = `chaos_${random.u32()}`;
    const betweenMs = random.between(200, 1_500);
    return {
      drawn: { place, column, betweenMs },
      async run(target) {
        const table = pickAt(target.tables, place);
        for (const statement of [
          `ALTER TABLE ${table} ADD COLUMN ${column} int NOT NULL DEFAULT 7`,
          `CREATE INDEX ${table}_${column} ON ${table} (${column})`,
          'CREATE TABLE IF NOT EXISTS chaos_passing (id int PRIMARY KEY)',
          `ALTER TABLE ${table} ADD CONSTRAINT ${column}_seven CHECK (${column} = 7)`,
          `DROP INDEX ${table}_${column}`,
          'DROP TABLE IF EXISTS chaos_passing',
          `ALTER TABLE ${table} DROP COLUMN ${column}`,
        ]) {
          if (target.isOver) return;
          await target.sql(statement);
          target.struck(statement);
          await target.hold(betweenMs);
        }
      },
    };
  },
} satisfies Record<string, FaultClass>;
