/**
 * The allocator alone: how long it takes to look at every range of a large cluster once, and how simulated clusters come to
 * rest (`test/allocator/simulator.ts`: the shipped rules, virtual time).
 *
 *   --stores=N (default 100)   --ranges=N (default 50,000)
 */
import {
  allocatorSettings,
  ClusterPicture,
  decide,
  whatIf,
  type RangePicture,
  type StorePicture,
} from '../src/allocator/index.ts';
import {
  asMember,
  asNodeId,
  asRangeId,
  asReplicaId,
  asStoreId,
  ClusterSettings,
  defaultZoneConfig,
  type ZoneConfig,
} from '../src/kv/index.ts';
import { rangesOn, Simulation } from '../test/allocator/simulator.ts';
import { machineLine, printTable } from './process.ts';

const settings = allocatorSettings(new ClusterSettings());

interface Shape {
  readonly name: string;
  /** Of store `i`. */
  readonly locality: (i: number) => StorePicture['locality'];
  readonly zone: ZoneConfig;
}

const regions = ['eu', 'us', 'asia'];

function regionAndZone(i: number): StorePicture['locality'] {
  return [
    ['region', regions[i % 3] ?? ''],
    ['zone', `z${Math.floor(i / 3) % 3}`],
  ];
}

const shapes: readonly Shape[] = [
  { name: 'no localities', locality: () => [], zone: defaultZoneConfig },
  { name: '3 regions of 3 zones', locality: regionAndZone, zone: defaultZoneConfig },
  {
    name: 'a rack for every store',
    locality: (i) => [...regionAndZone(i), ['rack', `r${i}`]],
    zone: defaultZoneConfig,
  },
  {
    name: 'constraints and lease preferences',
    locality: regionAndZone,
    zone: {
      ...defaultZoneConfig,
      constraints: regions.map((value) => ({
        replicas: 1,
        constraints: [{ isRequired: true, key: 'region', value }],
      })),
      leasePreferences: [[{ isRequired: true, key: 'region', value: 'eu' }]],
    },
  },
];

export function runAllocatorBench(options: readonly string[]): Promise<void> {
  const option = (name: string, otherwise: number): number =>
    Number(options.find((o) => o.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise);
  const stores = option('stores', 100);
  const ranges = option('ranges', 50_000);
  console.log(`\n${machineLine()}; ${stores} stores, ${ranges} ranges of three replicas\n`);
  const rows: string[][] = [];
  for (const shape of shapes) {
    for (const isEven of [true, false]) rows.push(timePass(shape, stores, ranges, isEven));
  }
  rows.push(timeWhatIf(stores, ranges));
  printTable(['localities', 'counts', 'due', 'one pass', 'per range', 'wanted'], rows);
  console.log(
    '\nsimulated clusters: virtual time until they rest, and what was moved until then\n',
  );
  printTable(
    ['what happens', 'rests after', 'copies', 'leases', 'ranges per store'],
    simulations(),
  );
  return Promise.resolve();
}

/** One look at every range with all rules, as if it were the turn of all stores. */
function timePass(shape: Shape, stores: number, ranges: number, isEven: boolean): string[] {
  const pictures = storesOf(shape, stores, ranges, isEven);
  const looks = rangesOf(stores, ranges);
  const pass = (): number => {
    const cluster = new ClusterPicture(pictures);
    let due = 0;
    for (const range of looks) {
      if (decide(cluster, range, shape.zone, settings).kind !== 'none') due++;
    }
    return due;
  };
  pass();
  const { result, ms } = timed(pass);
  return [
    shape.name,
    isEven ? 'even' : 'uneven',
    String(result),
    `${ms.toFixed(0)} ms`,
    `${((ms * 1000) / ranges).toFixed(1)} us`,
    isEven ? '< 1000 ms' : '',
  ];
}

/** Where everything would go if the first node left. */
function timeWhatIf(stores: number, ranges: number): string[] {
  const [, shape] = shapes;
  if (shape === undefined) return [];
  const state = {
    stores: storesOf(shape, stores, ranges, true),
    ranges: rangesOf(stores, ranges),
    zoneOf: () => shape.zone,
    settings,
  };
  const { result, ms } = timed(() =>
    whatIf(state, { kind: 'decommission', members: [asMember('node', 1)], strict: false }),
  );
  const moves = result.moves.length;
  return ['what if a node left', 'even', String(moves), `${ms.toFixed(0)} ms`, '', ''];
}

function timed<T>(run: () => T): { readonly result: T; readonly ms: number } {
  const before = process.cpuUsage();
  const result = run();
  const { user, system } = process.cpuUsage(before);
  return { result, ms: (user + system) / 1000 };
}

/** Uneven: every tenth store has half of what the others have. */
function storesOf(shape: Shape, stores: number, ranges: number, isEven: boolean): StorePicture[] {
  return Array.from({ length: stores }, (_, i): StorePicture => {
    const share = isEven || i % 10 > 0 ? 1 : 0.5;
    return {
      storeId: asStoreId(i + 1),
      nodeId: asNodeId(i + 1),
      status: 'live',
      locality: shape.locality(i),
      attributes: [],
      rangeCount: Math.round(((ranges * 3) / stores) * share),
      leaseCount: Math.round((ranges / stores) * share),
      qps: 1000 * share,
      cpuMs: 0,
      usedBytes: 0,
      availableBytes: 0,
    };
  });
}

/** Three stores in a row stand in three regions. */
function rangesOf(stores: number, ranges: number): RangePicture[] {
  const used = stores - (stores % 3);
  return Array.from({ length: ranges }, (_, at): RangePicture => {
    const ids = [0, 1, 2].map((replica) => ((at * 3 + replica) % used) + 1);
    return {
      rangeId: asRangeId(at + 1),
      replicas: ids.map((id, replica) => ({
        nodeId: asNodeId(id),
        storeId: asStoreId(id),
        replicaId: asReplicaId(replica + 1),
        kind: 'voter',
      })),
      leaseholder: asStoreId(ids[0] ?? 1),
      sizeBytes: 64 << 20,
      qps: 2,
      balancing: 'counts and load',
    };
  });
}

function simulations(): string[][] {
  const size = 100;
  const simulation = new Simulation({
    seed: 1,
    stores: Array.from({ length: size }, (_, i) => ({ locality: regionAndZone(i) })),
    ranges: rangesOn(2000, size - 1, defaultZoneConfig, 10),
  });
  const rows: string[][] = [];
  const settle = (what: string): void => {
    const before = { ...simulation.totals };
    const startS = simulation.nowS;
    const restS = simulation.converge(7200, 240);
    const counts = simulation
      .pictures()
      .filter((each) => each.status === 'live')
      .map((each) => each.rangeCount);
    rows.push([
      what,
      restS === undefined ? 'not within 2 h' : `${restS - startS} s`,
      String(simulation.totals.copies - before.copies),
      String(simulation.totals.leases - before.leases),
      `${Math.min(...counts)} to ${Math.max(...counts)}`,
    ]);
  };
  settle(`${size} stores, 2000 ranges`);
  simulation.set(asStoreId(7), 'kill');
  settle('a node dies');
  for (let i = 0; i < 3; i++) simulation.addStore({ locality: regionAndZone(i) });
  settle('three nodes join');
  simulation.set(asStoreId(8), 'decommission');
  settle('a node is decommissioned');
  for (const [at, range] of simulation.ranges.entries()) {
    simulation.setLoad(range, at % 100 === 0 ? 400 : 10);
  }
  settle('load moves to every hundredth range');
  return rows;
}
