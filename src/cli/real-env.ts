/** The machine as Env: the only place that reads real clocks, timers and randomness. */
import { randomBytes } from 'node:crypto';
import { type Env, type Logger, type TimerHandle } from '../util/index.ts';
import { realDisk } from './real-disk.ts';

export function createRealEnv(options: { log: Logger; checks?: boolean }): Env {
  return {
    clock: {
      wallMicros: () => Date.now() * 1000,
      monotonicMs: () => performance.now(),
    },
    timers: {
      after(delayMs, fn): TimerHandle {
        const timer = setTimeout(fn, Math.min(Math.max(delayMs, 0), 0x7fffffff));
        return { cancel: () => clearTimeout(timer) };
      },
      immediate(fn) {
        setImmediate(fn);
      },
    },
    random: {
      u32: () => pool.take(4).readUInt32BE(0),
      float: () => pool.take(4).readUInt32BE(0) / 0x1_0000_0000,
      bytes: (length) => Buffer.from(length > 1024 ? randomBytes(length) : pool.take(length)),
    },
    disk: realDisk,
    log: options.log,
    checks: options.checks ?? false,
    sometimes: () => false,
  };
}

/** Strong random bytes drawn 4 KiB at a time: one system call serves hundreds of transaction ids. */
const pool = {
  bytes: Buffer.alloc(0),
  at: 0,
  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) {
      this.bytes = randomBytes(4096);
      this.at = 0;
    }
    const taken = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return taken;
  },
};
