export { loadGrammar as loadParser } from './postgres-grammar.ts';
export { characterPosition, countCharacters } from './positions.ts';
export { ParseCache } from './parse-cache.ts';
export type { ParseCacheOptions } from './parse-cache.ts';
export {
  defaultMaxStatementBytes,
  parseExpression,
  parseOwn,
  parseStatements,
} from './statements.ts';
export { scan } from './scanner.ts';
export { showSchema } from './show-sources.ts';
export type { DecommissionChecks, MembershipStatement } from './membership-parser.ts';
export type { ChangefeedStatement } from './changefeed-parser.ts';
export type { JobIds, JobStatement } from './jobs-parser.ts';
export type {
  IndexTarget,
  RangesFrom,
  RangesOption,
  RangeStatement,
  RelocatedReplicas,
} from './range-statements.ts';
export type {
  AdvisedChange,
  ClusterStatement,
  ConfigureZone,
  NameParts,
  PartitionBound,
  PartitionBy,
  ParsedStatement,
  Statement,
  ZoneTarget,
} from './types.ts';
