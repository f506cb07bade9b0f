/** Directed graphs whose vertices are small numbers: strongly connected components and shortest cycles. */

/** An arc that stands for `edge`. */
export interface Arc<Edge> {
  readonly from: number;
  readonly to: number;
  readonly edge: Edge;
}

/** A cycle is `edge` and a path from `from` to `to`. */
export type Closing<Edge> = Arc<Edge>;

/** The component of each vertex (Tarjan 1972, without recursion). */
export function stronglyConnected(
  vertices: number,
  arcs: readonly { readonly from: number; readonly to: number }[],
): Int32Array {
  const leaving = adjacency(vertices, arcs);
  const component = new Int32Array(vertices).fill(-1);
  /** When a vertex was first seen, from 1; and the earliest still open vertex that it reaches. */
  const seen = new Int32Array(vertices);
  const earliest = new Int32Array(vertices);
  const next = new Int32Array(vertices);
  const open: number[] = [];
  let clock = 0;
  for (let root = 0; root < vertices; root++) {
    if (seen[root] !== 0) continue;
    const path: number[] = [];
    const enter = (vertex: number): void => {
      seen[vertex] = earliest[vertex] = ++clock;
      open.push(vertex);
      path.push(vertex);
    };
    enter(root);
    for (let vertex = path.at(-1); vertex !== undefined; vertex = path.at(-1)) {
      const to = leaving[vertex]?.[next[vertex] ?? 0]?.to;
      if (to !== undefined) {
        next[vertex] = (next[vertex] ?? 0) + 1;
        if (seen[to] === 0) enter(to);
        else if (component[to] === -1) lower(earliest, vertex, seen[to]);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent !== undefined) lower(earliest, parent, earliest[vertex]);
      if (earliest[vertex] !== seen[vertex]) continue;
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = vertex;
        if (member === vertex) break;
      }
    }
  }
  return component;
}

function lower(values: Int32Array, at: number, to: number | undefined): void {
  values[at] = Math.min(values[at] ?? 0, to ?? 0);
}

/** A search is made from so many starts. */
const startsMax = 64;

/** A short cycle that is closed by one of `closing`; undefined when there is none from the first starts. */
export function shortestCycle<Edge>(
  vertices: number,
  arcs: readonly Arc<Edge>[],
  closing: readonly Closing<Edge>[],
): Edge[] | undefined {
  const leaving = adjacency(vertices, arcs);
  const byStart = new Map<number, Closing<Edge>[]>();
  for (const each of closing) {
    const ends = byStart.get(each.from);
    if (ends === undefined) byStart.set(each.from, [each]);
    else ends.push(each);
  }
  let best: Edge[] | undefined;
  for (const [start, ends] of [...byStart].slice(0, startsMax)) {
    const reachedBy = breadthFirst(leaving, start);
    for (const { to, edge } of ends) {
      const path = pathTo(reachedBy, to);
      if (path === undefined) continue;
      if (best === undefined || path.length + 1 < best.length) best = [edge, ...path];
    }
  }
  return best;
}

function breadthFirst<Edge>(
  leaving: readonly (readonly Arc<Edge>[])[],
  start: number,
): Map<number, Arc<Edge> | undefined> {
  const reachedBy = new Map<number, Arc<Edge> | undefined>([[start, undefined]]);
  // A map is walked in the order in which it grows.
  for (const vertex of reachedBy.keys()) {
    for (const arc of leaving[vertex] ?? []) {
      if (!reachedBy.has(arc.to)) reachedBy.set(arc.to, arc);
    }
  }
  return reachedBy;
}

function pathTo<Edge>(
  reachedBy: ReadonlyMap<number, Arc<Edge> | undefined>,
  end: number,
): Edge[] | undefined {
  if (!reachedBy.has(end)) return undefined;
  const path: Edge[] = [];
  for (let arc = reachedBy.get(end); arc !== undefined; arc = reachedBy.get(arc.from)) {
    path.push(arc.edge);
  }
  return path.reverse();
}

function adjacency<A extends { readonly from: number }>(
  vertices: number,
  arcs: readonly A[],
): A[][] {
  const leaving = Array.from({ length: vertices }, (): A[] => []);
  for (const arc of arcs) leaving[arc.from]?.push(arc);
  return leaving;
}
