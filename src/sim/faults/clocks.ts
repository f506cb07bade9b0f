/** Wall clocks jump, jitter and run at a wrong speed, within the difference that the nodes are told to expect, and beyond. */
import { magnitude, oneMachine } from './draws.ts';
import { faultClass } from './fault.ts';
import { type SeededRandom } from '../random.ts';

/** Two clocks are never so far apart that a node stops serving (80 % of the maximum offset, 500 ms), also after drifting. */
export const offsetMaxMs = 170;

function offset(random: SeededRandom): number {
  return (random.float() * 2 - 1) * offsetMaxMs;
}

export const clocks = {
  clock: faultClass({
    weight: 5,
    draw: (random, scene) => ({ machine: oneMachine(random, scene), offsetMs: offset(random) }),
    inject({ cluster }, { machine, offsetMs }) {
      cluster.setClock(machine, { offsetMs, driftPpm: 0 });
    },
  }),

  /** Forth and back, many times. */
  'clock-strobe': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      offsetsMs: [offset(random), offset(random)],
      periodMs: magnitude(random, 5, 1_000),
      times: magnitude(random, 5, 100),
    }),
    inject({ cluster, after }, { machine, offsetsMs, periodMs, times }) {
      for (let i = 0; i < times; i++) {
        const offsetMs = offsetsMs[i % 2] ?? 0;
        after(i * periodMs, () => cluster.setClock(machine, { offsetMs, driftPpm: 0 }));
      }
    },
  }),

  'clock-drift': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      fromMs: offset(random),
      toMs: offset(random),
      durationMs: magnitude(random, 2_000, 20_000),
    }),
    inject({ cluster, after }, { machine, fromMs, toMs, durationMs }) {
      const driftPpm = ((toMs - fromMs) / durationMs) * 1e6;
      cluster.setClock(machine, { offsetMs: fromMs, driftPpm });
      after(durationMs, () => cluster.setClock(machine, { offsetMs: toMs, driftPpm: 0 }));
    },
  }),

  /** Far from all others, for some time: the node refuses to serve, and comes back. */
  'clock-far': faultClass({
    weight: 3,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      offsetMs: (random.chance(0.5) ? 1 : -1) * magnitude(random, 600, 20_000),
      durationMs: magnitude(random, 500, 15_000),
    }),
    inject({ cluster, after }, { machine, offsetMs, durationMs }) {
      cluster.setClock(machine, { offsetMs, driftPpm: 0 });
      after(durationMs, () => cluster.setClock(machine, { offsetMs: 0, driftPpm: 0 }));
    },
  }),
};
