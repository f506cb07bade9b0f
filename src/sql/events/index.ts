export { RangeLog } from './range-log.ts';
