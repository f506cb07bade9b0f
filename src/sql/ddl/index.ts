export { runUtility } from './run.ts';
export { sessionCatalogOf } from './context.ts';
export type { RunUtility } from './types.ts';
export { resumeJobs } from './jobs.ts';
export { lastValue, nextValue, reserveValues, returnValues, setValue } from './sequences.ts';
export { configuredZones, settingRows, zoneSql } from './cluster.ts';
export { nodeRows } from './show.ts';
