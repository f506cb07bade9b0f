/** Roles as the catalog keeps them: rows of system.users and system.role_members. */
import { rootOid, rootUser } from './system-tables.ts';

export interface RoleOptions {
  readonly superuser: boolean;
  readonly login: boolean;
  readonly createDb: boolean;
  readonly createRole: boolean;
  readonly inherit: boolean;
  readonly replication: boolean;
  readonly bypassRls: boolean;
  /** -1 = no limit. */
  readonly connectionLimit: number;
  /** Timestamp text as given, or absent. */
  readonly validUntil?: string;
  /** ALTER ROLE ... SET: name -> value. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Role {
  readonly name: string;
  readonly oid: number;
  readonly options: RoleOptions;
  /** A SCRAM-SHA-256 verifier; null = no password. */
  readonly password: string | null;
}

export interface RoleMembership {
  readonly role: string;
  readonly member: string;
  readonly adminOption: boolean;
}

export const defaultRoleOptions: RoleOptions = {
  superuser: false,
  login: false,
  createDb: false,
  createRole: false,
  inherit: true,
  replication: false,
  bypassRls: false,
  connectionLimit: -1,
};

export const rootRole: Role = {
  name: rootUser,
  oid: rootOid,
  options: {
    superuser: true,
    login: true,
    createDb: true,
    createRole: true,
    inherit: true,
    replication: true,
    bypassRls: true,
    connectionLimit: -1,
  },
  password: null,
};
