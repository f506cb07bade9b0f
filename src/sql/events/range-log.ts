/** system.rangelog: what happened to ranges. The layers below say so without waiting. */
import {
  kvSettings,
  type ClusterSettings,
  type NodeId,
  type RangeEvent,
  type RangeEvents,
  type StoreId,
} from '../../kv/index.ts';
import { type Clock } from '../../util/index.ts';
import { rangelogTable } from '../catalog/index.ts';
import { timestampOfWall } from '../types/index.ts';
import { EventIds } from './event-ids.ts';
import { type EventQueue } from './event-queue.ts';

export class RangeLog implements RangeEvents {
  readonly #clock: Clock;
  readonly #settings: ClusterSettings;
  readonly #queue: EventQueue;
  readonly #ids: EventIds;

  constructor(parts: {
    readonly clock: Clock;
    readonly nodeId: NodeId;
    readonly settings: ClusterSettings;
    readonly queue: EventQueue;
  }) {
    this.#clock = parts.clock;
    this.#settings = parts.settings;
    this.#queue = parts.queue;
    this.#ids = new EventIds(parts.nodeId);
  }

  note({ kind, rangeId, otherRangeId, info }: RangeEvent, storeId: StoreId): void {
    if (!this.#settings.get(kvSettings.logRangeEvents)) return;
    this.#queue.add(rangelogTable, [
      timestampOfWall(this.#clock.wallMicros()),
      BigInt(rangeId),
      BigInt(storeId),
      kind,
      otherRangeId === undefined ? null : BigInt(otherRangeId),
      JSON.stringify(info),
      this.#ids.next(),
    ]);
  }
}
