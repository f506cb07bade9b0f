export { runUtility } from './run.ts';
export { sessionCatalogOf } from './context.ts';
export type { RunUtility } from './types.ts';
export { resumeJobs } from './jobs.ts';
export { lastValue, nextValue, reserveValues, returnValues, setValue } from './sequences.ts';
export { settingRows } from './settings.ts';
export { configuredZones, zoneSql } from './zones.ts';
export { nodeRows } from './show.ts';
