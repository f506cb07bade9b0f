#!/usr/bin/env node
'use strict';
// CommonJS, so that an old Node still reads this far and the thread pool is sized before it is first
// used: storage, DNS and password hashing share it, and a raft log write must never queue behind them.
const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  console.error(`skein needs Node 20 or newer; this is Node ${process.versions.node}.`);
  process.exit(1);
}
process.env.UV_THREADPOOL_SIZE ??= '16';
// What gRPC would print goes through our own log.
process.env.GRPC_VERBOSITY ??= 'NONE';
import('../dist/cli/main.js').catch((error) => {
  console.error(error instanceof Error ? error.stack : error);
  process.exit(1);
});
