/** The checkers of the workloads are tested on whole clusters: each planted bug must be found by its workload. */
import { afterEach, expect, it, vi } from 'vitest';
import { KvFailure } from '../../src/kv/index.ts';
import { type WorkloadName } from '../../src/sim/index.ts';
import { ClusterTxn } from '../../src/txn/cluster-txn.ts';
import { Refresher } from '../../src/txn/refresher.ts';
import { simulate } from './harness.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** An ambiguous commit is told to be a certain failure. */
function hideAmbiguity(): void {
  const commit = Reflect.get(ClusterTxn.prototype, 'commit');
  vi.spyOn(ClusterTxn.prototype, 'commit').mockImplementation(async function (
    this: ClusterTxn,
    options,
  ) {
    try {
      return await commit.call(this, options);
    } catch (error) {
      if (!(error instanceof KvFailure) || error.kvError.kind !== 'ambiguous-result') throw error;
      throw new KvFailure({ kind: 'txn-retry', reason: 'planted' });
    }
  });
}

function believeAssumptions(): void {
  vi.spyOn(ClusterTxn.prototype, 'assumes', 'get').mockReturnValue(false);
}

/** What was read is forgotten: nothing has to be refreshed when the timestamp moves. */
function forgetReads(): void {
  vi.spyOn(Refresher.prototype, 'noteRead').mockImplementation(() => undefined);
}

const planted: readonly {
  readonly bug: string;
  readonly plant: () => void;
  readonly workload: WorkloadName;
  /** Default: what each seed draws. */
  readonly faults?: NonNullable<Parameters<typeof simulate>[2]>['faults'];
  /** Runs of 15 simulated seconds it may take. */
  readonly seeds: number;
  readonly sign: RegExp;
}[] = [
  {
    bug: 'reads are not refreshed',
    plant: forgetReads,
    workload: 'list-append',
    seeds: 5,
    sign: /lost-update|G2|G-single/,
  },
  { bug: 'reads are not refreshed', plant: forgetReads, workload: 'kv', seeds: 5, sign: /wrong-/ },
  {
    bug: 'reads are not refreshed',
    plant: forgetReads,
    workload: 'counter',
    seeds: 10,
    sign: /too-small/,
  },
  {
    bug: 'reads are not refreshed',
    plant: forgetReads,
    workload: 'register',
    seeds: 10,
    sign: /not-linearizable/,
  },
  {
    bug: 'assumptions are not checked',
    plant: believeAssumptions,
    workload: 'list-append',
    seeds: 10,
    sign: /lost-update|G-single|G2|incompatible-order/,
  },
  {
    bug: 'assumptions are not checked',
    plant: believeAssumptions,
    workload: 'kv',
    seeds: 10,
    sign: /wrong-read/,
  },
  {
    bug: 'an ambiguous commit is told to have failed',
    plant: hideAmbiguity,
    workload: 'list-append',
    faults: ['cut-leaseholder', 'crash'],
    seeds: 300,
    sign: /G1a/,
  },
  {
    bug: 'an ambiguous commit is told to have failed',
    plant: hideAmbiguity,
    workload: 'kv',
    faults: ['cut-leaseholder', 'crash'],
    seeds: 90,
    sign: /aborted-write/,
  },
  {
    bug: 'an ambiguous commit is told to have failed',
    plant: hideAmbiguity,
    workload: 'set',
    seeds: 30,
    sign: /unexpected/,
  },
];

for (const { bug, plant, workload, faults, seeds, sign } of planted) {
  it(`${workload} finds: ${bug}`, async () => {
    plant();
    const seen: string[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const { problems } = await simulate(seed, 15, { workload, ...(faults && { faults }) });
      if (problems.some((problem) => sign.test(problem))) return;
      seen.push(...problems.map((problem) => `seed ${seed}: ${problem}`));
    }
    expect.fail(
      `${seeds} seeds did not find it; seen: ${seen.join('; ').slice(0, 2_000) || 'nothing'}`,
    );
  }, 600_000);
}
