/**
 * Scripts of statements with what PostgreSQL 15 answers. Commands: `ddl`, `exec` (prints the tag),
 * `query` (prints rows; `sort` sorts them, `names` shows column names first).
 */
import { join } from 'node:path';
import { runScripts } from '../../script.ts';
import { formatError, formatRows, TestDatabase } from './fixture.ts';

runScripts(join(import.meta.dirname, 'testdata'), () => {
  const database = new TestDatabase();
  return async (step) => {
    try {
      if (step.command === 'ddl') {
        await database.ddl(step.input);
        return '';
      }
      const answer = await database.run(step.input);
      if (step.command === 'exec') {
        const rows = formatRows(answer, database.eval);
        return [...rows, answer.tag].join('\n');
      }
      const lines = formatRows(answer, database.eval);
      if (step.args.includes('sort')) lines.sort();
      if (step.args.includes('names'))
        lines.unshift(answer.columns.map((column) => column.name).join('|'));
      return lines.join('\n');
    } catch (error) {
      return formatError(error);
    }
  };
});
