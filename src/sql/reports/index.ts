export { keepReport } from './tables.ts';
export { takeTurn } from './turns.ts';
export type { ReportClaim, ReportTurn } from './turns.ts';
export { zonesOfRange } from './zones.ts';
