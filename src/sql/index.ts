export {
  bootstrapCatalog,
  CatalogCache,
  sameZones,
  zoneBoundaries,
  zoneConfigFor,
} from './catalog/index.ts';
export { createSqlService } from './create-service.ts';
export type { SqlParts, SqlServiceOptions } from './create-service.ts';
export { SqlFailure, sqlError, sqlStates } from './errors.ts';
export type { SqlErrorFields, SqlState } from './errors.ts';
export { ClusterLogs, type NodeEvents } from './events/index.ts';
export { keepReport, takeTurn, zonesOfRange } from './reports/index.ts';
export type { ReportClaim, ReportTurn } from './reports/index.ts';
export { rowProgramCompiler } from './exec/index.ts';
export { lateInputTypes } from './functions/index.ts';
export { loadParser } from './parse/index.ts';
export type { ClientOutput, ResultFormats } from './session/client.ts';
export { toSqlFailure } from './session/kv-errors.ts';
export type { Portal, PreparedStatement } from './session/prepared.ts';
export { serverVersion } from './session/setting-definitions.ts';
export { nodeOfBackend, SqlService } from './session/service.ts';
export type { NewSession } from './session/service.ts';
export { defaultSessionLimits } from './session/services.ts';
export type { SessionLimits, SessionServices } from './session/services.ts';
export { Session } from './session/session.ts';
export type { DdlQueue, ResultColumn, StatementContext, StatementResult } from './session/types.ts';
export { oids, typeOps } from './types/index.ts';
export type { Datum, FormatSettings, Row, TypeOps } from './types/index.ts';
export { isJobGone } from './jobs/index.ts';
