/** SHOW EVENTS: system.eventlog for people, the newest events first. */
import { eventlogTable, newestRows, objectName, type CatalogSnapshot } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { oids, type Datum, type Row } from '../types/index.ts';
import { resultColumn, sessionCatalogOf } from './context.ts';
import { type Shown } from './types.ts';

/** Older ones are in the table. */
const shownMax = 10_000;

export const showEvents: Shown = {
  columns: [
    resultColumn('timestamp', oids.timestamptz),
    resultColumn('event_type', oids.text),
    resultColumn('target_id', oids.text),
    resultColumn('reporting_id', oids.int8),
    resultColumn('user_name', oids.text),
    resultColumn('statement', oids.text),
    resultColumn('info', oids.json),
  ],
  rows: async (context) => {
    const { snapshot, isSuperuser } = sessionCatalogOf(context);
    if (!isSuperuser) {
      throw sqlError('insufficientPrivilege', 'permission denied to show events');
    }
    const rows = await newestRows(context.txn, eventlogTable, shownMax);
    return rows.map((row) => shownRow(row, snapshot));
  },
};

function shownRow(row: readonly Datum[], snapshot: CatalogSnapshot): Row {
  const [timestamp = null, type, targetId, reportingId = null, info] = row;
  if (typeof type !== 'string' || typeof targetId !== 'bigint' || typeof info !== 'string') {
    throw sqlError('internalError', 'a row of system.eventlog is damaged');
  }
  const fields: unknown = JSON.parse(info);
  const text = (name: string): string | null => {
    const value: unknown = Reflect.get(Object(fields), name);
    if (Array.isArray(value)) return value.join(', ');
    return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  };
  const isObject = !/^(node|store)_/.test(type);
  const object = isObject ? snapshot.byId(Number(targetId)) : undefined;
  const named = targetFields.find((name) => text(name) !== null);
  const target = object === undefined ? text(named ?? '') : objectName(snapshot, object);
  return [timestamp, type, target, reportingId, text('User'), text('Statement'), info];
}

/** What an event calls its target when no object has its number, or none has it any more. */
const targetFields = [
  'DatabaseName',
  'SchemaName',
  'TableName',
  'ViewName',
  'SequenceName',
  'DescriptorName',
  'RoleName',
  'GranteeRoles',
  'SettingName',
  'Target',
  'JobID',
  'NodeID',
  'TargetNodeID',
  'TargetStoreID',
];
