/**
 * While a world runs, what JavaScript offers of time and chance is the world's: Date, timers, `process.nextTick`,
 * Math.random, crypto.randomUUID. So an application's own code runs in a simulation as it is, and its driver, too, and
 * one seed gives one run. Not replaced: what a module has taken from `node:crypto`, `node:timers` and the like.
 */
import process from 'node:process';
import { type SeededRandom, type World } from '../sim/index.ts';
import { type TimerHandle } from '../util/index.ts';

/** Installs them; the result puts the real ones back. */
export function installVirtualGlobals(world: World, random: SeededRandom): () => void {
  const restore: (() => void)[] = [];
  const replace = <T extends object>(owner: T, name: keyof T, value: unknown): void => {
    const real = Object.getOwnPropertyDescriptor(owner, name);
    Object.defineProperty(owner, name, { value, configurable: true, writable: true });
    restore.push(() => {
      if (real === undefined) Reflect.deleteProperty(owner, name);
      else Object.defineProperty(owner, name, real);
    });
  };
  replace(
    globalThis,
    'Date',
    virtualDate(() => Math.floor(world.clock.wallMicros() / 1000)),
  );
  replace(performance, 'now', () => world.nowMs);
  replace(Math, 'random', () => random.float());
  replace(crypto, 'randomUUID', () => randomUuid(random));
  replace(process, 'nextTick', (fn: (...given: unknown[]) => void, ...given: unknown[]) => {
    queueMicrotask(() => fn(...given));
  });
  replaceTimers(world, (name, value) => replace(globalThis, name, value));
  return () => {
    for (const undo of restore.toReversed()) undo();
  };
}

type Callback = (...given: unknown[]) => void;

function replaceTimers(
  world: World,
  replace: (name: keyof typeof globalThis, value: unknown) => void,
): void {
  const clear = (timer: unknown): void => {
    if (timer instanceof VirtualTimer) timer.cancel();
  };
  replace(
    'setTimeout',
    (fn: Callback, delayMs = 0, ...given: unknown[]) =>
      new VirtualTimer(world, { delayMs, repeats: false }, () => fn(...given)),
  );
  replace(
    'setInterval',
    (fn: Callback, delayMs = 0, ...given: unknown[]) =>
      new VirtualTimer(world, { delayMs, repeats: true }, () => fn(...given)),
  );
  replace(
    'setImmediate',
    (fn: Callback, ...given: unknown[]) =>
      new VirtualTimer(world, { delayMs: 0, repeats: false }, () => fn(...given)),
  );
  replace('clearTimeout', clear);
  replace('clearInterval', clear);
  replace('clearImmediate', clear);
}

/** What setTimeout and setInterval return, as far as programs use it. */
class VirtualTimer {
  #handle: TimerHandle;

  constructor(
    world: World,
    { delayMs, repeats }: { delayMs: number; repeats: boolean },
    fn: () => void,
  ) {
    // As in Node: at least a millisecond.
    const waitMs = Math.max(1, delayMs);
    const fire = (): void => {
      if (repeats) this.#handle = world.after(waitMs, fire);
      fn();
    };
    this.#handle = world.after(waitMs, fire);
  }

  cancel(): void {
    this.#handle.cancel();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** A Date that knows the given time where the real one asks the machine. */
function virtualDate(nowMs: () => number): DateConstructor {
  return new Proxy(Date, {
    construct: (RealDate, given, target) =>
      Reflect.construct(RealDate, given.length === 0 ? [nowMs()] : given, target) as object,
    apply: (RealDate) => new RealDate(nowMs()).toString(),
    get: (RealDate, name, receiver): unknown =>
      name === 'now' ? nowMs : Reflect.get(RealDate, name, receiver),
  });
}

/** Version 4 (RFC 9562). */
function randomUuid(random: SeededRandom): string {
  const bytes = random.bytes(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
