export { runSimulation } from './run.ts';
export type { SimOptions, SimResult } from './run.ts';
