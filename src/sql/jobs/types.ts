/** All types of jobs, by the name that SHOW JOBS prints. */
import { nodeDecommission, nodeDecommissionType } from './node-decommission.ts';
import { nodeDrain, nodeDrainType } from './node-drain.ts';
import { indexBuild, indexBuildType } from './index-build.ts';
import { type JobType } from './registry.ts';
import { schemaGc, schemaGcType } from './schema-gc.ts';

export const jobTypes: ReadonlyMap<string, JobType> = new Map([
  [indexBuildType, indexBuild],
  [nodeDecommissionType, nodeDecommission],
  [nodeDrainType, nodeDrain],
  [schemaGcType, schemaGc],
]);
