/** Where every lookup begins: the range that holds meta1, as gossip has it. */
import { decodeDescriptor } from './descriptor-codec.ts';
import { type RangeDescriptor } from './descriptor.ts';
import { gossipKeys, type Gossip } from './transport.ts';

/** Gossip may have carried the descriptor as bytes or as plain data. Undefined: nobody has said it yet. */
export function firstRangeIn(gossip: Gossip): RangeDescriptor | undefined {
  const value = gossip.get(gossipKeys.firstRange);
  if (value instanceof Uint8Array) return decodeDescriptor(Buffer.from(value));
  if (typeof value !== 'object' || value === null || !('startKey' in value)) return undefined;
  // Published by the range layer as a descriptor; only its byte strings may have changed their class.
  const range = value as RangeDescriptor;
  return {
    ...range,
    startKey: Buffer.from(range.startKey),
    endKey: Buffer.from(range.endKey),
  };
}
