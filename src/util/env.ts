/**
 * Env: everything that a layer may want from the machine. The real one is made in `cli`, the
 * simulated one in `sim`; nobody else may read a clock, a timer, a random number or a file. That is
 * what lets one seed replay a whole cluster.
 */

/** Both clocks are read at use: a value kept across an `await` is stale. */
export interface Clock {
  /** Wall time in microseconds since the Unix epoch, an integer; it may jump backwards. */
  wallMicros(): number;
  /** Milliseconds (fractions allowed) since an arbitrary start; never goes backwards. */
  monotonicMs(): number;
}

export interface TimerHandle {
  cancel(): void;
}

export interface Timers {
  /** Calls `fn` once, `delayMs` (0 to 2^31-1) from now. A crashed node's timers never fire. */
  after(delayMs: number, fn: () => void): TimerHandle;
  /** Calls `fn` after the current turn of the event loop, once pending I/O had its chance. */
  immediate(fn: () => void): void;
}

export interface Random {
  /** Uniform integer in [0, 2^32). */
  u32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** `length` random bytes; cryptographically strong in the real Env. */
  bytes(length: number): Buffer;
}

/** Paths are absolute or relative to the process; the simulated disk treats them as plain names. */
export interface Disk {
  mkdir(path: string): Promise<void>;
  /** Names (not paths) of the files in `dir`, sorted; an absent directory is an empty list. */
  list(dir: string): Promise<string[]>;
  /** Opens for reading and writing; creates the file when absent. */
  open(path: string): Promise<DiskFile>;
  /** Whole content, or undefined when there is no such file. */
  readFile(path: string): Promise<Buffer | undefined>;
  /** Writes a temporary file, syncs it, renames it over `path` and syncs the directory. */
  replaceFile(path: string, content: Buffer): Promise<void>;
  remove(path: string): Promise<void>;
  /** A file or a folder, within one volume; durable once the directories are synced. */
  rename(from: string, to: string): Promise<void>;
  /** Makes creations, renames and removals in `dir` durable. */
  syncDir(dir: string): Promise<void>;
  /** Of the volume that holds `dir`. */
  space(dir: string): Promise<DiskSpace>;
}

export interface DiskSpace {
  /** What this process may still write. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface DiskFile {
  sizeBytes(): Promise<number>;
  read(position: number, length: number): Promise<Buffer>;
  /** Writes all of `chunks` one behind the other at `position`; not durable until `sync`. */
  write(position: number, chunks: readonly Buffer[]): Promise<void>;
  /** `write` and `sync` in one step: durable when it resolves. */
  writeDurable(position: number, chunks: readonly Buffer[]): Promise<void>;
  /** fdatasync. */
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  close(): Promise<void>;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** The call shape of pino, fields first. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  child(fields: LogFields): Logger;
}

export interface Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly log: Logger;
  /** Costly invariant checks run when true: always in tests and simulation. */
  readonly checks: boolean;
  /** True in `percent` of the calls in test builds, never in production: takes slow paths on purpose. */
  sometimes(percent: number): boolean;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return silentLogger;
  },
};

/** Resolves after `delayMs` on the Env's timers. */
export function sleep(env: Pick<Env, 'timers'>, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    env.timers.after(delayMs, resolve);
  });
}

/** What `work` comes to; undefined when it takes longer. */
export function within<T>(
  env: Pick<Env, 'timers'>,
  ms: number,
  work: Promise<T>,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = env.timers.after(Math.max(0, ms), () => resolve(undefined));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: Error) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}

/** Gives the event loop back once: long work calls it between batches. */
export function yieldTurn(env: Pick<Env, 'timers'>): Promise<void> {
  return new Promise((resolve) => env.timers.immediate(resolve));
}
