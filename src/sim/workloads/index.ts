/** The workloads by name. Each draws its sizes from the random generator that it is made with. */
import { type SeededRandom } from '../random.ts';
import { type Workload, type WorkloadContext } from '../workload.ts';
import { Bank } from './bank.ts';
import { Counter } from './counter.ts';
import { Kv } from './kv.ts';
import { ListAppend } from './list-append.ts';
import { Register } from './register.ts';
import { ElementSet } from './set.ts';

const makers = {
  bank: (context, random) => new Bank(context, { accounts: random.between(6, 16) }),
  'list-append': (context, random) =>
    new ListAppend(context, {
      activeKeys: random.between(4, 12),
      appendsPerKey: random.between(8, 64),
    }),
  kv: (context, random) =>
    new Kv(context, {
      keys: random.between(8, 60),
      keysPerIndex: random.between(5, 30),
      steps: random.between(2, 8),
    }),
  register: (context, random) =>
    new Register(context, {
      activeKeys: random.between(2, 8),
      operationsPerKey: random.between(20, 100),
    }),
  set: (context, random) => new ElementSet(context, { buckets: random.between(2, 8) }),
  counter: (context) => new Counter(context),
} satisfies Record<string, (context: WorkloadContext, random: SeededRandom) => Workload>;

export type WorkloadName = keyof typeof makers;

export const workloadNames = Object.keys(makers) as readonly WorkloadName[];

export function isWorkloadName(name: string): name is WorkloadName {
  return Object.hasOwn(makers, name);
}

export function createWorkload(
  name: WorkloadName,
  context: WorkloadContext,
  random: SeededRandom,
): Workload {
  return makers[name](context, random);
}
