'use strict';
// `npm test [-- vitest arguments]`
const { spawnSync } = require('child_process');
const { join } = require('path');
const { prepare, root } = require('./prepare.cjs');

prepare();
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const result = spawnSync(process.execPath, [vitest, 'run', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { UV_THREADPOOL_SIZE: '16', ...process.env },
});
process.exit(result.status === null ? 1 : result.status);
