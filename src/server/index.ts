export { ballastName, defaultBallastBytes, inMebibytes } from './ballast.ts';
export { DecommissionedError, ForeignStoreError } from './identity.ts';
export type { NodeTransport } from './membership.ts';
export { NotDamagedError, quarantineStore } from './quarantine.ts';
export { SkeinNode } from './node.ts';
export type { NodeParts } from './node.ts';
export { openSqlFront } from './sql-front.ts';
export type { StoreSpec } from './store-home.ts';
export type { SqlFront, SqlFrontParts } from './sql-front.ts';
