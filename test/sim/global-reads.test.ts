/** Ranges with global_reads are strictly serializable: real time counts between any two transactions, whatever the clocks say. */
import { expect, it } from 'vitest';
import { type GivenWorkload } from '../../src/sim/index.ts';
import { checkListAppend } from '../../src/sim/checkers/list-append.ts';
import { ListAppend } from '../../src/sim/workloads/list-append.ts';
import { simulate } from './harness.ts';

const strict: GivenWorkload = {
  name: 'strict list-append',
  clients: undefined,
  sql: false,
  make(context, random, cluster) {
    for (let machine = 0; machine < cluster.size; machine++) cluster.setGlobalReads(machine, true);
    return new ListAppend(context, {
      activeKeys: random.between(4, 12),
      appendsPerKey: random.between(8, 64),
      isStrict: true,
    });
  },
};

it('histories are strictly serializable', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const { problems } = await simulate(seed, 15, {
      workload: strict,
      faults: ['clock', 'clock-strobe', 'transfer', 'split', 'one-way', 'crash'],
    });
    expect(problems, `seed ${seed}`).toEqual([]);
  }
}, 300_000);

it('the checker finds a causal reverse', () => {
  // The second append was made after the first had been acknowledged; a reader that saw it first began before both.
  const append = (process: number, key: number, invoked: number, completed: number) =>
    ({
      process,
      what: [{ kind: 'append', key, element: key }],
      invoked,
      invokedMs: invoked,
      completed,
      outcome: 'ok',
    }) as const;
  const history = [
    {
      process: 3,
      what: [
        { kind: 'read', key: 1, list: [] },
        { kind: 'read', key: 2, list: [2] },
      ],
      invoked: 0,
      invokedMs: 0,
      completed: 9,
      outcome: 'ok',
    } as const,
    append(1, 1, 1, 2),
    append(2, 2, 3, 4),
  ];
  expect(checkListAppend(history)).toEqual([]);
  expect(checkListAppend(history, 'realtime')).not.toEqual([]);
});
