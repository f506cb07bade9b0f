export { createRangeExecutor } from './evaluate/executor.ts';
export type { Command, KeySender, ProposeOutcome, RangeExecutor, ReplicaPort } from './ports.ts';
