export { runUtility } from './run.ts';
export { sessionCatalogOf } from './context.ts';
export { shownBy } from './cluster.ts';
export type { RunUtility, ShownBy } from './types.ts';
export { resumeJobs } from './jobs.ts';
export { lastValue, nextValue, reserveValues, returnValues, setValue } from './sequences.ts';
export { settingRows } from './settings.ts';
export { configuredZones, zoneRecord } from './zone-rows.ts';
export { nodeRows } from './show.ts';
