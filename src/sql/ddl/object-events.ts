/** What statements tell the event log of objects: the names and fields of CockroachDB's events. */
import {
  zoneYaml,
  objectName,
  type CatalogWriter,
  type Descriptor,
  type IndexDescriptor,
  type RelationDescriptor,
  type TableDescriptor,
  type ZoneConfig,
} from '../catalog/index.ts';
import { type EventFields, type EventNoun } from '../events/index.ts';
import { type Ddl } from './context.ts';

const nameFields = {
  database: 'DatabaseName',
  schema: 'SchemaName',
  table: 'TableName',
  view: 'ViewName',
  sequence: 'SequenceName',
} as const satisfies Record<Descriptor['kind'], string>;

function fullName({ catalog }: Ddl, object: Descriptor): string {
  return objectName(catalog.snapshot, object);
}

export function recordObject(
  ddl: Ddl,
  verb: 'create' | 'alter' | 'drop',
  object: Descriptor,
): void {
  const fields = { [nameFields[object.kind]]: fullName(ddl, object) };
  ddl.context.events.record(`${verb}_${object.kind}`, object.id, fields);
}

export function recordIndex(
  ddl: Ddl,
  verb: 'create' | 'alter' | 'drop',
  table: TableDescriptor,
  index: Pick<IndexDescriptor, 'name'>,
  more: EventFields = {},
): void {
  const fields = { TableName: fullName(ddl, table), IndexName: index.name, ...more };
  ddl.context.events.record(`${verb}_index`, table.id, fields);
}

/** A view or a sequence is a table here. */
function nounOf({ kind }: Descriptor): EventNoun {
  return kind === 'database' || kind === 'schema' ? kind : 'table';
}

export function recordRename(ddl: Ddl, before: Descriptor, after: Descriptor): void {
  const noun = nounOf(before);
  const field = nameFields[noun];
  ddl.context.events.record(`rename_${noun}`, before.id, {
    [field]: fullName(ddl, before),
    [`New${field}`]: fullName(ddl, after),
  });
}

export function recordSetSchema(
  ddl: Ddl,
  before: RelationDescriptor,
  after: RelationDescriptor,
): void {
  ddl.context.events.record('set_schema', before.id, {
    DescriptorName: fullName(ddl, before),
    NewDescriptorName: fullName(ddl, after),
    DescriptorType: before.kind,
  });
}

export function recordOwner(ddl: Ddl, object: Descriptor, owner: string): void {
  const noun = nounOf(object);
  ddl.context.events.record(`alter_${noun}_owner`, object.id, {
    [nameFields[noun]]: fullName(ddl, object),
    Owner: owner,
  });
}

export function recordPrivilege(ddl: Ddl, object: Descriptor, change: EventFields): void {
  const noun = nounOf(object);
  ddl.context.events.record(`change_${noun}_privilege`, object.id, {
    [nameFields[noun]]: fullName(ddl, object),
    ...change,
  });
}

/** `part`: the column or index of the table that the comment is about. */
export function recordComment(
  ddl: Ddl,
  object: Descriptor,
  text: string | undefined,
  part?: { readonly kind: 'column' | 'index'; readonly name: string },
): void {
  const noun = nounOf(object);
  const isNone = text === undefined || text === '';
  ddl.context.events.record(`comment_on_${part?.kind ?? noun}`, object.id, {
    [nameFields[noun]]: fullName(ddl, object),
    ...(part === undefined
      ? {}
      : { [part.kind === 'column' ? 'ColumnName' : 'IndexName']: part.name }),
    ...(isNone ? { NullComment: true } : { Comment: text }),
  });
}

/** `target` as ALTER names it; undefined configurations: nothing is set. */
export function recordZone(
  ddl: Ddl,
  zone: { readonly id: number; readonly target: string },
  before: ZoneConfig | undefined,
  after: ZoneConfig | undefined,
): void {
  const was = before === undefined ? {} : { ResolvedOldConfig: zoneYaml(before) };
  const { events } = ddl.context;
  if (after === undefined) {
    events.record('remove_zone_config', zone.id, { Target: zone.target, ...was });
  } else {
    events.record('set_zone_config', zone.id, {
      Target: zone.target,
      Config: zoneYaml(after),
      ...was,
    });
  }
}

/** Of a step behind the commit: it has come to its end, or failed and is taken back. */
export function recordStep(
  { context }: Ddl,
  { txn, snapshot }: CatalogWriter,
  table: TableDescriptor,
  failure?: string,
): void {
  const name = { TableName: objectName(snapshot, table) };
  const { events } = context;
  if (failure === undefined) events.writeStep(txn, 'finish_schema_change', table.id, name);
  else {
    events.writeStep(txn, 'reverse_schema_change', table.id, { ...name, Error: failure });
  }
}
