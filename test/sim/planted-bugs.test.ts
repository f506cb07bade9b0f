/**
 * The simulation is tested itself: each of these bugs is planted in the nodes, and some of a fixed number of
 * seeds has to find it. The bugs are put into the shipped parts from here; no shipped part knows of them.
 */
import { afterEach, expect, it, vi } from 'vitest';
import { ClosedTimestamp } from '../../src/range/closed/closed-timestamp.ts';
import { LeaseSupport } from '../../src/range/replica/lease-support.ts';
import { MachineClock } from '../../src/kv/machine-clock.ts';
import { Replica } from '../../src/range/replica/replica.ts';
import { SupportLedger } from '../../src/range/store/liveness.ts';
import { TimestampCache } from '../../src/range/concurrency/timestamp-cache.ts';
import { type FaultName, type SimOptions, type WorkloadName } from '../../src/sim/index.ts';
import { SegmentedRaftLog } from '../../src/storage/index.ts';
import { ClusterTxn } from '../../src/txn/cluster-txn.ts';
import { type Disk } from '../../src/util/index.ts';
import { simulate } from './harness.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

interface Planted {
  readonly bug: string;
  readonly plant: () => Partial<SimOptions>;
  /** Classes of faults that show it. */
  readonly faults: readonly FaultName[];
  /** The workload that shows it; default: the bank. */
  readonly workload?: WorkloadName;
  /** Runs of 15 simulated seconds it may take to be found. */
  readonly seeds: number;
  /** What gives it away; any finding but a vacuous run when undefined. */
  readonly sign?: RegExp;
}

const planted: readonly Planted[] = [
  {
    bug: 'fsync does nothing',
    faults: ['power', 'crash-point', 'strand'],
    plant: () => ({ wrapDisk: withoutSync }),
    seeds: 10,
  },
  {
    bug: 'the raft log answers before the entries are durable',
    faults: ['power', 'crash-point', 'strand'],
    plant: () => {
      const append = Reflect.get(SegmentedRaftLog.prototype, 'append');
      vi.spyOn(SegmentedRaftLog.prototype, 'append').mockImplementation(function (
        this: SegmentedRaftLog,
        appends,
      ) {
        append.call(this, appends).catch(() => undefined);
        return Promise.resolve();
      });
      return {};
    },
    seeds: 12,
  },
  {
    bug: 'a new leaseholder knows nothing of earlier reads',
    faults: ['transfer', 'clock', 'clock-strobe'],
    workload: 'kv',
    plant: () => {
      const reset = Reflect.get(TimestampCache.prototype, 'reset');
      vi.spyOn(TimestampCache.prototype, 'reset').mockImplementation(function (
        this: TimestampCache,
      ) {
        reset.call(this, { wall: 0, logical: 0 });
      });
      return {};
    },
    seeds: 120,
  },
  {
    bug: 'a commit ahead of the clock is answered at once',
    faults: ['global-reads', 'clock'],
    workload: 'register',
    plant: () => {
      vi.spyOn(ClusterTxn.prototype, 'waitOut').mockResolvedValue(undefined);
      return {};
    },
    seeds: 5,
    sign: /not-linearizable/,
  },
  {
    bug: 'a follower serves reads whose uncertainty is not closed',
    faults: ['global-reads', 'clock', 'partition', 'one-way'],
    workload: 'register',
    plant: () => {
      const execute = Reflect.get(Replica.prototype, 'execute');
      vi.spyOn(Replica.prototype, 'execute').mockImplementation(function (this: Replica, batch) {
        const { header } = batch;
        if (header.txn === undefined || this.holdsLease) return execute.call(this, batch);
        const txn = { ...header.txn, uncertaintyLimit: header.txn.readTimestamp };
        return execute.call(this, { ...batch, header: { ...header, txn } });
      });
      return {};
    },
    seeds: 150,
    sign: /not-linearizable/,
  },
  {
    bug: 'a leaseholder takes values ahead of its clock for younger than their reader',
    faults: ['global-reads', 'transfer', 'clock'],
    workload: 'register',
    plant: () => {
      vi.spyOn(ClosedTimestamp.prototype, 'noteAhead').mockImplementation(() => undefined);
      return {};
    },
    seeds: 150,
    sign: /not-linearizable/,
  },
  {
    bug: 'a write does not check what was assumed',
    faults: ['transfer', 'crash', 'partition'],
    plant: () => {
      vi.spyOn(ClusterTxn.prototype, 'assumes', 'get').mockReturnValue(false);
      return {};
    },
    seeds: 10,
    sign: /total/,
  },
  {
    bug: 'a store votes and campaigns despite its promise',
    faults: ['cut-leaseholder', 'partition', 'one-way'],
    plant: () => {
      vi.spyOn(SupportLedger.prototype, 'supports').mockReturnValue(false);
      return {};
    },
    seeds: 15,
    sign: /two leaseholders/,
  },
  {
    bug: 'a promise of another epoch counts for the lease',
    faults: ['cut-leaseholder', 'partition', 'strand'],
    plant: () => {
      const acknowledge = Reflect.get(LeaseSupport.prototype, 'acknowledge');
      vi.spyOn(LeaseSupport.prototype, 'acknowledge').mockImplementation(function (
        this: LeaseSupport,
        id,
        term,
      ) {
        acknowledge.call(this, id, term, Number.MAX_SAFE_INTEGER);
      });
      vi.spyOn(SupportLedger.prototype, 'supportFrom').mockReturnValue({
        epoch: Number.MAX_SAFE_INTEGER,
        expiration: Number.MAX_SAFE_INTEGER,
      });
      return {};
    },
    seeds: 15,
    sign: /two leaseholders/,
  },
  {
    bug: 'a node believes its own clock, however far it is from the others',
    faults: ['clock-far'],
    workload: 'register',
    plant: () => {
      vi.spyOn(MachineClock.prototype, 'note').mockImplementation(() => undefined);
      return {};
    },
    seeds: 40,
    sign: /not-linearizable/,
  },
  {
    bug: 'a leader serves for ever',
    faults: ['cut-leaseholder', 'one-way', 'partition'],
    plant: () => {
      vi.spyOn(Replica.prototype, 'checkLease').mockImplementation(function (this: Replica) {
        return this.holdsLease ? undefined : this.notLeaseholder();
      });
      return {};
    },
    seeds: 60,
    sign: /two leaseholders/,
  },
];

for (const { bug, plant, faults, workload = 'bank', seeds, sign } of planted) {
  it(`finds: ${bug}`, async () => {
    const options = { workload, faults, ...plant() };
    const seen: string[] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const { problems } = await simulate(seed, 15, options);
      seen.push(...problems.map((problem) => `seed ${seed}: ${problem}`));
      if (problems.some((problem) => sign?.test(problem) ?? true)) return;
    }
    expect.fail(`${seeds} seeds did not find it; seen: ${seen.join('; ') || 'nothing'}`);
  }, 600_000);
}

/** Everything written stays in the page cache until the power fails. */
function withoutSync(disk: Disk): Disk {
  return {
    mkdir: (path) => disk.mkdir(path),
    list: (dir) => disk.list(dir),
    readFile: (path) => disk.readFile(path),
    replaceFile: (path, content) => disk.replaceFile(path, content),
    remove: (path) => disk.remove(path),
    syncDir: (dir) => disk.syncDir(dir),
    rename: (from, to) => disk.rename(from, to),
    space: (dir) => disk.space(dir),
    open: async (path) => {
      const file = await disk.open(path);
      return {
        sizeBytes: () => file.sizeBytes(),
        read: (position, length) => file.read(position, length),
        write: (position, chunks) => file.write(position, chunks),
        writeDurable: (position, chunks) => file.write(position, chunks),
        sync: () => Promise.resolve(),
        truncate: (size) => file.truncate(size),
        close: () => file.close(),
      };
    },
  };
}
