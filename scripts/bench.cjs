'use strict';
// `npm run bench [-- name ...]`
require('./typed.cjs').runTyped(
  'tsconfig.bench.json',
  'dist-bench/bench/main.js',
  process.argv.slice(2),
);
