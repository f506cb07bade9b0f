/** Disks fail: the node ends with a sentence and is started again when the disk works. */
import {
  type Fault,
  type FaultClass,
  type Target,
  drawDuration,
  drawNodes,
  named,
} from './fault.ts';

/** The node notices by itself; one that had nothing to write is killed in the end. */
async function restartAfter(target: Target, node: number, forMs: number): Promise<void> {
  await target.hold(forMs);
  await target.cluster.end(node, 'SIGKILL');
  await target.cluster.start(node);
}

export const disks = {
  /** Writes end half-way, as they do where the volume is full: the log of raft, a table of LevelDB, whatever grows first. */
  'disk-full': (random, scene): Fault => {
    const [node = 0] = drawNodes(random, scene, 1);
    const fileBytes = random.pick([30_000, 300_000, 1_200_000]);
    const forMs = drawDuration(random);
    return {
      drawn: { node, fileBytes, forMs },
      ends: /EFBIG|File too large/,
      async run(target) {
        await target.cluster.limitFiles(node, fileBytes);
        target.struck(`no file of ${named([node])} grows beyond ${fileBytes} bytes`);
        await restartAfter(target, node, forMs);
      },
    };
  },

  'fsync-failure': (random, scene): Fault => {
    const [node = 0] = drawNodes(random, scene, 1);
    const forMs = drawDuration(random);
    return {
      drawn: { node, forMs },
      ends: /EIO/,
      async run(target) {
        target.cluster.order(node, { kind: 'fsync', fails: true });
        target.struck(`${named([node])} cannot sync`);
        await restartAfter(target, node, forMs);
      },
    };
  },
} satisfies Record<string, FaultClass>;
