/** What `import ... from 'skeindb'` gives: a cluster inside one process, for tests. */
export { Cluster } from './cli/cluster.ts';
export type { ClusterOptions } from './cli/cluster.ts';
