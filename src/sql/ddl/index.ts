export { runUtility } from './run.ts';
export type { RunUtility } from './types.ts';
export { resumeJobs } from './jobs.ts';
export { lastValue, nextValue, setValue } from './sequences.ts';
