/** All types of jobs, by the name that SHOW JOBS prints. */
import { decommission, decommissionTypes } from './decommission.ts';
import { drainTypes, nodeDrain, storeDrain } from './drain.ts';
import { indexBuild, indexBuildType } from './index-build.ts';
import { type JobType } from './registry.ts';
import { schemaGc, schemaGcType } from './schema-gc.ts';

export const jobTypes: ReadonlyMap<string, JobType> = new Map([
  [indexBuildType, indexBuild],
  [decommissionTypes.node, decommission],
  [decommissionTypes.store, decommission],
  [drainTypes.node, nodeDrain],
  [drainTypes.store, storeDrain],
  [schemaGcType, schemaGc],
]);
