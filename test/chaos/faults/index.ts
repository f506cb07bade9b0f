/**
 * All faults by name, and nemeses made of them. A nemesis is one fault after the other of one name, or of several names
 * at the same time: `majority-ring+start-kill-2`.
 */
import { clocks } from './clocks.ts';
import { disks } from './disks.ts';
import { type Fault, type FaultClass, type Scene } from './fault.ts';
import { membership } from './membership.ts';
import { network } from './network.ts';
import { processes } from './processes.ts';
import { ranges } from './ranges.ts';
import { schema } from './schema.ts';
import { type SeededRandom } from '../../../src/sim/random.ts';

const classes: Readonly<Record<string, FaultClass>> = {
  ...processes,
  ...network,
  ...clocks,
  ...disks,
  ...ranges,
  ...membership,
  ...schema,
};

/** Draws each time from all. */
const everything: FaultClass = (random, scene) => {
  const name = random.pick(Object.keys(classes));
  const fault = faultClass(name)(random, scene);
  return { ...fault, drawn: { fault: name, ...fault.drawn } };
};

/** Faults in which the cluster may have to do without something, and not only works more. */
export function isOutage(name: string): boolean {
  return name === 'everything' || [processes, network, clocks, disks].some((part) => name in part);
}

export const faultNames: readonly string[] = [...Object.keys(classes), 'everything'];

function faultClass(name: string): FaultClass {
  const found = name === 'everything' ? everything : classes[name];
  if (found === undefined) throw new RangeError(`there is no fault "${name}"`);
  return found;
}

export interface PlannedFault {
  readonly name: string;
  /** After the one before it, or after the start. */
  readonly afterMs: number;
  readonly fault: Fault;
}

export interface Plan {
  /** Each goes on by itself. */
  readonly lanes: readonly (readonly PlannedFault[])[];
}

/** The shortest fault and pause, by which a lane has more faults than there is time for. */
const shortestMs = 2_000;

/** `nemesis`: names of faults joined by '+', or `none`. Throws RangeError for a name that there is not. */
export function planFaults(
  nemesis: string,
  random: SeededRandom,
  scene: Scene & { readonly durationMs: number },
): Plan {
  const names = nemesis === 'none' ? [] : nemesis.split('+');
  const count = Math.ceil(scene.durationMs / shortestMs);
  return {
    lanes: names.map((name) => {
      const own = random.fork();
      return Array.from({ length: count }, (_, i) => ({
        name,
        afterMs: i === 0 ? own.between(0, 2_000) : own.between(2_000, 6_000),
        fault: faultClass(name)(own, scene),
      }));
    }),
  };
}
