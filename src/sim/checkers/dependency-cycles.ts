/**
 * Cycles of a dependency graph, by the name of the anomaly (Adya 1999; Cerone and Gotsman 2018 for what snapshot
 * isolation forbids):
 *
 *   G0                     write dependencies alone
 *   G1c                    write and read dependencies
 *   G-single-item          one anti-dependency
 *   G-nonadjacent-item     several, never two in a row
 *   G2-item                any
 *
 * With '-process' or '-realtime' behind it the cycle needs that order, too. Whether there is a cycle, and whether snapshot
 * isolation forbids it, follows from strongly connected components, in linear time; only then is one searched for to be shown. Of each
 * component the strongest cycle without and the strongest with anti-dependencies is reported, and with an order only what
 * is stronger than without.
 */
import { unreachable } from '../../util/index.ts';
import { type Arc, shortestCycle, stronglyConnected } from './graph.ts';
import { type Recorded } from './history.ts';

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

/** Each transaction of a process that succeeded comes behind the one before it. */
export function processOrder(history: readonly Recorded<unknown>[]): Dependency[] {
  const order: Dependency[] = [];
  const latest = new Map<number, number>();
  for (const [to, { process, outcome }] of history.entries()) {
    if (outcome !== 'ok') continue;
    const from = latest.get(process);
    if (from !== undefined) order.push({ from, to, kind: 'process' });
    latest.set(process, to);
  }
  return order;
}

/** `describe`: a transaction, by its index. */
export function describeCycle(
  { dependencies }: Cycle,
  describe: (index: number) => string,
): string {
  const edges = dependencies.map(({ from, to, kind }) => `T${from} -${kind}-> T${to}`);
  const transactions = dependencies.map(({ from }) => describe(from));
  return `${edges.join(', ')}; ${transactions.join('; ')}`;
}

const levels = [
  { suffix: '', orders: [] },
  { suffix: '-process', orders: ['process'] },
  { suffix: '-realtime', orders: ['process', 'realtime'] },
] as const satisfies { suffix: string; orders: readonly Dependency['kind'][] }[];

/** The strongest first, without and with anti-dependencies: each cycle is also one of those behind it. */
const forward = ['G0', 'G1c'] as const;
const backward = ['G-single-item', 'G-nonadjacent-item', 'G2-item'] as const;

type Anomaly = (typeof forward | typeof backward)[number];

/** `vertices`: all of them are below this number. */
export function findCycles(vertices: number, dependencies: readonly Dependency[]): Cycle[] {
  // Most histories have no cycle at all, and this pass is the only one.
  const cyclic = componentsOf(vertices, dependencies).flat();
  const cycles: Cycle[] = [];
  const known = new KnownAnomalies();
  for (const { suffix, orders } of levels) {
    const kinds: readonly Dependency['kind'][] = ['ww', 'wr', 'rw', ...orders];
    const level = cyclic.filter(({ kind }) => kinds.includes(kind));
    for (const component of componentsOf(vertices, level)) {
      for (const ranks of [forward, backward]) {
        const stronger = known.strongerThanKnown(component, ranks);
        const found = strongest(component, stronger);
        if (found === undefined) continue;
        known.note(component, found.anomaly);
        cycles.push({ ...found, anomaly: `${found.anomaly}${suffix}` });
      }
    }
  }
  return cycles;
}

/** What was reported of the components that a larger one consists of. */
class KnownAnomalies {
  readonly #byVertex = new Map<number, Set<Anomaly>>();

  note(component: readonly Dependency[], anomaly: Anomaly): void {
    for (const { from } of component) {
      const known = this.#byVertex.get(from) ?? new Set<Anomaly>();
      this.#byVertex.set(from, known.add(anomaly));
    }
  }

  strongerThanKnown(
    component: readonly Dependency[],
    ranks: readonly Anomaly[],
  ): readonly Anomaly[] {
    let end = ranks.length;
    for (const { from } of component) {
      for (const anomaly of this.#byVertex.get(from) ?? []) {
        const rank = ranks.indexOf(anomaly);
        if (rank >= 0) end = Math.min(end, rank);
      }
    }
    return ranks.slice(0, end);
  }
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

/** The first of `anomalies`, which are in the order of their strength, that a component has. */
function strongest(
  component: readonly Dependency[],
  anomalies: readonly Anomaly[],
): (Cycle & { readonly anomaly: Anomaly }) | undefined {
  if (anomalies.length === 0) return undefined;
  const graph = new Component(component);
  for (const anomaly of anomalies) {
    const dependencies = graph.cycle(anomaly);
    if (dependencies !== undefined) return { anomaly, dependencies };
  }
  return undefined;
}

type Step = Arc<Dependency>;

/** A component, its vertices numbered anew. */
class Component {
  readonly #vertices: number;
  readonly #arcs: readonly Step[];

  constructor(component: readonly Dependency[]) {
    const numbers = new Map<number, number>();
    const numberOf = (vertex: number): number => {
      const number = numbers.get(vertex) ?? numbers.size;
      numbers.set(vertex, number);
      return number;
    };
    this.#arcs = component.map((edge) => ({
      from: numberOf(edge.from),
      to: numberOf(edge.to),
      edge,
    }));
    this.#vertices = numbers.size;
  }

  cycle(anomaly: Anomaly): Dependency[] | undefined {
    switch (anomaly) {
      case 'G0':
        return this.#closedBy('ww', this.#without('wr', 'rw'));
      case 'G1c':
        return this.#closedBy('wr', this.#without('rw'));
      case 'G-single-item':
        return this.#single();
      case 'G-nonadjacent-item':
        return this.#nonadjacent();
      case 'G2-item':
        return this.#closedBy('rw', this.#arcs);
      default:
        return unreachable(anomaly);
    }
  }

  #without(...kinds: readonly Dependency['kind'][]): Step[] {
    return this.#arcs.filter(({ edge }) => !kinds.includes(edge.kind));
  }

  /** Over `arcs`, with a dependency of a kind. */
  #closedBy(kind: Dependency['kind'], arcs: readonly Step[]): Dependency[] | undefined {
    const inside = insideComponents(this.#vertices, arcs);
    const closing = inside.filter(({ edge }) => edge.kind === kind);
    return shortestCycle(this.#vertices, inside, closing.map(closedAt));
  }

  #single(): Dependency[] | undefined {
    const anti = this.#nonadjacentArcs().filter(({ edge }) => edge.kind === 'rw');
    const closing = anti.map(({ from, to, edge }) =>
      closedAt({ from: from % this.#vertices, to: to % this.#vertices, edge }),
    );
    return shortestCycle(this.#vertices, this.#without('rw'), closing);
  }

  #nonadjacent(): Dependency[] | undefined {
    const arcs = this.#nonadjacentArcs();
    const anti = arcs.filter(({ edge }) => edge.kind === 'rw');
    return shortestCycle(2 * this.#vertices, arcs, anti.map(closedAt));
  }

  /**
   * Of all walks without two anti-dependencies in a row those that come back. There are two copies of each vertex: the second
   * one was reached by an anti-dependency, and none leaves it.
   */
  #nonadjacentArcs(): Step[] {
    const second = this.#vertices;
    const layers = this.#arcs.flatMap(({ from, to, edge }) =>
      edge.kind === 'rw'
        ? [{ from, to: second + to, edge }]
        : [
            { from, to, edge },
            { from: second + from, to, edge },
          ],
    );
    return insideComponents(2 * second, layers);
  }
}

function insideComponents(vertices: number, arcs: readonly Step[]): Step[] {
  const component = stronglyConnected(vertices, arcs);
  return arcs.filter(({ from, to }) => component[from] === component[to]);
}

/** Closes the path from where an arc leads to where it begins. */
function closedAt({ from, to, edge }: Step): Step {
  return { from: to, to: from, edge };
}
