'use strict';
// Programs of the repository in TypeScript that are not shipped: compiled into a folder of their own, then run.
const { spawnSync } = require('child_process');
const { join } = require('path');
const { become, prepare, root } = require('./prepare.cjs');

/** `config`: the tsconfig that names the sources; `tree`: a copy of the repository with a build, default this one. */
exports.runTyped = function runTyped(config, program, args, tree = root) {
  prepare();
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', config, '--noUnusedLocals', 'false'], {
    cwd: tree,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
  process.chdir(root);
  become([join(tree, program), ...args]);
};
