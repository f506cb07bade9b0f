/** Ids of events: those of one node rise, and at one time no two nodes make the same. With the time they are the key of a log. */
import { type NodeId } from '../../kv/index.ts';

/** Bits below the count: the node. */
const nodeBits = 15n;

export class EventIds {
  readonly #node: bigint;
  #count = 0n;

  constructor(nodeId: NodeId) {
    this.#node = BigInt(nodeId % 32_768);
  }

  next(): bigint {
    return (++this.#count << nodeBits) | this.#node;
  }
}
