'use strict';
// `npm run bench [-- name ...]`
const { spawnSync } = require('child_process');
const { join } = require('path');
const { prepare, root } = require('./prepare.cjs');

prepare();
const tsc = join(root, 'node_modules', '.bin', 'tsc');
for (const args of [
  [tsc, '-p', 'tsconfig.bench.json'],
  [join(root, 'dist-bench', 'bench', 'main.js'), ...process.argv.slice(2)],
]) {
  const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status === null ? 1 : result.status);
}
