/** Owners of objects, and roles as statements name them. */
import { type RoleSpec } from '@pgsql/types';
import { type Descriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type Ddl } from './context.ts';
import { recordOwner } from './object-events.ts';

/** The role's name. `public` is allowed only where the caller says so. Throws 42704. */
export function roleName(ddl: Ddl, spec: RoleSpec | undefined, allowPublic = false): string {
  const { eval: session } = ddl.context;
  switch (spec?.roletype) {
    case 'ROLESPEC_CURRENT_ROLE':
    case 'ROLESPEC_CURRENT_USER':
      return session.currentUser;
    case 'ROLESPEC_SESSION_USER':
      return session.sessionUser;
    case 'ROLESPEC_PUBLIC':
      if (allowPublic) return 'public';
      throw sqlError('undefinedObject', 'role "public" does not exist');
    default: {
      const name = spec?.rolename ?? '';
      if (ddl.catalog.snapshot.data.roles.has(name)) return name;
      throw sqlError('undefinedObject', `role "${name}" does not exist`);
    }
  }
}

export function changeOwner(ddl: Ddl, descriptor: Descriptor, spec: RoleSpec | undefined): void {
  const owner = roleName(ddl, spec);
  ddl.writer.replace({ ...descriptor, owner }, { drain: false });
  recordOwner(ddl, descriptor, owner);
}
