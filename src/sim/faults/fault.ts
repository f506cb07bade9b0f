/**
 * What a fault is. A class of faults (crash, partition, ...) draws all that chance decides about one of them in
 * advance, as plain data; the schedule of a run is therefore known before it begins, and a run can be repeated
 * with some of its faults left out or made shorter.
 *
 * INVARIANT: injecting a fault draws nothing. Roles (the leaseholder of a key, a range's other replicas) are
 *   looked up in the cluster when it happens.
 */
import { type SkeinNode } from '../../server/index.ts';
import { type SimCluster } from '../cluster.ts';
import { type SeededRandom } from '../random.ts';
import { type World } from '../world.ts';

/** What draws have to know. */
export interface Scene {
  /** Machines from the beginning on. */
  readonly machines: number;
  /** Machines that join later; their indexes follow. */
  readonly lateMachines: number;
}

/** What a fault happens to. */
export interface Target {
  readonly world: World;
  readonly cluster: SimCluster;
  /** A key of the load; `place` in [0, 1). */
  readonly keyAt: (place: number) => Buffer;
  /** Does it then, unless the faults are over. */
  readonly after: (delayMs: number, action: () => void) => void;
  /** True once the faults are over. */
  readonly isOver: boolean;
  /** Something that takes its time; what it throws fails the run. */
  readonly run: (what: string, work: () => Promise<void>) => void;
  /**
   * A range operation through one of the nodes (`place` in [0, 1)). It may fail under faults: false then, and
   * when the node dies under it.
   */
  readonly operate: (
    what: string,
    place: number,
    operation: (node: SkeinNode) => Promise<unknown>,
  ) => Promise<boolean>;
}

export interface FaultClass<Data extends object> {
  /** How often it happens next to the others. */
  readonly weight: number;
  /** Durations and other amounts that can be made smaller are called ...Ms. Undefined: not in this scene. */
  draw(random: SeededRandom, scene: Scene): Data | undefined;
  inject(target: Target, data: Data): void;
}

/** One drawn fault. `shrunk` in (0, 1]: all times in it are shorter by this factor. */
export interface DrawnFault {
  describe(shrunk: number): string;
  inject(target: Target, shrunk: number): void;
}

/** A class whose data nobody else needs to know. */
export interface AnyFaultClass {
  readonly weight: number;
  draw(random: SeededRandom, scene: Scene): DrawnFault | undefined;
}

export function faultClass<Data extends object>(of: FaultClass<Data>): AnyFaultClass {
  return {
    weight: of.weight,
    draw(random, scene) {
      const data = of.draw(random, scene);
      if (data === undefined) return undefined;
      return {
        describe: (shrunk) => JSON.stringify(shorten(data, shrunk), rounded),
        inject: (target, shrunk) => of.inject(target, shorten(data, shrunk)),
      };
    },
  };
}

function shorten<Data extends object>(data: Data, factor: number): Data {
  if (factor === 1) return data;
  const times = Object.entries(data).filter(([name]) => name.endsWith('Ms'));
  const shorter = times.map(([name, value]: [string, unknown]) => [
    name,
    Array.isArray(value) ? value.map((each) => Number(each) * factor) : Number(value) * factor,
  ]);
  return { ...data, ...(Object.fromEntries(shorter) as Partial<Data>) };
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
}
