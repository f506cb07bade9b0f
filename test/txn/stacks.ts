/** The Db implementations that every script and suite of this folder runs on. */
import { asNodeId, HlcClock, LocalDb, type Db } from '../../src/kv/index.ts';
import { VirtualEnv } from './virtual-env.ts';

export interface TestStack {
  readonly db: Db;
  readonly env: VirtualEnv;
}

export function localStack(seed = 1): TestStack {
  const env = new VirtualEnv(seed);
  const clock = new HlcClock(env.clock, { maxOffsetMicros: 0 });
  return { db: new LocalDb({ clock, nodeId: asNodeId(1), timers: env.timers }), env };
}

export const stacks: readonly {
  readonly name: string;
  readonly make: (seed?: number) => TestStack;
}[] = [{ name: 'local', make: localStack }];
