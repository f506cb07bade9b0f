/** The Db implementations that every script and suite of this folder runs on. */
import {
  asNodeId,
  HlcClock,
  LocalDb,
  type Db,
  type RowProgramCompiler,
} from '../../src/kv/index.ts';
import { scriptKey } from './db-script.ts';
import { TestCluster } from './test-cluster.ts';
import { VirtualEnv } from './virtual-env.ts';

export interface TestStack {
  readonly db: Db;
  readonly env: VirtualEnv;
}

export interface StackOptions {
  readonly seed?: number;
  readonly rowPrograms?: RowProgramCompiler;
}

export function localStack(options: StackOptions = {}): TestStack {
  const env = new VirtualEnv(options.seed);
  const clock = new HlcClock(env.clock, { maxOffsetMicros: 0 });
  const programs = options.rowPrograms === undefined ? {} : { rowPrograms: options.rowPrograms };
  return { db: new LocalDb({ clock, nodeId: asNodeId(1), timers: env.timers, ...programs }), env };
}

export function clusterStack(
  splits: readonly string[],
  maxOffsetMicros: number,
): (options?: StackOptions) => TestStack {
  return (options = {}) => {
    const env = new VirtualEnv(options.seed);
    const programs = options.rowPrograms === undefined ? {} : { rowPrograms: options.rowPrograms };
    const cluster = new TestCluster(env, {
      splits: splits.map(scriptKey),
      maxOffsetMicros,
      ...programs,
    });
    return { db: cluster.db, env };
  };
}

export const stacks: readonly {
  readonly name: string;
  readonly make: (options?: StackOptions) => TestStack;
}[] = [
  { name: 'local', make: localStack },
  { name: 'one range', make: clusterStack([], 0) },
  // Every key of the scripts has a range of its own; clocks that may differ make reads uncertain.
  { name: 'many ranges', make: clusterStack(['k1', 'k2', 'k3', 'l', 'y', 'z'], 500_000) },
];
