/** CREATE, ALTER and DROP ROLE, membership in roles. */
import {
  type AlterRoleStmt,
  type CreateRoleStmt,
  type DropRoleStmt,
  type GrantRoleStmt,
  type Node,
  type RoleSpec,
} from '@pgsql/types';
import {
  changePreparedOwner,
  defaultRoleOptions,
  rootUser,
  type Role,
  type RoleOptions,
} from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, type Ddl } from './context.ts';
import { defBool, defText } from './nodes.ts';
import { roleName } from './owners.ts';
import { passwordVerifier, saltBytes } from './passwords.ts';

const flags: Readonly<Record<string, keyof RoleOptions>> = {
  superuser: 'superuser',
  inherit: 'inherit',
  createrole: 'createRole',
  createdb: 'createDb',
  canlogin: 'login',
  isreplication: 'replication',
  bypassrls: 'bypassRls',
};

interface Memberships {
  /** Roles this one becomes a member of. */
  readonly of: readonly string[];
  readonly members: readonly string[];
  readonly admins: readonly string[];
}

function applyRoleOptions(
  ddl: Ddl,
  role: Role,
  nodes: readonly Node[] | undefined,
): { readonly role: Role; readonly memberships: Memberships } {
  let options: RoleOptions = role.options;
  let { password } = role;
  const memberships = { of: [] as string[], members: [] as string[], admins: [] as string[] };
  const roles = (arg: Node | undefined): string[] =>
    arg !== undefined && 'List' in arg
      ? (arg.List.items ?? []).flatMap((item) =>
          'RoleSpec' in item ? [roleName(ddl, item.RoleSpec)] : [],
        )
      : [];
  for (const node of nodes ?? []) {
    if (!('DefElem' in node)) continue;
    const { defname = '', arg } = node.DefElem;
    const flag = flags[defname];
    if (flag !== undefined) options = { ...options, [flag]: defBool(arg) };
    else if (defname === 'connectionlimit')
      options = { ...options, connectionLimit: Number(defText(arg)) };
    else if (defname === 'validUntil') {
      const text = defText(arg);
      options = text === undefined ? options : { ...options, validUntil: text };
    } else if (defname === 'password') password = storedPassword(ddl, defText(arg));
    else if (defname === 'addroleto') memberships.of.push(...roles(arg));
    else if (defname === 'rolemembers') memberships.members.push(...roles(arg));
    else if (defname === 'adminmembers') memberships.admins.push(...roles(arg));
    else if (defname !== 'sysid')
      throw sqlError('syntaxError', `option "${defname}" not recognized`);
  }
  return { role: { ...role, options, password }, memberships };
}

/** NULL or an empty password: no password. */
function storedPassword(ddl: Ddl, text: string | undefined): string | null {
  if (text === undefined || text === '') return null;
  return passwordVerifier(text, ddl.context.env.random.bytes(saltBytes));
}

export function requireAdmin(ddl: Ddl, what: string): void {
  const user = ddl.catalog.snapshot.data.roles.get(ddl.context.eval.currentUser);
  if (user?.options.superuser === true || user?.options.createRole === true) return;
  throw sqlError('insufficientPrivilege', `permission denied to ${what}`);
}

export async function createRole(ddl: Ddl, stmt: CreateRoleStmt): Promise<StatementResult> {
  requireAdmin(ddl, 'create role');
  const name = stmt.role ?? '';
  if (name.startsWith('pg_') || name === 'public' || name === 'none') {
    throw sqlError('reservedName', `role name "${name}" is reserved`);
  }
  if (ddl.catalog.snapshot.data.roles.has(name)) {
    throw sqlError('duplicateObject', `role "${name}" already exists`);
  }
  const login = stmt.stmt_type === 'ROLESTMT_USER';
  const blank: Role = {
    name,
    oid: await ddl.writer.newId(),
    options: { ...defaultRoleOptions, login },
    password: null,
  };
  const { role, memberships } = applyRoleOptions(ddl, blank, stmt.options);
  ddl.writer.putRole(role);
  join(ddl, name, memberships);
  recordRole(ddl, 'create', name, stmt.options);
  return done('CREATE ROLE');
}

/** Names of options, never their values: one may be a password. */
function recordRole(
  ddl: Ddl,
  verb: 'create' | 'alter' | 'drop',
  name: string,
  nodes: readonly Node[] = [],
): void {
  const options = nodes.flatMap((node) =>
    'DefElem' in node ? [(node.DefElem.defname ?? '').toUpperCase()] : [],
  );
  ddl.context.events.record(`${verb}_role`, 0, {
    RoleName: name,
    ...(options.length === 0 ? {} : { Options: options }),
  });
}

function join(ddl: Ddl, name: string, memberships: Memberships): void {
  for (const role of memberships.of) addMember(ddl, role, name, false);
  for (const member of memberships.members) addMember(ddl, name, member, false);
  for (const member of memberships.admins) addMember(ddl, name, member, true);
}

function addMember(ddl: Ddl, role: string, member: string, adminOption: boolean): void {
  if (role === member || isMember(ddl, role, member)) {
    throw sqlError('invalidObjectDefinition', `role "${role}" is a member of role "${member}"`);
  }
  ddl.writer.putMembership({ role, member, adminOption });
}

/** True when `member` belongs to `role`, directly or through others. */
export function isMember(ddl: Ddl, member: string, role: string): boolean {
  const { memberships } = ddl.catalog.snapshot.data;
  const seen = new Set<string>();
  const search = (name: string): boolean => {
    if (seen.has(name)) return false;
    seen.add(name);
    return memberships.some(
      (entry) => entry.member === name && (entry.role === role || search(entry.role)),
    );
  };
  return search(member);
}

export async function alterRole(ddl: Ddl, stmt: AlterRoleStmt): Promise<StatementResult> {
  const name = roleName(ddl, stmt.role);
  if (name !== ddl.context.eval.currentUser) requireAdmin(ddl, 'alter role');
  const old = ddl.catalog.snapshot.data.roles.get(name);
  if (old === undefined) throw sqlError('undefinedObject', `role "${name}" does not exist`);
  const { role, memberships } = applyRoleOptions(ddl, old, stmt.options);
  ddl.writer.putRole(role);
  if (stmt.action === -1) {
    for (const member of memberships.members) {
      ddl.writer.removeMembership({ role: name, member, adminOption: false });
    }
  } else join(ddl, name, memberships);
  recordRole(ddl, 'alter', name, stmt.options);
  return done('ALTER ROLE');
}

export async function dropRole(ddl: Ddl, stmt: DropRoleStmt): Promise<StatementResult> {
  requireAdmin(ddl, 'drop role');
  const { catalog, context, writer } = ddl;
  for (const node of stmt.roles ?? []) {
    if (!('RoleSpec' in node)) continue;
    const spec: RoleSpec = node.RoleSpec;
    const name = spec.rolename ?? roleName(ddl, spec);
    if (!catalog.snapshot.data.roles.has(name)) {
      if (stmt.missing_ok !== true)
        throw sqlError('undefinedObject', `role "${name}" does not exist`);
      context.notice('NOTICE', '00000', `role "${name}" does not exist, skipping`);
      continue;
    }
    if (name === context.eval.currentUser)
      throw sqlError('objectInUse', 'current user cannot be dropped');
    if (name === rootUser) {
      throw sqlError(
        'dependentObjectsStillExist',
        `cannot drop role ${name} because it is required by the database system`,
      );
    }
    const owned = [...catalog.snapshot.data.descriptors.values()].find(
      (descriptor) => descriptor.owner === name,
    );
    if (owned !== undefined) {
      throw sqlError(
        'dependentObjectsStillExist',
        `role "${name}" cannot be dropped because some objects depend on it`,
        { detail: `owner of ${owned.kind} ${owned.name}` },
      );
    }
    const granted = [...catalog.snapshot.data.descriptors.values()].find((descriptor) =>
      (descriptor.privileges ?? []).some(({ grantee }) => grantee === name),
    );
    if (granted !== undefined) {
      throw sqlError(
        'dependentObjectsStillExist',
        `role "${name}" cannot be dropped because some objects depend on it`,
        { detail: `privileges for ${granted.kind} ${granted.name}` },
      );
    }
    for (const entry of catalog.snapshot.data.memberships) {
      if (entry.role === name || entry.member === name) writer.removeMembership(entry);
    }
    await changePreparedOwner(context.txn, name, '');
    writer.removeRole(name);
    recordRole(ddl, 'drop', name);
  }
  return done('DROP ROLE');
}

export async function grantRole(ddl: Ddl, stmt: GrantRoleStmt): Promise<StatementResult> {
  requireAdmin(ddl, 'grant role');
  const roles = (stmt.granted_roles ?? []).map((node) => {
    const name = 'AccessPriv' in node ? (node.AccessPriv.priv_name ?? '') : '';
    return roleName(ddl, { roletype: 'ROLESPEC_CSTRING', rolename: name });
  });
  const members = (stmt.grantee_roles ?? []).flatMap((node) =>
    'RoleSpec' in node ? [roleName(ddl, node.RoleSpec)] : [],
  );
  const adminOption = (stmt.opt ?? []).some(
    (node) => 'DefElem' in node && node.DefElem.defname === 'admin' && defBool(node.DefElem.arg),
  );
  for (const role of roles) {
    for (const member of members) {
      if (stmt.is_grant === true) addMember(ddl, role, member, adminOption);
      else if (adminOption) ddl.writer.putMembership({ role, member, adminOption: false });
      else ddl.writer.removeMembership({ role, member, adminOption: false });
    }
  }
  ddl.context.events.record(stmt.is_grant === true ? 'grant_role' : 'revoke_role', 0, {
    GranteeRoles: roles,
    Members: members,
    ...(adminOption ? { AdminOption: true } : {}),
  });
  return done(stmt.is_grant === true ? 'GRANT ROLE' : 'REVOKE ROLE');
}
