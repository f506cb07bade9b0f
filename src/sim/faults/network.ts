/** Links between machines are cut, slow, or lose what they carry. */
import { linksBetween, type Link } from '../links.ts';
import { cutLinks, partitionShapes } from '../partition-shapes.ts';
import { magnitude, oneMachine, shuffledMachines } from './draws.ts';
import { faultClass, type Target } from './fault.ts';

/** Cuts links for some time. */
export function cutFor(target: Target, links: readonly Link[], durationMs: number): void {
  const restore = target.cluster.links.impair(links, { cut: true });
  target.after(durationMs, () => {
    restore();
    target.world.story('links are restored');
  });
}

export const network = {
  partition: faultClass({
    weight: 12,
    draw: (random, scene) => ({
      shape: random.pick(partitionShapes),
      machines: shuffledMachines(random, scene),
      cut: random.float(),
      durationMs: magnitude(random, 300, 15_000),
    }),
    inject(target, { shape, machines, cut, durationMs }) {
      cutFor(target, cutLinks(shape, machines, cut), durationMs);
    },
  }),

  /** One machine is not heard by some others, or does not hear them. */
  'one-way': faultClass({
    weight: 6,
    draw(random, scene) {
      const [machine = 0, ...others] = shuffledMachines(random, scene);
      return {
        machine,
        others: others.slice(0, random.between(1, others.length)),
        hears: random.chance(0.5),
        durationMs: magnitude(random, 300, 15_000),
      };
    },
    inject(target, { machine, others, hears, durationMs }) {
      const links = hears
        ? linksBetween([machine], others, 'one-way')
        : linksBetween(others, [machine], 'one-way');
      cutFor(target, links, durationMs);
    },
  }),

  /** Cuts that come and go. */
  flap: faultClass({
    weight: 4,
    draw: (random, scene) => ({
      machines: shuffledMachines(random, scene),
      cut: random.float(),
      times: random.between(3, 10),
      cutMs: magnitude(random, 100, 3_000),
      gapMs: magnitude(random, 50, 2_000),
    }),
    inject(target, { machines, cut, times, cutMs, gapMs }) {
      const links = cutLinks('halves', machines, cut);
      for (let i = 0; i < times; i++) {
        target.after(i * (cutMs + gapMs), () => cutFor(target, links, cutMs));
      }
    },
  }),

  /** Machines are cut off one by one and come back in another order (FoundationDB's swizzle). */
  swizzle: faultClass({
    weight: 4,
    draw(random, scene) {
      const machines = shuffledMachines(random, scene);
      return {
        machines,
        back: shuffledMachines(random, scene),
        count: random.between(2, machines.length),
        stepMs: magnitude(random, 50, 2_000),
      };
    },
    inject(target, { machines, back, count, stepMs }) {
      const away = machines.slice(0, count);
      const returns = back.filter((machine) => away.includes(machine));
      for (const [i, machine] of away.entries()) {
        target.after(i * stepMs, () => {
          const links = linksBetween([machine], machines);
          cutFor(target, links, (count - i + returns.indexOf(machine)) * stepMs);
        });
      }
    },
  }),

  'slow-net': faultClass({
    weight: 5,
    draw: (random, scene) => ({
      machines: shuffledMachines(random, scene),
      slow: random.between(1, scene.machines),
      delayMs: magnitude(random, 20, 3_000),
      durationMs: magnitude(random, 500, 15_000),
    }),
    inject({ cluster, after }, { machines, slow, delayMs, durationMs }) {
      const links = linksBetween(machines.slice(0, slow), machines);
      after(durationMs, cluster.links.impair(links, { delayMs }));
    },
  }),

  /** Connections break again and again. */
  loss: faultClass({
    weight: 5,
    draw: (random, scene) => ({
      machine: oneMachine(random, scene),
      machines: shuffledMachines(random, scene),
      loss: magnitude(random, 10, 750) / 1000,
      durationMs: magnitude(random, 500, 15_000),
    }),
    inject({ cluster, after }, { machine, machines, loss, durationMs }) {
      after(durationMs, cluster.links.impair(linksBetween([machine], machines), { loss }));
    },
  }),
};
