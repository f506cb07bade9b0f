/** Who is cut off from whom in a partition. */
import { linksBetween, type Link } from './links.ts';

export const partitionShapes = ['one', 'halves', 'ring', 'bridge', 'link'] as const;
export type PartitionShape = (typeof partitionShapes)[number];

/** The links that a partition of this shape cuts; `machines` in the drawn order, `cut` in [0, 1). */
export function cutLinks(shape: PartitionShape, machines: readonly number[], cut: number): Link[] {
  const first = machines.slice(0, 1);
  const rest = machines.slice(1);
  switch (shape) {
    case 'one':
      return linksBetween(first, rest);
    case 'halves': {
      const size = 1 + Math.floor(cut * (machines.length - 1));
      return linksBetween(machines.slice(0, size), machines.slice(size));
    }
    case 'ring': {
      // Everybody sees a majority, no two the same one.
      const majority = Math.floor(machines.length / 2) + 1;
      const reach = Math.ceil((majority - 1) / 2);
      const near = (i: number, j: number): boolean => {
        const apart = Math.abs(i - j);
        return Math.min(apart, machines.length - apart) <= reach;
      };
      return machines.flatMap((x, i) => {
        const far = machines.filter((_, j) => !near(i, j));
        return linksBetween([x], far, 'one-way');
      });
    }
    case 'bridge': {
      // Two halves that share one machine.
      const half = rest.length >> 1;
      return linksBetween(rest.slice(0, half), rest.slice(half));
    }
    case 'link':
      return linksBetween(first, rest.slice(0, 1));
  }
}
