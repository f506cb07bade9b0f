/**
 * `NODE DECOMMISSION`: the replicas of a node leave it, then it leaves the cluster. Which ranges could not move was asked
 * before (`ALTER NODE ... DECOMMISSION`); the moves themselves are the allocator's. Cancelled, the node is active again.
 */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { asNodeId, type Db, type NodeId } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { type Job } from './job.ts';
import { type JobRun, type JobType } from './registry.ts';

export const nodeDecommissionType = 'NODE DECOMMISSION';

export interface NodeDecommissionPayload {
  readonly nodeId: number;
  /** Replicas on it when it was asked to leave. */
  readonly replicas: number;
}

const pollMs = 2_000;

export const nodeDecommission: JobType = {
  async run({ job, env, db, check, progress }: JobRun): Promise<void> {
    const { nodeId, replicas } = payloadOf(job);
    await db.setNodeMembership(nodeId, 'decommissioning');
    const startedMs = env.clock.monotonicMs();
    let first: number | undefined;
    for (;;) {
      check();
      const left = await replicasOn(db, nodeId);
      if (left === 0) break;
      first ??= left;
      const elapsedMs = env.clock.monotonicMs() - startedMs;
      const etaMs = first > left ? (elapsedMs / (first - left)) * left : undefined;
      await progress({
        fraction: Math.max(0, 1 - left / Math.max(replicas, first)),
        runningStatus: `replicas left: ${left}${etaMs === undefined ? '' : `, about ${duration(etaMs)}`}`,
      });
      await sleep(env, pollMs);
    }
    await db.setNodeMembership(nodeId, 'decommissioned');
  },
  async revert({ job, db }: JobRun): Promise<void> {
    const { nodeId } = payloadOf(job);
    const memberships = await db.nodeMemberships();
    if (memberships.get(nodeId) !== 'decommissioned') await db.setNodeMembership(nodeId, 'active');
  },
};

/** Replicas on the node, of whatever kind. */
export async function replicasOn(db: Db, nodeId: NodeId): Promise<number> {
  const ranges = await db.rangeDescriptors(keyMin, keyMax);
  return ranges.filter(({ replicas }) => replicas.some((each) => each.nodeId === nodeId)).length;
}

export function isDecommissionOf(job: Job, nodeId: NodeId): boolean {
  return job.type === nodeDecommissionType && payloadOf(job).nodeId === nodeId;
}

function payloadOf({ payload }: Job): { readonly nodeId: NodeId; readonly replicas: number } {
  // Written by `nodes.ts` alone.
  const { nodeId, replicas } = payload as NodeDecommissionPayload;
  return { nodeId: asNodeId(nodeId), replicas };
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}
