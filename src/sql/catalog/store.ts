/**
 * The catalog as rows: reading and writing the system tables inside a transaction.
 *
 * `catalog-version` (a system key) holds the number of the newest catalog version and, for the last
 * 64 versions, what each of them changed. Every transaction that changes the catalog locks it first, so such
 * transactions run one after the other, and a node that knows version v reads only what changed since v.
 */
import { prefixEnd, must } from '../../util/index.ts';
import { systemKey } from '../../encoding/index.ts';
import { type Db, type ScanPage, type Txn } from '../../kv/index.ts';
import { tableCodec } from '../row/index.ts';
import { type Datum } from '../types/datum.ts';
import { type Descriptor, type DescriptorId, type TableDescriptor } from './descriptors.ts';
import { firstUserId } from './oids.ts';
import { type Role, type RoleMembership, type RoleOptions } from './roles.ts';
import { CatalogSnapshot, type CatalogData } from './snapshot.ts';
import {
  descriptorTable,
  namespaceTable,
  roleMembersTable,
  settingsTable,
  systemIds,
  usersTable,
  zonesTable,
} from './system-tables.ts';
import { zoneKey, type ZoneConfig, type ZoneId } from './zones.ts';

export const versionKey: Buffer = systemKey('catalog-version');
const idCounterKey = systemKey('descriptor-ids');
const maxRememberedVersions = 64;
const pageRows = 1000;

export interface VersionRecord {
  readonly version: number;
  /**
   * Newest last: [version, ids of changed descriptors]. The ids of system tables stand for their rows:
   * users, role members, settings, zones.
   */
  readonly changes: readonly (readonly [version: number, ids: readonly DescriptorId[]])[];
}

export function encodeVersion(record: VersionRecord): Buffer {
  const changes = record.changes.slice(-maxRememberedVersions);
  return Buffer.from(JSON.stringify({ version: record.version, changes }));
}

/** An absent record is that of a cluster that was not bootstrapped: version 0. */
export function decodeVersion(bytes: Buffer | undefined): VersionRecord {
  if (bytes === undefined) return { version: 0, changes: [] };
  return JSON.parse(bytes.toString()) as VersionRecord;
}

/** Ids for descriptors and roles: never used twice, also when the transaction that asked fails. */
export async function newDescriptorId(db: Db): Promise<DescriptorId> {
  return firstUserId - 1 + Number(await db.increment(idCounterKey, 1n));
}

// Rows of the system tables.

function primary(table: TableDescriptor): ReturnType<ReturnType<typeof tableCodec>['index']> {
  return tableCodec(table).index(1);
}

export function putRow(txn: Txn, table: TableDescriptor, row: readonly Datum[]): void {
  const index = primary(table);
  txn.put(index.encodeKey(row), index.encodeValue(row));
}

export function deleteRow(txn: Txn, table: TableDescriptor, row: readonly Datum[]): void {
  txn.delete(primary(table).encodeKey(row));
}

/** Equal for rows with the same key. */
export function rowKey(table: TableDescriptor, row: readonly Datum[]): string {
  return primary(table).encodeKey(row).toString('latin1');
}

/** The row with these values of its key. */
export async function readRow(
  txn: Txn,
  table: TableDescriptor,
  key: readonly Datum[],
): Promise<Datum[] | undefined> {
  const index = primary(table);
  const encoded = index.encodeKeyPrefix(key);
  const value = await txn.get(encoded);
  if (value === undefined) return undefined;
  const row: Datum[] = table.columns.map(() => null);
  index.decoder(table.columns.map((_, at) => at))(encoded, value, row);
  return row;
}

/** Every row of a system table, or of the part under `prefix` values of its key. */
export async function readRows(
  txn: Txn,
  table: TableDescriptor,
  prefix: readonly Datum[] = [],
): Promise<Datum[][]> {
  const index = primary(table);
  const span = prefix.length === 0 ? index.prefix : index.encodeKeyPrefix(prefix);
  const rows: Datum[][] = [];
  let start = span;
  const end = must(prefixEnd(span));
  while (true) {
    const page = await txn.scan({ start, end, maxRows: pageRows });
    rows.push(...decodePage(table, page));
    if (page.resume === undefined) return rows;
    start = page.resume.start;
  }
}

/** The first rows in key order, at most `maxRows`. */
export async function oldestRows(
  txn: Txn,
  table: TableDescriptor,
  maxRows: number,
): Promise<Datum[][]> {
  const { prefix: start } = primary(table);
  return decodePage(table, await txn.scan({ start, end: must(prefixEnd(start)), maxRows }));
}

/** The last rows in key order, the last one first, at most `maxRows`. */
export async function newestRows(
  txn: Txn,
  table: TableDescriptor,
  maxRows: number,
): Promise<Datum[][]> {
  const { prefix: start } = primary(table);
  let end = must(prefixEnd(start));
  const rows: Datum[][] = [];
  while (rows.length < maxRows) {
    const page = await txn.scan({ start, end, reverse: true, maxRows: maxRows - rows.length });
    rows.push(...decodePage(table, page));
    if (page.resume === undefined) break;
    end = page.resume.end;
  }
  return rows;
}

function decodePage(table: TableDescriptor, { keys, values }: ScanPage): Datum[][] {
  const decode = primary(table).decoder(table.columns.map((_, at) => at));
  return keys.map((key, at) => {
    const row: Datum[] = table.columns.map(() => null);
    decode(key, must(values[at]), row);
    return row;
  });
}

const asText = (value: Datum | undefined): string => (typeof value === 'string' ? value : '');
const asNumber = (value: Datum | undefined): number => Number(value);

function decodeDescriptor(row: readonly Datum[]): Descriptor {
  return JSON.parse(asText(row[1])) as Descriptor;
}

// Descriptors.

export function putDescriptor(txn: Txn, descriptor: Descriptor): void {
  putRow(txn, descriptorTable, [BigInt(descriptor.id), JSON.stringify(descriptor)]);
}

export function deleteDescriptor(txn: Txn, id: DescriptorId): void {
  deleteRow(txn, descriptorTable, [BigInt(id), null]);
}

/** Where the row of a descriptor stands. */
export function descriptorKey(id: DescriptorId): Buffer {
  return primary(descriptorTable).encodeKey([BigInt(id), null]);
}

/** One descriptor as `txn` sees it: later changes of it make the transaction restart. */
export async function readDescriptor(txn: Txn, id: DescriptorId): Promise<Descriptor | undefined> {
  const key = descriptorKey(id);
  const value = await txn.get(key);
  if (value === undefined) return undefined;
  const row: Datum[] = [null, null];
  primary(descriptorTable).decoder([0, 1])(key, value, row);
  return decodeDescriptor(row);
}

/** The namespace row of a descriptor; dropped tables have none. */
function namespaceRow(descriptor: Descriptor): Datum[] | undefined {
  switch (descriptor.kind) {
    case 'database':
      return [0n, 0n, descriptor.name, BigInt(descriptor.id)];
    case 'schema':
      return [BigInt(descriptor.databaseId), 0n, descriptor.name, BigInt(descriptor.id)];
    default:
      if (descriptor.kind === 'table' && descriptor.state === 'dropped') return undefined;
      return [
        BigInt(descriptor.databaseId),
        BigInt(descriptor.schemaId),
        descriptor.name,
        BigInt(descriptor.id),
      ];
  }
}

/** Replaces a descriptor and its name; `undefined` for one that begins or ceases to exist. */
export function replaceDescriptor(
  txn: Txn,
  before: Descriptor | undefined,
  after: Descriptor | undefined,
): void {
  const oldName = before === undefined ? undefined : namespaceRow(before);
  const newName = after === undefined ? undefined : namespaceRow(after);
  if (oldName !== undefined) deleteRow(txn, namespaceTable, oldName);
  if (newName !== undefined) putRow(txn, namespaceTable, newName);
  if (after !== undefined) putDescriptor(txn, after);
  else if (before !== undefined) deleteDescriptor(txn, before.id);
}

// Roles, settings, zones.

export function putRole(txn: Txn, role: Role): void {
  putRow(txn, usersTable, [
    role.name,
    BigInt(role.oid),
    JSON.stringify(role.options),
    role.password,
  ]);
}

export function deleteRole(txn: Txn, name: string): void {
  deleteRow(txn, usersTable, [name, null, null, null]);
}

export function putMembership(txn: Txn, entry: RoleMembership): void {
  putRow(txn, roleMembersTable, [entry.role, entry.member, entry.adminOption]);
}

export function deleteMembership(txn: Txn, entry: RoleMembership): void {
  deleteRow(txn, roleMembersTable, [entry.role, entry.member, null]);
}

/** `micros` since 2000-01-01 UTC. */
export function putSetting(
  txn: Txn,
  entry: { readonly name: string; readonly value: string; readonly type: string },
  micros: bigint,
): void {
  putRow(txn, settingsTable, [entry.name, entry.value, entry.type, micros]);
}

export function deleteSetting(txn: Txn, name: string): void {
  deleteRow(txn, settingsTable, [name, null, null, null]);
}

export function putZone(txn: Txn, zone: ZoneId, config: ZoneConfig | undefined): void {
  const key: Datum[] = [BigInt(zone.id), BigInt(zone.subId)];
  if (config === undefined) deleteRow(txn, zonesTable, [...key, null]);
  else putRow(txn, zonesTable, [...key, JSON.stringify(config)]);
}

async function readRoles(txn: Txn): Promise<CatalogData['roles']> {
  const roles = new Map<string, Role>();
  for (const [name, oid, options, password] of await readRows(txn, usersTable)) {
    roles.set(asText(name), {
      name: asText(name),
      oid: asNumber(oid),
      options: JSON.parse(asText(options)) as RoleOptions,
      password: typeof password === 'string' ? password : null,
    });
  }
  return roles;
}

async function readMemberships(txn: Txn): Promise<CatalogData['memberships']> {
  const rows = await readRows(txn, roleMembersTable);
  return rows.map(([role, member, admin]) => ({
    role: asText(role),
    member: asText(member),
    adminOption: admin === true,
  }));
}

async function readSettings(txn: Txn): Promise<CatalogData['settings']> {
  const rows = await readRows(txn, settingsTable);
  return new Map(rows.map(([name, value]) => [asText(name), asText(value)]));
}

async function readZones(txn: Txn): Promise<CatalogData['zones']> {
  const rows = await readRows(txn, zonesTable);
  return new Map(
    rows.map(([id, subId, config]) => [
      zoneKey({ id: asNumber(id), subId: asNumber(subId) }),
      JSON.parse(asText(config)) as ZoneConfig,
    ]),
  );
}

// Snapshots.

/** The whole catalog as `txn` sees it. */
export async function loadCatalog(txn: Txn, version: number): Promise<CatalogSnapshot> {
  const descriptors = new Map<DescriptorId, Descriptor>();
  for (const row of await readRows(txn, descriptorTable)) {
    const descriptor = decodeDescriptor(row);
    descriptors.set(descriptor.id, descriptor);
  }
  return new CatalogSnapshot({
    version,
    descriptors,
    roles: await readRoles(txn),
    memberships: await readMemberships(txn),
    settings: await readSettings(txn),
    zones: await readZones(txn),
  });
}

/** `known` brought up to `record`, reading only what changed when that is remembered. */
export async function updateCatalog(
  txn: Txn,
  known: CatalogSnapshot,
  record: VersionRecord,
): Promise<CatalogSnapshot> {
  if (known.version === record.version) return known;
  const missing = record.changes.filter(([version]) => version > known.version);
  if (known.version === 0 || missing.length !== record.version - known.version) {
    return loadCatalog(txn, record.version);
  }
  const ids = new Set(missing.flatMap(([, changed]) => changed));
  const changes = new Map<DescriptorId, Descriptor | undefined>();
  const parts: Partial<Record<'roles' | 'memberships' | 'settings' | 'zones', unknown>> = {};
  if (ids.delete(systemIds.users)) parts.roles = await readRoles(txn);
  if (ids.delete(systemIds.roleMembers)) parts.memberships = await readMemberships(txn);
  if (ids.delete(systemIds.settings)) parts.settings = await readSettings(txn);
  if (ids.delete(systemIds.zones)) parts.zones = await readZones(txn);
  const wanted = [...ids];
  const index = primary(descriptorTable);
  const decode = index.decoder([0, 1]);
  const keys = wanted.map((id) => index.encodeKey([BigInt(id), null]));
  const values = keys.length === 0 ? [] : await txn.getMany(keys);
  for (const [at, id] of wanted.entries()) {
    const value = values[at];
    const row: Datum[] = [null, null];
    if (value !== undefined) decode(must(keys[at]), value, row);
    changes.set(id, value === undefined ? undefined : decodeDescriptor(row));
  }
  return known.with(changes, { ...(parts as Partial<CatalogData>), version: record.version });
}
