/** ALTER DATABASE ... SET and ALTER ROLE ... SET: session variables that new sessions start with. */
import {
  type AlterDatabaseSetStmt,
  type AlterRoleSetStmt,
  type VariableSetStmt,
} from '@pgsql/types';
import { type DatabaseDescriptor } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { settingText } from '../session/set-values.ts';
import { tooLateFor } from '../session/isolation.ts';
import { checkedSetting, unrecognizedSetting } from '../session/setting-values.ts';
import { type StatementResult } from '../session/types.ts';
import { done, type Ddl } from './context.ts';
import { recordObject } from './object-events.ts';
import { roleName } from './owners.ts';
import { requireAdmin } from './roles.ts';

type Defaults = Readonly<Record<string, string>>;

/** Settings of one transaction that its first query settles: they are no defaults, as PostgreSQL has it. */
const settledModes: Readonly<Record<string, string>> = {
  transaction_isolation: 'ISOLATION LEVEL',
  transaction_deferrable: '[NOT] DEFERRABLE',
};

/** Throws 42704, 22023, 55P02 and 25001 as SET does: a session must be able to start with them. */
function changed(
  ddl: Ddl,
  defaults: Defaults | undefined,
  node: VariableSetStmt | undefined,
): Defaults {
  const name = (node?.name ?? '').toLowerCase();
  if (node?.kind === 'VAR_RESET_ALL') return {};
  const { [name]: _before, ...others } = defaults ?? {};
  const current = ddl.context.eval.setting(name);
  const value = wantedValue(name, node, current);
  if (value === undefined) return others;
  const canonical = checkedSetting(name, value);
  const mode = settledModes[name];
  if (mode !== undefined && canonical !== current) throw tooLateFor(mode);
  return { ...others, [name]: value };
}

/** Undefined: none any more. */
function wantedValue(
  name: string,
  node: VariableSetStmt | undefined,
  current: string | undefined,
): string | undefined {
  switch (node?.kind) {
    case 'VAR_SET_VALUE':
      return settingText(name, node.args ?? []);
    case 'VAR_SET_CURRENT':
      if (current === undefined) throw unrecognizedSetting(name);
      return current;
    default:
      return undefined;
  }
}

export async function alterRoleSet(ddl: Ddl, stmt: AlterRoleSetStmt): Promise<StatementResult> {
  const { database, role: spec, setstmt } = stmt;
  if (spec === undefined && database !== undefined) {
    return changeDatabase(ddl, database, setstmt, 'ALTER ROLE');
  }
  if (spec === undefined || database !== undefined) {
    throw sqlError(
      'featureNotSupported',
      'settings for all roles, or for a role in one database, are not supported',
      {
        hint: 'ALTER DATABASE ... SET is for all roles in a database, ALTER ROLE ... SET for a role in all.',
      },
    );
  }
  const name = roleName(ddl, spec);
  if (name !== ddl.context.eval.currentUser) requireAdmin(ddl, 'alter role');
  const role = ddl.catalog.snapshot.data.roles.get(name);
  if (role === undefined) throw sqlError('undefinedObject', `role "${name}" does not exist`);
  const settings = changed(ddl, role.options.settings, setstmt);
  ddl.writer.putRole({ ...role, options: { ...role.options, settings } });
  ddl.context.events.record('alter_role', 0, { RoleName: name, SetInfo: [setstmt?.name ?? ''] });
  return done('ALTER ROLE');
}

export function alterDatabaseSet(ddl: Ddl, stmt: AlterDatabaseSetStmt): StatementResult {
  return changeDatabase(ddl, stmt.dbname ?? '', stmt.setstmt, 'ALTER DATABASE');
}

function changeDatabase(
  ddl: Ddl,
  name: string,
  node: VariableSetStmt | undefined,
  tag: string,
): StatementResult {
  const database = ddl.catalog.snapshot.database(name);
  if (database === undefined) {
    throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
  }
  if (database.owner !== ddl.context.eval.currentUser) requireAdmin(ddl, 'alter database');
  const { settings: before, ...others } = database;
  const settings = changed(ddl, before, node);
  const next: DatabaseDescriptor =
    Object.keys(settings).length === 0 ? others : { ...others, settings };
  ddl.writer.replace(next, { drain: false });
  recordObject(ddl, 'alter', database);
  return done(tag);
}
