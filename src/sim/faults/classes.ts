/** All classes of faults by name. */
import { clocks } from './clocks.ts';
import { disks } from './disks.ts';
import { type AnyFaultClass } from './fault.ts';
import { merges } from './merges.ts';
import { network } from './network.ts';
import { placement } from './placement.ts';
import { processes } from './processes.ts';
import { rangeOperations } from './ranges.ts';
import { seams } from './seams.ts';
import { zones } from './zones.ts';

const classes = {
  ...processes,
  ...network,
  ...clocks,
  ...disks,
  ...rangeOperations,
  ...merges,
  ...placement,
  ...seams,
  ...zones,
} satisfies Record<string, AnyFaultClass>;

export type FaultName = keyof typeof classes;

export const faultNames = Object.keys(classes) as readonly FaultName[];

export function isFaultName(name: string): name is FaultName {
  return Object.hasOwn(classes, name);
}

export function faultClassOf(name: FaultName): AnyFaultClass {
  return classes[name];
}
