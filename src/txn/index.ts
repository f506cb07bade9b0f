export { ClusterDb } from './cluster-db.ts';
export type { ClusterDbOptions } from './cluster-db.ts';
export { Router } from './router.ts';
export type { HeaderBase, RouterOptions } from './router.ts';
export { serveBatches } from './serve.ts';
export type { TxnCounters } from './counters.ts';
