/** Which runs make up the matrix, and which the short one for every change. */
import { type CheckedWorkloadName } from '../../src/sim/workloads/sql/index.ts';
import { type RunOptions } from './run.ts';

/** Meet all of `combinedNemeses`. */
const coreWorkloads: readonly CheckedWorkloadName[] = [
  'bank',
  'list-append',
  'register',
  'set',
  'monotonic',
  'long-fork',
  'g2',
  'sequential',
];

/** As CockroachDB's nightly Jepsen runs combine them. */
export const combinedNemeses = [
  'majority-ring',
  'split',
  'start-kill-2',
  'start-stop-2',
  'strobe-skews',
  'subcritical-skews',
  'majority-ring+subcritical-skews',
  'subcritical-skews+start-kill-2',
  'majority-ring+start-kill-2',
  'parts+start-kill-2',
] as const;

/** What list-append meets besides. */
export const specialNemeses = [
  'membership',
  'range-operations',
  'disk-full',
  'fsync-failure',
  'rolling-restart',
  'schema-change',
  'everything',
] as const;

const base = { isolation: 'serializable', nodes: 5 } as const;

/** Seeds count up from `seed`. */
export function matrixRuns(seed: number, seconds: number): RunOptions[] {
  const cells = coreWorkloads.flatMap((workload) =>
    combinedNemeses.map((nemesis) => ({ workload, nemesis })),
  );
  const special = specialNemeses.map((nemesis) => ({ workload: 'list-append' as const, nemesis }));
  return [...cells, ...special].map((cell, i) => ({ ...base, ...cell, seconds, seed: seed + i }));
}

/** Six minutes in all with starting, stopping and checking. */
export function smokeRuns(seed: number): RunOptions[] {
  const cells: Pick<RunOptions, 'workload' | 'nemesis'>[] = [
    { workload: 'list-append', nemesis: 'parts+start-kill-2' },
    { workload: 'bank', nemesis: 'majority-ring+subcritical-skews' },
    { workload: 'register', nemesis: 'range-operations+pause-leaseholder' },
    { workload: 'set', nemesis: 'rolling-restart' },
    { workload: 'list-append', nemesis: 'fsync-failure+schema-change' },
  ];
  return cells.map((cell, i) => ({ ...base, ...cell, seconds: 30, seed: seed + i }));
}
