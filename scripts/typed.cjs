'use strict';
// Programs of the repository in TypeScript that are not shipped: compiled into a folder of their own, then run.
const { spawnSync } = require('child_process');
const { join } = require('path');
const { become, prepare, root } = require('./prepare.cjs');

/** `config`: the tsconfig that names the sources. */
exports.runTyped = function runTyped(config, program) {
  prepare();
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', config], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
  process.chdir(root);
  become([join(root, program), ...process.argv.slice(2)]);
};
