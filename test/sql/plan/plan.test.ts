/**
 * Plan scripts: `plan` prints EXPLAIN of a statement. `expect=Rule` demands that the rewrite fired,
 * `refuse=Rule` that it did not. `run` gives the rows too, so a wrong rewrite shows.
 */
import { join } from 'node:path';
import { runScripts } from '../../script.ts';
import { formatError, formatRows, TestDatabase } from '../exec/fixture.ts';

runScripts(join(import.meta.dirname, 'testdata'), () => {
  const database = new TestDatabase();
  return async (step) => {
    try {
      if (step.command === 'ddl') {
        await database.ddl(step.input);
        return '';
      }
      if (step.command === 'exec') return (await database.run(step.input)).tag;
      if (step.command === 'run') {
        return formatRows(await database.run(step.input), database.eval).join('\n');
      }
      const answer = await database.run(`explain (verbose, costs off) ${step.input}`);
      const lines = formatRows(answer, database.eval);
      const rules = lines.at(-1)?.startsWith('Rules: ') === true ? (lines.pop() ?? '') : '';
      const fired = new Set(rules.replace('Rules: ', '').split(', '));
      const wanted = step.options.get('expect');
      if (wanted !== undefined && !fired.has(wanted)) lines.push(`${wanted} did not fire`);
      const refused = step.options.get('refuse');
      if (refused !== undefined && fired.has(refused)) lines.push(`${refused} fired`);
      return lines.join('\n');
    } catch (error) {
      return formatError(error);
    }
  };
});
