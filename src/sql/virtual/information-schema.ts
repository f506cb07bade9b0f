/** information_schema (SQL standard part 11, as PostgreSQL chapter 37 shapes it). */
import {
  isImplicitKey,
  type ColumnDescriptor,
  type IndexDescriptor,
  type TableDescriptor,
  type VirtualTable,
} from '../catalog/index.ts';
import { allFunctions } from '../functions/index.ts';
import {
  charLength,
  formatType,
  numericModifier,
  oids,
  typeOf,
  type Datum,
} from '../types/index.ts';
import { standardTable, type Record_, type Source } from './build.ts';

const yes = (value: boolean): string => (value ? 'YES' : 'NO');

const integerBits = new Map<number, number>([
  [oids.int2, 16],
  [oids.int4, 32],
  [oids.int8, 64],
]);

function typeRecord(typeOid: number, typmod: number): Record_ {
  const type = typeOf(typeOid);
  const isArray = type.category === 'A' && type.length === -1;
  const record: Record<string, Datum> = {
    data_type: isArray ? 'ARRAY' : formatType(typeOid, -1).replace(/\(.*\)/, ''),
    udt_schema: 'pg_catalog',
    udt_name: type.name,
    dtd_identifier: null,
  };
  if (typeOid === oids.varchar || typeOid === oids.bpchar) {
    const length = charLength(typmod) ?? null;
    record['character_maximum_length'] = length;
    record['character_octet_length'] = length === null ? 1_073_741_824 : length * 4;
  } else if (typeOid === oids.text) record['character_octet_length'] = 1_073_741_824;
  const bits = integerBits.get(typeOid);
  if (bits !== undefined) {
    record['numeric_precision'] = bits;
    record['numeric_precision_radix'] = 2;
    record['numeric_scale'] = 0;
  } else if (typeOid === oids.float4 || typeOid === oids.float8) {
    record['numeric_precision'] = typeOid === oids.float4 ? 24 : 53;
    record['numeric_precision_radix'] = 2;
  } else if (typeOid === oids.numeric) {
    const modifier = numericModifier(typmod);
    record['numeric_precision'] = modifier?.precision ?? null;
    record['numeric_precision_radix'] = 10;
    record['numeric_scale'] = modifier?.scale ?? null;
  } else if (type.category === 'D' || type.category === 'T') {
    record['datetime_precision'] =
      typeOid === oids.date ? 0 : typmod >= 0 && typeOid !== oids.interval ? typmod : 6;
  }
  return record;
}

interface Place {
  readonly database: string;
  readonly schemaOf: (schemaId: number) => string;
}

function placeOf(s: Source): Place {
  return { database: s.catalog.databaseName, schemaOf: (id) => s.snapshot.schemaName(id) };
}

function columnRow(
  place: Place,
  table: TableDescriptor,
  column: ColumnDescriptor,
  at: number,
): Record_ {
  return {
    table_catalog: place.database,
    table_schema: place.schemaOf(table.schemaId),
    table_name: table.name,
    column_name: column.name,
    ordinal_position: at + 1,
    column_default:
      column.identity === undefined && column.generatedSql === undefined
        ? (column.defaultSql ?? null)
        : null,
    is_nullable: yes(column.nullable),
    ...typeRecord(column.typeOid, column.typmod),
    udt_catalog: place.database,
    dtd_identifier: String(at + 1),
    is_self_referencing: 'NO',
    is_identity: yes(column.identity !== undefined),
    identity_generation:
      column.identity === undefined ? null : column.identity === 'always' ? 'ALWAYS' : 'BY DEFAULT',
    identity_cycle: 'NO',
    is_generated: column.generatedSql === undefined ? 'NEVER' : 'ALWAYS',
    generation_expression: column.generatedSql ?? null,
    is_updatable: 'YES',
  };
}

interface Key {
  readonly name: string;
  readonly kind: 'PRIMARY KEY' | 'UNIQUE' | 'FOREIGN KEY';
  readonly table: TableDescriptor;
  readonly columnIds: readonly number[];
  readonly referenced?: {
    readonly table: TableDescriptor;
    readonly columnIds: readonly number[];
    readonly index: IndexDescriptor | undefined;
  };
  readonly rules?: { readonly onUpdate: string; readonly onDelete: string; readonly match: string };
}

function keysOf(s: Source): Key[] {
  const keys: Key[] = [];
  for (const table of s.snapshot.contents(s.databaseId).tables) {
    for (const index of [table.primaryIndex, ...table.indexes]) {
      const isPrimary = index.id === table.primaryIndex.id;
      if (!index.isConstraint || (isPrimary && isImplicitKey(table))) continue;
      keys.push({
        name: index.name,
        kind: isPrimary ? 'PRIMARY KEY' : 'UNIQUE',
        table,
        columnIds: index.columns.map(({ columnId }) => columnId),
      });
    }
    for (const key of table.foreignKeys) {
      const referenced = s.snapshot.tableById(key.referencedTableId);
      if (referenced === undefined) continue;
      const index = [referenced.primaryIndex, ...referenced.indexes].find(
        (candidate) =>
          candidate.unique &&
          candidate.columns.length === key.referencedColumnIds.length &&
          candidate.columns.every(({ columnId }) => key.referencedColumnIds.includes(columnId)),
      );
      keys.push({
        name: key.name,
        kind: 'FOREIGN KEY',
        table,
        columnIds: key.columnIds,
        referenced: { table: referenced, columnIds: key.referencedColumnIds, index },
        rules: {
          onUpdate: key.onUpdate.toUpperCase(),
          onDelete: key.onDelete.toUpperCase(),
          match: key.match === 'full' ? 'FULL' : 'NONE',
        },
      });
    }
  }
  return keys;
}

const columnName = (table: TableDescriptor, id: number): string =>
  table.columns.find((column) => column.id === id)?.name ?? '?';

const cached = { cached: true } as const;

export function informationSchemaTables(all: () => readonly VirtualTable[]): VirtualTable[] {
  const table = (
    name: string,
    make: Parameters<typeof standardTable>[1],
    options = {},
  ): VirtualTable => standardTable(`information_schema.${name}`, make, options);
  const constraintPlace = (s: Source, owner: TableDescriptor, name: string): Record_ => ({
    constraint_catalog: s.catalog.databaseName,
    constraint_schema: s.snapshot.schemaName(owner.schemaId),
    constraint_name: name,
  });
  const tablePlace = (s: Source, owner: TableDescriptor): Record_ => ({
    table_catalog: s.catalog.databaseName,
    table_schema: s.snapshot.schemaName(owner.schemaId),
    table_name: owner.name,
  });
  return [
    table('information_schema_catalog_name', (s) => [{ catalog_name: s.catalog.databaseName }]),
    table(
      'schemata',
      (s) => [
        ...s.snapshot.contents(s.databaseId).schemas.map(({ name, owner }) => ({
          catalog_name: s.catalog.databaseName,
          schema_name: name,
          schema_owner: owner,
        })),
        ...s.catalog.virtual.names.map((name) => ({
          catalog_name: s.catalog.databaseName,
          schema_name: name,
          schema_owner: 'root',
        })),
      ],
      cached,
    ),
    table(
      'tables',
      (s) => {
        const place = placeOf(s);
        const row = (schema: string, name: string, kind: string): Record_ => ({
          table_catalog: place.database,
          table_schema: schema,
          table_name: name,
          table_type: kind,
          is_insertable_into: yes(kind === 'BASE TABLE'),
          is_typed: 'NO',
        });
        const contents = s.snapshot.contents(s.databaseId);
        return [
          ...contents.tables.map((item) =>
            row(place.schemaOf(item.schemaId), item.name, 'BASE TABLE'),
          ),
          ...contents.views.map((item) => row(place.schemaOf(item.schemaId), item.name, 'VIEW')),
          ...all().map((item) =>
            row(item.schema, item.name, item.schema === 'pg_catalog' ? 'BASE TABLE' : 'VIEW'),
          ),
        ];
      },
      { ...cached, indexed: ['table_name', 'table_schema'] },
    ),
    table(
      'columns',
      (s) => {
        const place = placeOf(s);
        const rows: Record_[] = [];
        const contents = s.snapshot.contents(s.databaseId);
        for (const item of contents.tables) {
          const shown = item.columns.filter(
            (column) => column.state === 'public' && column.hidden !== true,
          );
          for (const [at, column] of shown.entries()) rows.push(columnRow(place, item, column, at));
        }
        const plain = (
          schema: string,
          name: string,
          columns: readonly {
            readonly name: string;
            readonly typeOid: number;
            readonly typmod: number;
          }[],
        ): void => {
          for (const [at, column] of columns.entries()) {
            rows.push({
              table_catalog: place.database,
              table_schema: schema,
              table_name: name,
              column_name: column.name,
              ordinal_position: at + 1,
              is_nullable: 'YES',
              ...typeRecord(column.typeOid, column.typmod),
              udt_catalog: place.database,
              dtd_identifier: String(at + 1),
              is_self_referencing: 'NO',
              is_identity: 'NO',
              is_generated: 'NEVER',
              is_updatable: 'NO',
            });
          }
        };
        for (const view of contents.views)
          plain(place.schemaOf(view.schemaId), view.name, view.columns);
        for (const item of all())
          plain(
            item.schema,
            item.name,
            item.columns.filter((column) => column.hidden !== true),
          );
        return rows;
      },
      { ...cached, indexed: ['table_name', 'table_schema'] },
    ),
    table(
      'table_constraints',
      (s) => {
        const row = (owner: TableDescriptor, name: string, kind: string): Record_ => ({
          ...constraintPlace(s, owner, name),
          ...tablePlace(s, owner),
          constraint_type: kind,
          is_deferrable: 'NO',
          initially_deferred: 'NO',
          enforced: 'YES',
          nulls_distinct: kind === 'UNIQUE' ? 'YES' : null,
        });
        const checks = s.snapshot
          .contents(s.databaseId)
          .tables.flatMap((owner) => owner.checks.map(({ name }) => row(owner, name, 'CHECK')));
        return [...keysOf(s).map((key) => row(key.table, key.name, key.kind)), ...checks];
      },
      { ...cached, indexed: ['table_name', 'constraint_name'] },
    ),
    table(
      'key_column_usage',
      (s) =>
        keysOf(s).flatMap((key) =>
          key.columnIds.map((id, at) => ({
            ...constraintPlace(s, key.table, key.name),
            ...tablePlace(s, key.table),
            column_name: columnName(key.table, id),
            ordinal_position: at + 1,
            position_in_unique_constraint:
              key.referenced === undefined
                ? null
                : (key.referenced.index?.columns.findIndex(
                    ({ columnId }) => columnId === key.referenced?.columnIds[at],
                  ) ?? -1) + 1,
          })),
        ),
      { ...cached, indexed: ['table_name', 'constraint_name'] },
    ),
    table(
      'referential_constraints',
      (s) =>
        keysOf(s).flatMap((key) =>
          key.referenced === undefined || key.rules === undefined
            ? []
            : [
                {
                  ...constraintPlace(s, key.table, key.name),
                  unique_constraint_catalog: s.catalog.databaseName,
                  unique_constraint_schema: s.snapshot.schemaName(key.referenced.table.schemaId),
                  unique_constraint_name: key.referenced.index?.name ?? null,
                  match_option: key.rules.match,
                  update_rule: key.rules.onUpdate,
                  delete_rule: key.rules.onDelete,
                },
              ],
        ),
      { ...cached, indexed: ['constraint_name'] },
    ),
    table(
      'constraint_column_usage',
      (s) =>
        keysOf(s).flatMap((key) => {
          const target = key.referenced ?? { table: key.table, columnIds: key.columnIds };
          return target.columnIds.map((id) => ({
            ...tablePlace(s, target.table),
            column_name: columnName(target.table, id),
            ...constraintPlace(s, key.table, key.name),
          }));
        }),
      { ...cached, indexed: ['constraint_name'] },
    ),
    table(
      'constraint_table_usage',
      (s) =>
        keysOf(s).map((key) => ({
          ...tablePlace(s, key.referenced?.table ?? key.table),
          ...constraintPlace(s, key.table, key.name),
        })),
      cached,
    ),
    table(
      'check_constraints',
      (s) =>
        s.snapshot.contents(s.databaseId).tables.flatMap((owner) =>
          owner.checks.map((check) => ({
            ...constraintPlace(s, owner, check.name),
            check_clause: check.sql,
          })),
        ),
      cached,
    ),
    table(
      'views',
      (s) =>
        s.snapshot.contents(s.databaseId).views.map((view) => ({
          table_catalog: s.catalog.databaseName,
          table_schema: s.snapshot.schemaName(view.schemaId),
          table_name: view.name,
          view_definition: `${view.query};`,
          check_option: 'NONE',
          is_updatable: 'NO',
          is_insertable_into: 'NO',
          is_trigger_updatable: 'NO',
          is_trigger_deletable: 'NO',
          is_trigger_insertable_into: 'NO',
        })),
      cached,
    ),
    table(
      'sequences',
      (s) =>
        s.snapshot.contents(s.databaseId).sequences.map((sequence) => ({
          sequence_catalog: s.catalog.databaseName,
          sequence_schema: s.snapshot.schemaName(sequence.schemaId),
          sequence_name: sequence.name,
          data_type: formatType(sequence.typeOid),
          numeric_precision: integerBits.get(sequence.typeOid) ?? 64,
          numeric_precision_radix: 2,
          numeric_scale: 0,
          start_value: sequence.start,
          minimum_value: sequence.minValue,
          maximum_value: sequence.maxValue,
          increment: sequence.increment,
          cycle_option: yes(sequence.cycle),
        })),
      cached,
    ),
    table(
      'routines',
      (s) =>
        allFunctions().map((fn) => ({
          specific_catalog: s.catalog.databaseName,
          specific_schema: 'pg_catalog',
          specific_name: `${fn.name}_${fn.oid}`,
          routine_catalog: s.catalog.databaseName,
          routine_schema: 'pg_catalog',
          routine_name: fn.name,
          routine_type: fn.kind === 'aggregate' ? null : 'FUNCTION',
          data_type: formatType(fn.result),
          external_language: 'INTERNAL',
        })),
      cached,
    ),
    table('applicable_roles', (s) =>
      s.snapshot.data.memberships.map((entry) => ({
        grantee: entry.member,
        role_name: entry.role,
        is_grantable: yes(entry.adminOption),
      })),
    ),
    table('enabled_roles', (s) => [{ role_name: s.catalog.userName }]),
    table('character_sets', (s) => [
      {
        character_set_name: 'UTF8',
        character_repertoire: 'UCS',
        form_of_use: 'UTF8',
        default_collate_catalog: s.catalog.databaseName,
        default_collate_schema: 'pg_catalog',
        default_collate_name: 'default',
      },
    ]),
    table('table_privileges', tablePrivileges),
    table('role_table_grants', tablePrivileges),
    ...[
      'parameters',
      'triggers',
      'domains',
      'column_privileges',
      'usage_privileges',
      'view_table_usage',
      'element_types',
      'user_defined_types',
      'collations',
    ].map((name) => table(name, () => [])),
  ];
}

const ownerPrivileges = [
  'INSERT',
  'SELECT',
  'UPDATE',
  'DELETE',
  'TRUNCATE',
  'REFERENCES',
  'TRIGGER',
];

function tablePrivileges(s: Source): Record_[] {
  const rows: Record_[] = [];
  const contents = s.snapshot.contents(s.databaseId);
  for (const relation of [...contents.tables, ...contents.views]) {
    const add = (grantor: string, grantee: string, privilege: string, grantable: boolean): void => {
      rows.push({
        grantor,
        grantee,
        table_catalog: s.catalog.databaseName,
        table_schema: s.snapshot.schemaName(relation.schemaId),
        table_name: relation.name,
        privilege_type: privilege,
        is_grantable: yes(grantable),
        with_hierarchy: yes(privilege === 'SELECT'),
      });
    };
    for (const privilege of ownerPrivileges) add(relation.owner, relation.owner, privilege, true);
    for (const grant of relation.privileges ?? []) {
      if (grant.column !== undefined) continue;
      const grantee = grant.grantee === 'public' ? 'PUBLIC' : grant.grantee;
      add(grant.grantor, grantee, grant.privilege.toUpperCase(), grant.grantOption);
    }
  }
  return rows;
}
