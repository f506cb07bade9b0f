/** Nodes join, drain, leave for good, and come back empty. */
import { type Fault, type FaultClass, type Target, drawNodes, named } from './fault.ts';
import { nodeIdOf } from './roles.ts';

async function decommission(target: Target, node: number): Promise<void> {
  const id = await nodeIdOf(target, node);
  const jobs = await target.sql<{ job_id: string }>(`ALTER NODE ${id} DECOMMISSION`);
  target.struck(`${named([node])} leaves`);
  const [job] = jobs;
  for (;;) {
    const [row] = await target.sql<{ status: string }>(
      `SELECT status FROM [SHOW JOBS] WHERE job_id = ${job?.job_id ?? 0}`,
    );
    if (row === undefined || row.status === 'succeeded') break;
    if (row.status === 'failed' || row.status === 'canceled')
      throw new Error(`the job ${row.status}`);
    await target.hold(200);
  }
  await target.cluster.end(node, 'SIGKILL');
  target.cluster.wipe(node);
}

const ends = /decommissioned/;

export const membership = {
  /** A node joins; one of the first ones leaves and comes back as a new one; the other leaves. */
  membership: (random, scene): Fault => {
    const [leaver = 0] = drawNodes(random, scene, 1);
    const betweenMs = random.between(1_000, 4_000);
    return {
      drawn: { leaver, betweenMs },
      ends,
      async run(target) {
        const spare = scene.nodes;
        await target.cluster.start(spare);
        target.struck(`${named([spare])} joins`);
        await target.hold(betweenMs);
        await decommission(target, leaver);
        await target.cluster.start(leaver);
        target.struck(`${named([leaver])} joins`);
        await target.hold(betweenMs);
        await decommission(target, spare);
      },
    };
  },

  /** A decommissioning that is given up half-way. */
  recommission: (random, scene): Fault => {
    const [node = 0] = drawNodes(random, scene, 1);
    const forMs = random.between(300, 3_000);
    return {
      drawn: { node, forMs },
      ends,
      async run(target) {
        const spare = scene.nodes;
        await target.cluster.start(spare);
        const id = await nodeIdOf(target, node);
        await target.sql(`ALTER NODE ${id} DECOMMISSION`);
        target.struck(`${named([node])} is to leave`);
        await target.hold(forMs);
        await target.sql(`ALTER NODE ${id} RECOMMISSION`);
        await decommission(target, spare);
      },
    };
  },

  drain: (random, scene): Fault => {
    const [node = 0] = drawNodes(random, scene, 1);
    const forMs = random.between(1_000, 4_000);
    return {
      drawn: { node, forMs },
      async run(target) {
        await target.sql(`ALTER NODE ${await nodeIdOf(target, node)} DRAIN`);
        target.struck(`${named([node])} drained`);
        await target.hold(forMs);
        await target.cluster.end(node, 'SIGKILL');
        await target.cluster.start(node);
      },
    };
  },
} satisfies Record<string, FaultClass>;
