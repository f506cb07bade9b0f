'use strict';
// `npm run chaos [-- options]`: test/chaos/README.md
// `npm run chaos -- --mutant M1 ...`: the same with nodes that have a bug of test/mutants.
const { cpSync, rmSync } = require('fs');
const { join } = require('path');
const { prepare, root } = require('./prepare.cjs');
const { runTyped } = require('./typed.cjs');

const args = process.argv.slice(2);
const at = args.indexOf('--mutant');
const [, name] = at === -1 ? [] : args.splice(at, 2);

/** A copy of what a run needs, with the bug in it. */
function mutated() {
  prepare();
  const { buildMutant } = require('../test/mutants/build.cjs');
  const { mutants } = require('../test/mutants/mutants.cjs');
  const mutant = mutants.find((each) => each.name === name);
  if (mutant === undefined) {
    console.error(`--mutant is one of ${mutants.map((each) => each.name).join(', ')}.`);
    process.exit(1);
  }
  console.error(`building a cluster in which ${mutant.wrong} ...`);
  const folder = buildMutant(mutant);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const part of ['bin', 'test', 'tsconfig.chaos.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  return folder;
}

runTyped(
  'tsconfig.chaos.json',
  'dist-chaos/test/chaos/main.js',
  args,
  at === -1 ? undefined : mutated(),
);
