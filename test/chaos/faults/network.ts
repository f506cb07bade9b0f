/** Links between nodes are cut, slow, or reset their connections. */
import { type Link, linksBetween } from '../../../src/sim/links.ts';
import {
  cutLinks,
  partitionShapes,
  type PartitionShape,
} from '../../../src/sim/partition-shapes.ts';
import { type SeededRandom } from '../../../src/sim/random.ts';
import {
  type Fault,
  type FaultClass,
  type Scene,
  type Target,
  drawDuration,
  drawNodes,
  named,
} from './fault.ts';
import { leaseholderAt, pickAt, rangesOf } from './roles.ts';

function partition(...shapes: readonly PartitionShape[]): FaultClass {
  return (random, scene) => {
    const shape = random.pick(shapes);
    const nodes = drawNodes(random, scene, scene.nodes);
    const forMs = drawDuration(random);
    return {
      drawn: { shape, nodes, forMs },
      // A cut of 0.5 halves.
      run: (target) =>
        cutFor(target, cutLinks(shape, nodes, 0.5), `${shape}: ${named(nodes)}`, forMs),
    };
  };
}

async function cutFor(
  target: Target,
  links: readonly Link[],
  what: string,
  forMs: number,
): Promise<void> {
  const restore = target.cluster.network.impair(links, { cut: true });
  target.struck(what);
  await target.hold(forMs);
  restore();
}

function allLinks({ nodes }: Scene): Link[] {
  const all = Array.from({ length: nodes }, (_, node) => node);
  return linksBetween(all, all, 'one-way');
}

function ofTheLeaseholder(
  random: SeededRandom,
  links: (holder: number, others: readonly number[]) => readonly Link[],
): Fault {
  const drawn = { place: random.float(), forMs: drawDuration(random) };
  return {
    drawn,
    async run(target) {
      const holder = await leaseholderAt(target, drawn.place);
      const others = target.cluster.up.filter((node) => node !== holder);
      await cutFor(target, links(holder, others), named([holder]), drawn.forMs);
    },
  };
}

export const network = {
  'partition-one': partition('one'),
  'partition-halves': partition('halves'),
  'majority-ring': partition('ring'),
  'partition-bridge': partition('bridge'),
  parts: partition(...partitionShapes),

  'isolate-leaseholder': (random): Fault =>
    ofTheLeaseholder(random, (holder, others) => linksBetween([holder], others)),
  /** It still hears the others. */
  'mute-leaseholder': (random): Fault =>
    ofTheLeaseholder(random, (holder, others) => linksBetween([holder], others, 'one-way')),
  'deaf-leaseholder': (random): Fault =>
    ofTheLeaseholder(random, (holder, others) => linksBetween(others, [holder], 'one-way')),

  /** The leaseholder of a range reaches all but the other replicas of it. */
  'cut-followers': (random): Fault => {
    const drawn = { place: random.float(), forMs: drawDuration(random) };
    return {
      drawn,
      async run(target) {
        const { leaseholder, nodes } = pickAt(await rangesOf(target, drawn.place), drawn.place);
        const followers = nodes.filter((node) => node !== leaseholder);
        const what = `${named([leaseholder])} from ${named(followers)}`;
        await cutFor(target, linksBetween([leaseholder], followers), what, drawn.forMs);
      },
    };
  },

  /** A gateway that has no replica cannot reach the leaseholder, which serves all others. */
  'cut-gateway': (random): Fault => {
    const drawn = { place: random.float(), forMs: drawDuration(random) };
    return {
      drawn,
      async run(target) {
        const { leaseholder, nodes } = pickAt(await rangesOf(target, drawn.place), drawn.place);
        const { up } = target.cluster;
        const without = up.filter((node) => !nodes.includes(node));
        const others = up.filter((node) => node !== leaseholder);
        const gateway = pickAt(without.length > 0 ? without : others, drawn.place);
        const what = `${named([gateway])} from ${named([leaseholder])}`;
        await cutFor(target, linksBetween([gateway], [leaseholder]), what, drawn.forMs);
      },
    };
  },

  /** Cuts that come and go. */
  flapping: (random, scene): Fault => {
    const nodes = drawNodes(random, scene, scene.nodes);
    const timesMs = Array.from({ length: random.between(3, 6) }, () => random.between(300, 2_000));
    return {
      drawn: { nodes, timesMs },
      async run(target) {
        for (const forMs of timesMs) {
          await cutFor(target, cutLinks('halves', nodes, 0.5), `halves: ${named(nodes)}`, forMs);
          await target.hold(forMs / 2);
        }
      },
    };
  },

  'slow-net': (random, scene): Fault => {
    const delayMs = random.pick([20, 50, 200]);
    const forMs = drawDuration(random);
    return {
      drawn: { delayMs, forMs },
      async run(target) {
        const restore = target.cluster.network.impair(allLinks(scene), { delayMs });
        target.struck(`everything takes ${delayMs} ms`);
        await target.hold(forMs);
        restore();
      },
    };
  },

  /** Connections break again and again. */
  resets: (random, scene): Fault => {
    const nodes = drawNodes(random, scene, 1);
    const loss = random.pick([0.01, 0.1]);
    const forMs = drawDuration(random);
    return {
      drawn: { nodes, loss, forMs },
      async run(target) {
        const links = allLinks(scene).filter((link) => link.some((node) => nodes.includes(node)));
        const restore = target.cluster.network.impair(links, { loss });
        target.struck(`${named(nodes)}, ${loss * 100} % of the deliveries`);
        await target.hold(forMs);
        restore();
      },
    };
  },
} satisfies Record<string, FaultClass>;
