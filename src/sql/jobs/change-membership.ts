/** A change of what a node or a store is to the cluster, and the event that tells of it. */
import { membershipOf, type Db, type Member, type Membership } from '../../kv/index.ts';
import { type NodeEvents } from '../events/index.ts';

/** Does nothing where it is so already: a job may run again. Throws KvFailure where the change is not allowed. */
export async function changeMembership(
  { db, nodeEvents }: { readonly db: Db; readonly nodeEvents: NodeEvents },
  member: Member,
  to: Membership,
): Promise<void> {
  if (membershipOf(await db.memberships(), member) === to) return;
  await db.setMembership(member, to);
  nodeEvents.noteMembership(member, to);
}
