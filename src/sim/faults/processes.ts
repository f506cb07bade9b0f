/** Processes end, machines lose power, event loops stall, nodes are restarted in order. */
import { sleep } from '../../util/index.ts';
import { type DiskMoment } from '../machine-disk.ts';
import { downTime, magnitude, oneMachine, shuffledMachines, someMachines } from './draws.ts';
import { faultClass, type AnyFaultClass, type Target } from './fault.ts';

/** What goes down comes back later. */
export function crashFor(
  { cluster, after }: Target,
  machine: number,
  how: 'process' | 'power',
  downMs: number,
): void {
  if (!cluster.isUp(machine)) return;
  cluster.crash(machine, how);
  after(downMs, () => cluster.start(machine));
}

function crash(how: 'process' | 'power', weight: number): AnyFaultClass {
  return faultClass({
    weight,
    draw(random, scene) {
      const machines = someMachines(random, scene);
      return { machines, downMs: machines.map(() => downTime(random)) };
    },
    inject(target, { machines, downMs }) {
      for (const [i, machine] of machines.entries()) crashFor(target, machine, how, downMs[i] ?? 0);
    },
  });
}

/** When a crash is most likely to show what was promised too early. */
const moments: readonly Omit<DiskMoment, 'nth' | 'stage'>[] = [
  { area: 'log', operation: 'write' },
  { area: 'log', operation: 'sync' },
  { area: 'log', operation: 'replace' },
  { area: 'log', operation: 'remove' },
  { area: 'clock', operation: 'replace' },
  { area: 'engine', operation: 'sync' },
  { area: 'snapshot', operation: 'write' },
  { area: 'snapshot', operation: 'sync' },
  { area: 'snapshot', operation: 'replace' },
  { area: 'snapshot', operation: 'remove' },
];

export const processes = {
  crash: crash('process', 10),
  power: crash('power', 10),

  /** A crash at a certain operation of the disk: between a write and its sync, while a snapshot arrives, ... */
  'crash-point': faultClass({
    weight: 10,
    draw(random, scene) {
      const moment = random.pick(moments);
      const often = moment.operation === 'write' || moment.operation === 'sync';
      return {
        machine: oneMachine(random, scene),
        moment: {
          ...moment,
          stage: random.chance(0.5) ? ('before' as const) : ('after' as const),
          nth: often ? magnitude(random, 1, 30) : 1,
        },
        how: random.chance(0.7) ? ('power' as const) : ('process' as const),
        downMs: downTime(random),
        store: random.float(),
      };
    },
    inject(target, { machine, store, moment, how, downMs }) {
      target.cluster.storeOf(machine, store).disk.trap(moment, () => {
        target.world.story(
          `m${machine + 1} at ${moment.area} ${moment.operation} (${moment.stage})`,
        );
        crashFor(target, machine, how, downMs);
      });
    },
  }),

  /** The event loop stalls: SIGSTOP, a long collection, a suspended machine. */
  pause: faultClass({
    weight: 8,
    draw: (random, scene) => ({
      machines: someMachines(random, scene),
      durationMs: magnitude(random, 50, 15_000),
    }),
    inject({ cluster }, { machines, durationMs }) {
      for (const machine of machines) cluster.pause(machine, durationMs);
    },
  }),

  'pause-strobe': faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      times: random.between(3, 12),
      pauseMs: magnitude(random, 50, 2_000),
      gapMs: magnitude(random, 10, 1_000),
    }),
    inject({ cluster, after }, { machine, times, pauseMs, gapMs }) {
      for (let i = 0; i < times; i++) {
        after(i * (pauseMs + gapMs), () => cluster.pause(machine, pauseMs));
      }
    },
  }),

  /** Every node is shut down in order and started again, one after the other. */
  'rolling-restart': faultClass({
    weight: 3,
    draw: (random, scene) => ({
      order: shuffledMachines(random, scene).slice(0, random.between(1, scene.machines)),
      downMs: 50 + random.float() * 1_000,
      gapMs: magnitude(random, 50, 3_000),
    }),
    inject(target, { order, downMs, gapMs }) {
      const { cluster, world } = target;
      target.run('rolling restart', async () => {
        for (const machine of order) {
          if (target.isOver) return;
          await cluster.shutdown(machine);
          await sleep(world, downMs);
          // Also after the end of the faults: a stalled machine shuts down late.
          cluster.start(machine);
          await sleep(world, gapMs);
        }
      });
    },
  }),

  /** A machine that was not there before. */
  join: faultClass({
    weight: 6,
    draw: (random, { machines, lateMachines }) =>
      lateMachines === 0 ? undefined : { machine: machines + random.between(0, lateMachines - 1) },
    inject({ cluster }, { machine }) {
      cluster.start(machine);
    },
  }),
};
