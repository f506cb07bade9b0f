/** Changes of the record of memberships (`kv/membership.ts`). */
import {
  decodeMemberships,
  encodeMemberships,
  isPartOf,
  KvFailure,
  memberName,
  membershipOf,
  membershipsKey,
  nodeIdCounterKey,
  refusedStep,
  storeIdCounterKey,
  withMembership,
  type Db,
  type Member,
  type Membership,
  type Memberships,
  type Txn,
} from '../kv/index.ts';
import { keyMax, keyMin } from '../encoding/index.ts';
import { scanDescriptors } from './range-descriptors.ts';

const namedMax = 10;

export async function readMemberships(db: Db): Promise<Memberships> {
  return decodeMemberships(await db.readCurrent(membershipsKey));
}

/** One transaction; throws 'invalid-request' when the step is not allowed. */
export function changeMembership(db: Db, member: Member, to: Membership): Promise<void> {
  return db.run({ name: `${memberName(member)} is ${to}` }, async (txn) => {
    const memberships = decodeMemberships(await txn.get(membershipsKey, { lock: 'update' }));
    const from = membershipOf(memberships, member);
    const refusal =
      (await refuseUnknown(txn, member)) ??
      refusedStep(member, from, to) ??
      (to === 'decommissioned' ? await refuseReplicas(txn, member) : undefined);
    if (refusal !== undefined) throw new KvFailure({ kind: 'invalid-request', reason: refusal });
    if (from === to) return;
    txn.put(membershipsKey, encodeMemberships(withMembership(memberships, member, to)));
  });
}

async function refuseUnknown(txn: Txn, member: Member): Promise<string | undefined> {
  const counter = member.kind === 'node' ? nodeIdCounterKey : storeIdCounterKey;
  const last = (await txn.get(counter))?.readBigInt64BE() ?? 0n;
  const exists = member.id >= 1 && BigInt(member.id) <= last;
  return exists ? undefined : `${memberName(member)} does not exist`;
}

/** A replica that comes to the member meanwhile changes a descriptor that was read here: one of the two transactions starts anew. */
async function refuseReplicas(txn: Txn, member: Member): Promise<string | undefined> {
  const ranges = await scanDescriptors(txn, keyMin, keyMax);
  const held = ranges.filter(({ replicas }) => replicas.some((each) => isPartOf(each, member)));
  if (held.length === 0) return undefined;
  const named = held.slice(0, namedMax).map(({ rangeId }) => `r${rangeId}`);
  const more = held.length > namedMax ? ', ...' : '';
  return `${memberName(member)} holds replicas of ${held.length} ranges: ${named.join(', ')}${more}`;
}
