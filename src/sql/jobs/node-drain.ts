/** `NODE DRAIN`: a node hands over everything that its stop would interrupt. It stays drained until it is started again. */
import { asNodeId } from '../../kv/index.ts';
import { sleep } from '../../util/index.ts';
import { type JobRun, type JobType } from './registry.ts';

export const nodeDrainType = 'NODE DRAIN';

export interface NodeDrainPayload {
  readonly nodeId: number;
}

const pollMs = 500;
/** As long as CockroachDB's --drain-wait. */
const waitMs = 600_000;

export const nodeDrain: JobType = {
  async run({ job, env, control, check, progress }: JobRun): Promise<void> {
    // Written by `nodes.ts` alone.
    const nodeId = asNodeId((job.payload as NodeDrainPayload).nodeId);
    const deadlineMs = env.clock.monotonicMs() + waitMs;
    let most = 1;
    for (;;) {
      check();
      const { leases } = await control.drain(nodeId);
      if (leases === 0) return;
      if (env.clock.monotonicMs() > deadlineMs) {
        throw new Error(`drain timeout: node ${nodeId} still holds ${leases} leases`);
      }
      most = Math.max(most, leases);
      await progress({ fraction: 1 - leases / most, runningStatus: `remaining: ${leases}` });
      await sleep(env, pollMs);
    }
  },
};
