/**
 * Cycles of a dependency graph, by the name of the anomaly (Adya 1999; Cerone and Gotsman 2018 for what snapshot
 * isolation forbids). Of each strongly connected component the strongest cycle without and with anti-dependencies
 * is reported. Whether there is one is decided in full; nothing is given up after some time.
 *
 *   G0                     write dependencies alone
 *   G1c                    write and read dependencies
 *   G-single-item          one anti-dependency
 *   G-nonadjacent-item     several, never two in a row
 *   G2-item                any
 *
 * With '-process' or '-realtime' behind it the cycle needs that order too.
 */
import { shortestCycle, stronglyConnected, type Arc, type Closing } from './graph.ts';

export interface Dependency {
  readonly from: number;
  readonly to: number;
  readonly kind: 'ww' | 'wr' | 'rw' | 'process' | 'realtime';
}

export interface Cycle {
  readonly anomaly: string;
  /** Each begins where the one before ends, and the first where the last does. */
  readonly dependencies: readonly Dependency[];
}

const levels = [
  { suffix: '', orders: [] },
  { suffix: '-process', orders: ['process'] },
  { suffix: '-realtime', orders: ['process', 'realtime'] },
] as const satisfies { suffix: string; orders: readonly Dependency['kind'][] }[];

/** `vertices`: all of them are below this number. */
export function findCycles(vertices: number, dependencies: readonly Dependency[]): Cycle[] {
  // Most histories have no cycle at all, and this pass is the only one.
  const cyclic = componentsOf(vertices, dependencies).flat();
  const cycles: Cycle[] = [];
  const reported = new Set<number>();
  for (const { suffix, orders } of levels) {
    const known: readonly Dependency['kind'][] = ['ww', 'wr', 'rw', ...orders];
    const level = cyclic.filter(({ kind }) => known.includes(kind));
    for (const component of componentsOf(vertices, level)) {
      if (component.some(({ from }) => reported.has(from))) continue;
      for (const { from } of component) reported.add(from);
      for (const { anomaly, dependencies: found } of anomaliesOf(vertices, component)) {
        cycles.push({ anomaly: `${anomaly}${suffix}`, dependencies: found });
      }
    }
  }
  return cycles;
}

/** The dependencies inside each strongly connected component that has any. */
function componentsOf(vertices: number, dependencies: readonly Dependency[]): Dependency[][] {
  const component = stronglyConnected(vertices, dependencies);
  const inside = new Map<number, Dependency[]>();
  for (const dependency of dependencies) {
    const name = component[dependency.from];
    if (name === undefined || name !== component[dependency.to]) continue;
    const members = inside.get(name);
    if (members === undefined) inside.set(name, [dependency]);
    else members.push(dependency);
  }
  return [...inside.values()];
}

function anomaliesOf(vertices: number, component: readonly Dependency[]): Cycle[] {
  const of = (...kinds: Dependency['kind'][]): Dependency[] =>
    component.filter(({ kind }) => kinds.includes(kind));
  const writes = plain(of('ww', 'process', 'realtime'));
  const forward = plain(of('ww', 'wr', 'process', 'realtime'));
  const all = plain(component);
  const anti = of('rw');
  const first = (
    ...forms: {
      anomaly: string;
      arcs: readonly Arc<Dependency>[];
      closing: Closing<Dependency>[];
    }[]
  ): Cycle[] => {
    for (const { anomaly, arcs, closing } of forms) {
      const found = shortestCycle(2 * vertices, arcs, closing);
      if (found !== undefined) return [{ anomaly, dependencies: found }];
    }
    return [];
  };
  return [
    ...first(
      { anomaly: 'G0', arcs: writes, closing: closedBy(of('ww')) },
      { anomaly: 'G1c', arcs: forward, closing: closedBy(of('wr')) },
    ),
    ...first(
      { anomaly: 'G-single-item', arcs: forward, closing: closedBy(anti) },
      {
        anomaly: 'G-nonadjacent-item',
        arcs: layered(vertices, component),
        closing: anti.map((edge) => ({ edge, from: vertices + edge.to, to: edge.from })),
      },
      { anomaly: 'G2-item', arcs: all, closing: closedBy(anti) },
    ),
  ];
}

function plain(edges: readonly Dependency[]): Arc<Dependency>[] {
  return edges.map((edge) => ({ from: edge.from, to: edge.to, edge }));
}

/** Two copies of each vertex: the second one was reached by an anti-dependency, and none leaves it. */
function layered(vertices: number, edges: readonly Dependency[]): Arc<Dependency>[] {
  return edges.flatMap((edge) =>
    edge.kind === 'rw'
      ? [{ from: edge.from, to: vertices + edge.to, edge }]
      : [
          { from: edge.from, to: edge.to, edge },
          { from: vertices + edge.from, to: edge.to, edge },
        ],
  );
}

/** Cycles that begin with one of `edges`. */
function closedBy(edges: readonly Dependency[]): Closing<Dependency>[] {
  return edges.map((edge) => ({ edge, from: edge.to, to: edge.from }));
}
