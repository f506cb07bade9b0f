/**
 * `NODE DRAIN`: a node hands over everything that its stop would interrupt. It stays drained until it is started again.
 * `STORE DRAIN`: a store hands over its leases and takes none, until its node is started again or it is recommissioned:
 * then the job, if it is still under way, is cancelled, and the store takes leases again.
 */
import {
  asNodeId,
  asStoreId,
  KvFailure,
  memberName,
  type Member,
  type NodeControl,
} from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { type Job } from './job.ts';
import { memberOf, type MemberPayload } from './member-payload.ts';
import { type JobRun, type JobType } from './registry.ts';

export const drainTypes = { node: 'NODE DRAIN', store: 'STORE DRAIN' } as const;

const pollMs = 500;
/** As long as CockroachDB's --drain-wait. */
const waitMs = 600_000;

export const nodeDrain: JobType = { run: drain };

export const storeDrain: JobType = {
  run: drain,
  /** Until the store's node answers: it goes on without leases otherwise. */
  async revert({ job, env, control, check, progress }: JobRun): Promise<void> {
    // Written by `membership-statements.ts` alone.
    const { nodeId, storeId = 0 } = job.payload as MemberPayload;
    for (;;) {
      check();
      try {
        await control.undrainStore(asNodeId(nodeId), asStoreId(storeId));
        return;
      } catch (error) {
        if (!(error instanceof KvFailure)) throw error;
        // The store does not run any more, and has forgotten that it was drained.
        if (error.kvError.kind !== 'unavailable') return;
        await progress({ fraction: 0, runningStatus: `waits for node ${nodeId}` });
      }
      await sleep(env, pollMs);
    }
  },
};

/** Of a node there is none that could be cancelled. */
export function isStoreDrainOf(job: Job, member: Member): boolean {
  const isOfStore = job.type === drainTypes.store && member.kind === 'store';
  return isOfStore && memberOf(job).id === member.id;
}

async function drain({ job, env, control, check, progress }: JobRun): Promise<void> {
  const deadlineMs = env.clock.monotonicMs() + waitMs;
  let most = 1;
  for (;;) {
    check();
    const leases = await asFinal(leasesLeft(control, job));
    if (leases === 0) return;
    if (env.clock.monotonicMs() > deadlineMs) {
      throw new Error(`drain timeout: ${memberName(memberOf(job))} still holds ${leases} leases`);
    }
    most = Math.max(most, leases);
    await progress({ fraction: 1 - leases / most, runningStatus: `remaining: ${leases}` });
    await sleep(env, pollMs);
  }
}

async function leasesLeft(control: NodeControl, { payload }: Job): Promise<number> {
  // Written by `membership-statements.ts` alone.
  const { nodeId, storeId } = payload as MemberPayload;
  return storeId === undefined
    ? (await control.drain(asNodeId(nodeId))).leases
    : control.drainStore(asNodeId(nodeId), asStoreId(storeId));
}

/** What is not there cannot be drained: no reason to try again. */
async function asFinal(leases: Promise<number>): Promise<number> {
  try {
    return await leases;
  } catch (error) {
    if (!(error instanceof KvFailure)) throw error;
    throw new Error(error.message, { cause: error });
  }
}
