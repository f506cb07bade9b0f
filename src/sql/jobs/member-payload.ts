/** Whom a job about a node or a store is about, in its payload. */
import { asMember, type Member } from '../../kv/index.ts';
import { type Job } from './job.ts';

/** Of a store, `storeId` is there; `nodeId` is its node then. */
export interface MemberPayload {
  readonly nodeId: number;
  readonly storeId?: number;
}

export function memberOf({ payload }: Pick<Job, 'payload'>): Member {
  // Written by `membership-statements.ts` alone.
  const { nodeId, storeId } = payload as MemberPayload;
  return storeId === undefined ? asMember('node', nodeId) : asMember('store', storeId);
}
