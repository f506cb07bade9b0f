'use strict';
// `npm run explore [-- states]`: every small model of the raft core, to so many states each (a million), with counts.
process.env.EXPLORE_STATES = process.argv[2] || '1000000';
process.argv.splice(2, process.argv.length, 'test/raft/explore/explore.test.ts');
require('./test.cjs');
