/** Processes are killed, stand still, or are restarted in order. */
import {
  type Fault,
  type FaultClass,
  type Scene,
  type Target,
  drawDuration,
  drawNodes,
  named,
} from './fault.ts';
import { leaseholderAt } from './roles.ts';

const minority = ({ nodes }: Scene): number => Math.floor((nodes - 1) / 2);
const majority = ({ nodes }: Scene): number => Math.floor(nodes / 2) + 1;

async function killFor(target: Target, nodes: readonly number[], forMs: number): Promise<void> {
  const struck = nodes.filter((node) => target.cluster.isUp(node));
  await Promise.all(struck.map((node) => target.cluster.end(node, 'SIGKILL')));
  target.struck(`${named(struck)} killed`);
  await target.hold(forMs);
  await Promise.all(struck.map((node) => target.cluster.start(node)));
}

function kill(count: (scene: Scene) => number): FaultClass {
  return (random, scene) => {
    const nodes = drawNodes(random, scene, count(scene));
    const forMs = drawDuration(random);
    return { drawn: { nodes, forMs }, run: (target) => killFor(target, nodes, forMs) };
  };
}

async function suspendFor(target: Target, nodes: readonly number[], forMs: number): Promise<void> {
  for (const node of nodes) target.cluster.suspend(node, forMs);
  target.struck(`${named(nodes)} stopped for ${forMs} ms`);
  await target.hold(forMs);
}

const pausesMs = [500, 3_000, 30_000];

export const processes = {
  'kill-one': kill(() => 1),
  'start-kill-2': kill((scene) => Math.min(2, minority(scene))),
  'kill-majority': kill(majority),
  'kill-all': kill(({ nodes }) => nodes),

  'kill-leaseholder': (random): Fault => {
    const drawn = { place: random.float(), forMs: drawDuration(random) };
    return {
      drawn,
      async run(target) {
        await killFor(target, [await leaseholderAt(target, drawn.place)], drawn.forMs);
      },
    };
  },

  /** SIGSTOP: connections stay open. */
  'start-stop-2': (random, scene): Fault => {
    const nodes = drawNodes(random, scene, Math.min(2, minority(scene)));
    const forMs = drawDuration(random);
    return { drawn: { nodes, forMs }, run: (target) => suspendFor(target, nodes, forMs) };
  },

  'pause-leaseholder': (random): Fault => {
    const drawn = { place: random.float(), forMs: random.pick(pausesMs) };
    return {
      drawn,
      async run(target) {
        await suspendFor(target, [await leaseholderAt(target, drawn.place)], drawn.forMs);
      },
    };
  },

  'pause-majority': (random, scene): Fault => {
    const nodes = drawNodes(random, scene, majority(scene));
    const forMs = random.pick(pausesMs.slice(0, 2));
    return { drawn: { nodes, forMs }, run: (target) => suspendFor(target, nodes, forMs) };
  },

  /** The event loop is busy with something else; the process answers to nothing but keeps its threads. */
  stall: (random, scene): Fault => {
    const nodes = drawNodes(random, scene, 1);
    const forMs = Math.round(50 * 200 ** random.float());
    return {
      drawn: { nodes, forMs },
      async run(target) {
        for (const node of nodes) target.cluster.order(node, { kind: 'stall', forMs });
        target.struck(`${named(nodes)} stalled for ${forMs} ms`);
        await target.hold(forMs);
      },
    };
  },

  /** Each node in turn drains, ends and starts, as in an upgrade. */
  'rolling-restart': (random, scene): Fault => {
    const nodes = drawNodes(random, scene, scene.nodes);
    const betweenMs = random.between(1_000, 4_000);
    return {
      drawn: { nodes, betweenMs },
      // A drain that takes too long is given up.
      ends: /\(status 1\).*: no message|\(status 1\); it is not started again$/,
      async run(target) {
        for (const node of nodes) {
          if (target.isOver) return;
          await target.cluster.end(node, 'SIGTERM');
          target.struck(`${named([node])} restarted`);
          await target.cluster.start(node);
          await target.hold(betweenMs);
        }
      },
    };
  },
} satisfies Record<string, FaultClass>;
