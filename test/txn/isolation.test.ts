import { describe } from 'vitest';
import { runScripts } from '../script.ts';
import { dbScriptRunner } from './db-script.ts';
import { stacks } from './stacks.ts';

for (const { name, make } of stacks) {
  describe(`isolation on ${name}`, () => {
    runScripts(new URL('testdata/isolation', import.meta.url).pathname, () => {
      const { db, env } = make();
      return dbScriptRunner(db, env);
    });
  });
}
