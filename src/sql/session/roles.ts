/**
 * As whom a session acts: SET ROLE, SET SESSION AUTHORIZATION, and the role that a login brings. Asked is whether the user who has
 * logged in may, whoever it acts as now; and only then: what is taken away later does not end what was allowed.
 */
import { isSuperuser, mayActAs } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type Session } from './session.ts';

/** Throws 22023 for a role that does not exist, 42501 for one that the session's user may not act as. */
export function checkRole({ catalog, identity }: Session, name: string): void {
  if (!catalog.snapshot.data.roles.has(name)) {
    throw sqlError('invalidParameterValue', `role "${name}" does not exist`);
  }
  if (!mayActAs(catalog.snapshot, identity.sessionUser, name)) {
    throw sqlError('insufficientPrivilege', `permission denied to set role "${name}"`);
  }
}

/** `value` undefined: back to the one that the login brought. */
export function setSessionAuthorization(
  session: Session,
  value: string | undefined,
  isLocal: boolean,
): void {
  const { catalog, identity, settings } = session;
  if (value === identity.sessionUser) {
    settings.set('role', 'none', isLocal);
    return;
  }
  if (value !== undefined && !isSuperuser(catalog.snapshot, identity.sessionUser)) {
    throw sqlError(
      'insufficientPrivilege',
      `permission denied to set session authorization "${value}"`,
    );
  }
  settings.set('role', value, isLocal);
}

/** Settings of the database or the role. A role that may not be is left out: PostgreSQL warns, and goes on without it. */
export function applyLoginDefaults(
  session: Session,
  defaults: Readonly<Record<string, string>>,
  given: ReadonlySet<string>,
): void {
  const { catalog, identity, settings } = session;
  for (const [name, value] of Object.entries(defaults)) {
    const lower = name.toLowerCase();
    if (given.has(lower)) continue;
    if (lower === 'role' && value !== 'none') {
      if (!mayActAs(catalog.snapshot, identity.sessionUser, value)) continue;
    }
    settings.setDefault(name, value);
  }
}
