export type { Command, KeySender, ProposeOutcome, RangeExecutor, ReplicaPort } from './ports.ts';
