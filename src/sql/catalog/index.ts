export { CatalogCache } from './cache.ts';
export type { Barrier, CatalogCacheOptions, CatalogPin, WaitOptions } from './cache.ts';
export { bootstrapCatalog } from './bootstrap.ts';
export type {
  CheckDescriptor,
  ColumnDescriptor,
  DatabaseDescriptor,
  Descriptor,
  DescriptorId,
  ElementState,
  ForeignKeyDescriptor,
  IndexDescriptor,
  PartitionDescriptor,
  Partitioning,
  PartitionValue,
  PrivilegeGrant,
  ReferentialAction,
  SchemaDescriptor,
  SequenceDescriptor,
  TableDescriptor,
  ViewDescriptor,
} from './descriptors.ts';
export {
  constraintOid,
  defaultOid,
  firstUserId,
  indexIdOfOid,
  indexOid,
  rowTypeOid,
  ruleOid,
} from './oids.ts';
export { objectName } from './object-name.ts';
export {
  indexesOf,
  partitionSpans,
  partitionValues,
  referencedIndexes,
  subzoneOf,
} from './partitions.ts';
export type { Subzone } from './partitions.ts';
export { holdsPrivilege, isSuperuser, mayActAs, rolesOf } from './privileges.ts';
export { quoteIdentifier, quoteList, quoteLiteral } from './quote.ts';
export { defaultRoleOptions } from './roles.ts';
export type { Role, RoleMembership, RoleOptions } from './roles.ts';
export {
  claimName,
  findPrepared,
  freeName,
  changePreparedOwner,
  countPreparedIn,
  preparedTransactions,
} from './prepared-transactions.ts';
export type { PreparedTransaction } from './prepared-transactions.ts';
export { rerun } from './rerun.ts';
export { SessionCatalog } from './session-catalog.ts';
export type { SessionCatalogOptions, VirtualSchemas } from './session-catalog.ts';
export {
  clusterSettings,
  findSetting,
  followerLagMicros,
  sessionDefaults,
  formatBytes,
  formatDuration,
  formatSetting,
  jobRetentionMs,
  parseBytes,
  parseDuration,
  parseSetting,
  settingText,
} from './settings.ts';
export { CatalogSnapshot, emptySnapshot, implicitKeyOf, isImplicitKey } from './snapshot.ts';
export type { CatalogData, NamedRelation, RelationDescriptor } from './snapshot.ts';
export {
  deleteRow,
  descriptorKey,
  newDescriptorId,
  newestRows,
  oldestRows,
  putRow,
  readDescriptor,
  readRow,
  readRows,
  rowKey,
} from './store.ts';
export {
  constraintStatsTable,
  criticalLocalitiesTable,
  eventlogTable,
  jobsTable,
  rangelogTable,
  replicationStatsTable,
  reportsMetaTable,
  rootOid,
  rootUser,
  systemIds,
  systemTables,
} from './system-tables.ts';
export type { Catalog, CatalogContents, QualifiedName, Relation, VirtualTable } from './types.ts';
export { CatalogWriter, changeCatalog } from './writer.ts';
export type { WriterMark } from './writer.ts';
export { zoneFields } from './zone-fields.ts';
export type { ZoneField } from './zone-fields.ts';
export { zoneProtobuf } from './zone-protobuf.ts';
export { checkPlaces, checkZone } from './zone-rules.ts';
export { sameZones, zoneBoundaries, zoneConfigFor, zonesWithin } from './zone-spans.ts';
export { shownConfig, zoneSql, zoneYaml } from './zone-text.ts';
export {
  fullZone,
  ownZone,
  rangeZones,
  storedZones,
  zoneChain,
  zoneIds,
  zoneKey,
} from './zones.ts';
export type { FullZoneConfig, ZoneConfig, ZoneId } from './zones.ts';
export {
  checkDefinition,
  createTableText,
  displayExpression,
  foreignKeyDefinition,
  indexColumnsText,
  indexDefinition,
  keyConstraintDefinition,
  qualifiedNames,
  visibleNames,
} from './definitions.ts';
export type { NameText } from './definitions.ts';
