/**
 * Ports for servers that tests start. Whoever picks a free port and binds it later races with all others: each test process
 * owns blocks of ports instead, by listening at the first port of a block as long as it lives. Blocks lie below the
 * ports that the system gives to outgoing connections (32768 and up on Linux).
 */
import { createServer, type Server } from 'node:net';
import { isFree } from '../../src/cli/local-cluster.ts';

const first = 10_000;
const blockSize = 100;
const blocks = 220;

/** Kept, so that the blocks stay owned. */
const guards: Server[] = [];
let next = 0;
let end = 0;

/** The first of `count` consecutive ports that nobody else uses or is going to use. `count`: less than 100. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    while (next + count <= end) {
      const base = next;
      next += count;
      const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)));
      if (free.every(Boolean)) return base;
    }
    const block = await ownBlock();
    next = block + 1;
    end = block + blockSize;
  }
}

async function ownBlock(): Promise<number> {
  for (let i = 0; i < blocks; i++) {
    const block = first + ((process.pid + i) % blocks) * blockSize;
    const guard = await listen(block);
    if (guard === undefined) continue;
    guards.push(guard);
    return block;
  }
  throw new Error('no free ports');
}

function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      server.unref();
      resolve(server);
    });
  });
}
