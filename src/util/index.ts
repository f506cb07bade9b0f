export { AssertionError, assert, must, unreachable } from './assert.ts';
export {
  compareBytes,
  copyBytes,
  emptyBytes,
  equalBytes,
  isBetween,
  maxBytes,
  minBytes,
  nextKey,
  prefixEnd,
} from './bytes.ts';
export { isCount } from './count.ts';
export { DiskStalledError, DiskWatch, watchedDisk } from './disk-watch.ts';
export type { DiskWatchOptions } from './disk-watch.ts';
export { silentLogger, sleep, within, yieldTurn } from './env.ts';
export type {
  Clock,
  Disk,
  DiskFile,
  DiskSpace,
  Env,
  LogFields,
  Logger,
  Random,
  TimerHandle,
  Timers,
} from './env.ts';
export { Pace } from './pace.ts';
