export { ClusterLogs } from './cluster-logs.ts';
export { EventLog } from './event-log.ts';
export type { EventFields } from './event-log.ts';
export { noNodeEvents } from './node-events.ts';
export type { NodeEvents } from './node-events.ts';
export { StatementEvents } from './statement-events.ts';
export type { EventNoun } from './statement-events.ts';
