/** GRANT and REVOKE on objects: stored with the object. Enforcement is the business of whoever uses the object. */
import { type GrantStmt, type Node } from '@pgsql/types';
import { type Descriptor, type PrivilegeGrant } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type StatementResult } from '../session/types.ts';
import { done, findNamed, refuseSystemTable, type Ddl } from './context.ts';
import { relationsIn } from './drop.ts';
import { nameParts, strings } from './nodes.ts';
import { recordPrivilege } from './object-events.ts';
import { roleName } from './owners.ts';

const allPrivileges: Readonly<Record<Descriptor['kind'], readonly string[]>> = {
  table: ['insert', 'select', 'update', 'delete', 'truncate', 'references', 'trigger'],
  view: ['insert', 'select', 'update', 'delete', 'truncate', 'references', 'trigger'],
  sequence: ['select', 'update', 'usage'],
  schema: ['usage', 'create'],
  database: ['create', 'temporary', 'connect'],
};

export async function grant(ddl: Ddl, stmt: GrantStmt): Promise<StatementResult> {
  const isGrant = stmt.is_grant === true;
  const tag = isGrant ? 'GRANT' : 'REVOKE';
  const grantees = (stmt.grantees ?? []).flatMap((node) =>
    'RoleSpec' in node ? [roleName(ddl, node.RoleSpec, true)] : [],
  );
  for (const target of targets(ddl, stmt)) {
    const wanted = privilegesFor(target, stmt.privileges);
    let grants = [...(target.privileges ?? [])];
    for (const grantee of grantees) {
      for (const { privilege, column } of wanted) {
        const same = (entry: PrivilegeGrant): boolean =>
          entry.grantee === grantee && entry.privilege === privilege && entry.column === column;
        const before = grants.find(same);
        grants = grants.filter((entry) => !same(entry));
        if (isGrant || (stmt.grant_option === true && before !== undefined)) {
          grants.push({
            grantee,
            grantor: before?.grantor ?? ddl.context.eval.currentUser,
            privilege,
            grantOption: isGrant && (stmt.grant_option === true || before?.grantOption === true),
            ...(column === undefined ? {} : { column }),
          });
        }
      }
    }
    ddl.writer.replace({ ...target, privileges: grants }, { drain: false });
    const names = wanted.map(({ privilege, column }) =>
      column === undefined ? privilege.toUpperCase() : `${privilege.toUpperCase()} (${column})`,
    );
    for (const grantee of grantees) {
      recordPrivilege(ddl, target, {
        Grantee: grantee,
        [isGrant ? 'GrantedPrivileges' : 'RevokedPrivileges']: names,
        ...(stmt.grant_option === true ? { GrantOption: true } : {}),
      });
    }
  }
  return done(tag);
}

function targets(ddl: Ddl, stmt: GrantStmt): Descriptor[] {
  const { catalog } = ddl;
  const schemaOf = (name: string): Descriptor => {
    const { database } = catalog;
    const schema = database === undefined ? undefined : catalog.snapshot.schema(database.id, name);
    if (schema === undefined)
      throw sqlError('invalidSchemaName', `schema "${name}" does not exist`);
    return schema;
  };
  const objects = stmt.objects ?? [];
  if (stmt.targtype === 'ACL_TARGET_ALL_IN_SCHEMA') {
    const schemas = new Set(objects.map((node) => schemaOf(nameParts(node).at(-1) ?? '').id));
    return relationsIn(ddl, (relation) => {
      const isSequence = relation.kind === 'sequence';
      return schemas.has(relation.schemaId) && isSequence === (stmt.objtype === 'OBJECT_SEQUENCE');
    });
  }
  switch (stmt.objtype) {
    case 'OBJECT_TABLE':
    case 'OBJECT_SEQUENCE':
      return objects.flatMap((node) => {
        if (!('RangeVar' in node)) return [];
        const relation = findNamed(ddl, node.RangeVar);
        if (relation.kind === 'index') {
          throw sqlError('wrongObjectType', `"${node.RangeVar.relname ?? ''}" is an index`);
        }
        refuseSystemTable(relation);
        return [relation];
      });
    case 'OBJECT_SCHEMA':
      return objects.map((node) => schemaOf(nameParts(node).at(-1) ?? ''));
    case 'OBJECT_DATABASE':
      return objects.map((node) => {
        const name = nameParts(node).at(-1) ?? '';
        const database = catalog.snapshot.database(name);
        if (database === undefined)
          throw sqlError('invalidCatalogName', `database "${name}" does not exist`);
        return database;
      });
    default:
      throw sqlError(
        'featureNotSupported',
        `privileges on ${(stmt.objtype ?? '').replace('OBJECT_', '').toLowerCase()} are not supported`,
      );
  }
}

function privilegesFor(
  target: Descriptor,
  nodes: readonly Node[] | undefined,
): { readonly privilege: string; readonly column: string | undefined }[] {
  const all = allPrivileges[target.kind];
  if (nodes === undefined || nodes.length === 0) {
    return all.map((privilege) => ({ privilege, column: undefined }));
  }
  return nodes.flatMap((node) => {
    if (!('AccessPriv' in node)) return [];
    const { priv_name: name, cols } = node.AccessPriv;
    const columns = cols === undefined ? [undefined] : strings(cols);
    const names = name === undefined ? all : [name === 'temp' ? 'temporary' : name];
    return names.flatMap((privilege) => {
      if (!all.includes(privilege)) {
        throw sqlError(
          'syntaxError',
          `invalid privilege type ${privilege.toUpperCase()} for ${target.kind}`,
        );
      }
      return columns.map((column) => ({ privilege, column }));
    });
  });
}
