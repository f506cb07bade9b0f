/**
 * `NODE DECOMMISSION`, `STORE DECOMMISSION`: the replicas of a node or a store leave it, then it leaves the cluster. Which
 * ranges could not move was asked before (`ALTER NODE ... DECOMMISSION`); the moves themselves are the allocator's.
 * Cancelled, it is active again.
 */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { isPartOf, membershipOf, type Db, type Member } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { changeMembership } from './change-membership.ts';
import { type Job } from './job.ts';
import { memberOf, type MemberPayload } from './member-payload.ts';
import { type JobRun, type JobType } from './registry.ts';

export const decommissionTypes = {
  node: 'NODE DECOMMISSION',
  store: 'STORE DECOMMISSION',
} as const;

export type DecommissionPayload = MemberPayload & {
  /** Replicas on it when it was asked to leave. */
  readonly replicas: number;
};

const pollMs = 2_000;

export const decommission: JobType = {
  async run(run: JobRun): Promise<void> {
    const { job, env, db, check, progress } = run;
    // Written by `membership-statements.ts` alone.
    const { replicas } = job.payload as DecommissionPayload;
    const member = memberOf(job);
    await changeMembership(run, member, 'decommissioning');
    const startedMs = env.clock.monotonicMs();
    let first: number | undefined;
    for (;;) {
      check();
      const left = await replicasOn(db, member);
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
    await changeMembership(run, member, 'decommissioned');
  },
  async revert(run: JobRun): Promise<void> {
    const member = memberOf(run.job);
    const membership = membershipOf(await run.db.memberships(), member);
    if (membership !== 'decommissioned') await changeMembership(run, member, 'active');
  },
};

/** Replicas there, of whatever kind. */
export async function replicasOn(db: Db, member: Member): Promise<number> {
  const ranges = await db.rangeDescriptors(keyMin, keyMax);
  return ranges.filter(({ replicas }) => replicas.some((each) => isPartOf(each, member))).length;
}

export function isDecommissionOf(job: Job, member: Member): boolean {
  return job.type === decommissionTypes[member.kind] && memberOf(job).id === member.id;
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}
