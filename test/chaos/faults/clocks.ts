/** Wall clocks are wrong: by less than nodes are told to expect, or by more. */
import { offsetMaxMs } from '../../../src/sim/faults/clocks.ts';
import {
  type Fault,
  type FaultClass,
  type Target,
  drawDuration,
  drawNodes,
  named,
} from './fault.ts';

function setClocks(
  { cluster }: Target,
  nodes: readonly number[],
  ahead: { readonly offsetsMs: readonly number[]; readonly strobePeriodMs: number },
): void {
  for (const [i, node] of nodes.entries()) {
    const offsetMs = ahead.offsetsMs[i] ?? 0;
    cluster.order(node, { kind: 'clock', offsetMs, strobePeriodMs: ahead.strobePeriodMs });
  }
}

/** A clock that is right again has to agree with the others' for 3 s before its node serves: that belongs to the fault. */
const untilTrustedMs = 3_500;

const right = { offsetsMs: [], strobePeriodMs: 0 };

export const clocks = {
  'subcritical-skews': (random, scene): Fault => {
    const nodes = drawNodes(random, scene, random.between(1, scene.nodes));
    const offsetsMs = nodes.map(() => random.between(-offsetMaxMs, offsetMaxMs));
    const forMs = drawDuration(random);
    return {
      drawn: { nodes, offsetsMs, forMs },
      async run(target) {
        setClocks(target, nodes, { offsetsMs, strobePeriodMs: 0 });
        target.struck(`${named(nodes)} ahead by ${offsetsMs.join(', ')} ms`);
        await target.hold(forMs);
        setClocks(target, nodes, right);
      },
    };
  },

  /** Forth and back, many times. */
  'strobe-skews': (random, scene): Fault => {
    const nodes = drawNodes(random, scene, random.between(1, scene.nodes));
    const strobePeriodMs = random.pick([10, 50, 500]);
    const forMs = drawDuration(random);
    return {
      drawn: { nodes, strobePeriodMs, forMs },
      async run(target) {
        const offsetsMs = nodes.map(() => offsetMaxMs);
        setClocks(target, nodes, { offsetsMs, strobePeriodMs });
        target.struck(`${named(nodes)}, ${offsetMaxMs} ms every ${strobePeriodMs} ms`);
        await target.hold(forMs);
        setClocks(target, nodes, right);
      },
    };
  },

  /** Beyond the maximum offset: the node must not serve, and comes back. */
  'critical-skew': (random, scene): Fault => {
    const [node = 0] = drawNodes(random, scene, 1);
    const offsetMs = random.pick([-1, 1]) * random.pick([600, 1_000, 5_000, 60_000]);
    const forMs = drawDuration(random);
    return {
      drawn: { node, offsetMs, forMs },
      async run(target) {
        setClocks(target, [node], { offsetsMs: [offsetMs], strobePeriodMs: 0 });
        target.struck(`${named([node])} ahead by ${offsetMs} ms`);
        await target.hold(forMs);
        setClocks(target, [node], right);
        await target.hold(untilTrustedMs);
      },
    };
  },
} satisfies Record<string, FaultClass>;
