/**
 * What a fault is. Its class draws all that chance decides in advance, so the schedule of a run is known before it
 * begins; roles (the leaseholder, who is up) are looked up when it happens.
 */
import { shuffledMachines } from '../../../src/sim/faults/draws.ts';
import { type SeededRandom } from '../../../src/sim/random.ts';
import { type ChaosCluster } from '../cluster.ts';

/** What draws have to know. */
export interface Scene {
  readonly nodes: number;
}

/** What a fault happens to. */
export interface Target {
  readonly cluster: ChaosCluster;
  /** Of the workload. */
  readonly tables: readonly string[];
  /** Through some node that is up; tried once. */
  sql<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Resolves after so long, or as soon as the faults are over. */
  hold(forMs: number): Promise<void>;
  readonly isOver: boolean;
  /** For the journal: it has happened, and to whom. */
  struck(text: string): void;
}

export interface Fault {
  /** What was drawn, for the journal. */
  readonly drawn: Readonly<Record<string, unknown>>;
  /** Happens, lasts and heals; throws what kept it from that. */
  run(target: Target): Promise<void>;
  /** What nodes may say that end because of it, besides being killed. */
  readonly ends?: RegExp;
}

export type FaultClass = (random: SeededRandom, scene: Scene) => Fault;

/** How long a fault lasts unless its class says otherwise. */
export function drawDuration(random: SeededRandom): number {
  return random.between(3_000, 7_000);
}

/** `count` of the nodes that founded the cluster. */
export function drawNodes(random: SeededRandom, { nodes }: Scene, count: number): number[] {
  const order = shuffledMachines(random, { machines: nodes, lateMachines: 0 });
  return order.slice(0, count);
}

/** `nodes 2, 4`: as people number them. */
export function named(nodes: readonly number[]): string {
  return `${nodes.length === 1 ? 'node' : 'nodes'} ${nodes.map((node) => node + 1).join(', ')}`;
}
