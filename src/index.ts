/** What `import ... from 'skeindb'` gives: a cluster inside one process, for tests, and the types of workloads for `skein sim`. */
export { Cluster } from './cli/cluster.ts';
export type { ClusterOptions } from './cli/cluster.ts';
export type { Sql, SqlProgram, SqlQueries, SqlRandom, SqlResult } from './sim/index.ts';
