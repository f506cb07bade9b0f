/** Who may do what: superusers and owners everything, others what was granted to them, to their roles or to public. */
import { type Descriptor } from './descriptors.ts';
import { type CatalogSnapshot } from './snapshot.ts';

/** The role and everything it belongs to. */
export function rolesOf({ data }: CatalogSnapshot, user: string): Set<string> {
  const roles = new Set([user]);
  for (const name of roles) {
    for (const entry of data.memberships) if (entry.member === name) roles.add(entry.role);
  }
  return roles;
}

export function isSuperuser({ data }: CatalogSnapshot, user: string): boolean {
  return data.roles.get(user)?.options.superuser === true;
}

/** SET ROLE: as one of its own roles, a superuser as any. False for a role that does not exist. */
export function mayActAs(snapshot: CatalogSnapshot, user: string, role: string): boolean {
  if (!snapshot.data.roles.has(role)) return false;
  return isSuperuser(snapshot, user) || rolesOf(snapshot, user).has(role);
}

/** By ownership or a grant. `privilege`: its SQL name in lower case. */
export function holdsPrivilege(
  snapshot: CatalogSnapshot,
  user: string,
  target: Pick<Descriptor, 'owner' | 'privileges'>,
  privilege: string,
): boolean {
  if (isSuperuser(snapshot, user)) return true;
  const roles = rolesOf(snapshot, user);
  if (roles.has(target.owner)) return true;
  return (target.privileges ?? []).some(
    (grant) =>
      grant.privilege === privilege && (grant.grantee === 'public' || roles.has(grant.grantee)),
  );
}
