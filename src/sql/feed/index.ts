export { Changefeed } from './changefeed.ts';
export { changefeedOptions } from './options.ts';
export { changefeedTables } from './targets.ts';
