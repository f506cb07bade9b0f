'use strict';
/**
 * What only a test may do to a node. The program has no hook for it: the harness starts the shipped program as
 * `node --require agent.cjs bin/skein.cjs start ...`, and this file changes what the program takes for the machine:
 *
 *   - connections to a port named in SKEIN_CHAOS_DIAL (JSON: port -> port) go to the other port, a proxy's;
 *   - the wall clock (`Date.now`) is ahead by an offset, or jumps between two;
 *   - the event loop stands still for a while;
 *   - every fsync and synchronous write fails with EIO (the bytes may be on the disk all the same).
 *
 * Orders come over the channel between the runner and the node: `{ chaos: { kind, ... } }` (`orders.ts`).
 */
const { constants } = require('node:fs');
const fs = require('node:fs/promises');
const { syncBuiltinESMExports } = require('node:module');
const net = require('node:net');

const dialled = new Map(Object.entries(JSON.parse(process.env.SKEIN_CHAOS_DIAL ?? '{}')));

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  // net.connect hands over its arguments as an array of options and callback.
  const place = Array.isArray(args[0]) ? args[0] : args;
  const proxy = dialled.get(String(place[0]?.port));
  if (proxy !== undefined) place[0] = { ...place[0], port: proxy };
  return connect.apply(this, args);
};

const now = Date.now;
let aheadMs = () => 0;
Date.now = () => now() + Math.round(aheadMs());

let failsToSync = false;
const open = fs.open;
fs.open = async (path, flags, mode) => {
  const handle = await open(path, flags, mode);
  const isSynchronous = typeof flags === 'number' && (flags & constants.O_DSYNC) !== 0;
  for (const method of ['sync', 'datasync', ...(isSynchronous ? ['write', 'writev'] : [])]) {
    const original = handle[method].bind(handle);
    handle[method] = async (...args) => {
      const result = await original(...args);
      if (!failsToSync) return result;
      throw Object.assign(new Error(`EIO: i/o error, ${method} '${path}'`), { code: 'EIO' });
    };
  }
  return handle;
};
syncBuiltinESMExports();

const obey = {
  clock({ offsetMs, strobePeriodMs }) {
    aheadMs = () => {
      if (strobePeriodMs === 0) return offsetMs;
      return Math.floor(performance.now() / strobePeriodMs) % 2 === 0 ? offsetMs : 0;
    };
  },
  stall({ forMs }) {
    const end = performance.now() + forMs;
    while (performance.now() < end);
  },
  fsync({ fails }) {
    failsToSync = fails;
  },
};
process.on('message', (message) => {
  if (message.chaos !== undefined) obey[message.chaos.kind](message.chaos);
});
