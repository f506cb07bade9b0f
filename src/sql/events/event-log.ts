/** system.eventlog: the rows of one node. Whoever has something to tell puts them into a transaction, at once or later. */
import { kvSettings, type ClusterSettings, type NodeId, type Txn } from '../../kv/index.ts';
import { type Clock } from '../../util/index.ts';
import { eventlogTable, putRow } from '../catalog/index.ts';
import { type Datum, timestampOfWall } from '../types/index.ts';
import { EventIds } from './event-ids.ts';
import { type NodeEventType } from './node-events.ts';
import { type StatementEventType } from './statement-events.ts';

export interface LoggedEvent {
  readonly type: NodeEventType | StatementEventType;
  /** Of the object or the node; 0 for what has no number. */
  readonly targetId: number;
  /** Plain data. Names are CockroachDB's ("Notable Event Types"). */
  readonly fields: EventFields;
}

export type EventFields = Readonly<Record<string, unknown>>;

export class EventLog {
  readonly nodeId: NodeId;
  readonly #clock: Clock;
  readonly #settings: ClusterSettings;
  readonly #ids: EventIds;

  constructor(clock: Clock, nodeId: NodeId, settings: ClusterSettings) {
    this.nodeId = nodeId;
    this.#clock = clock;
    this.#settings = settings;
    this.#ids = new EventIds(nodeId);
  }

  get isEnabled(): boolean {
    return this.#settings.get(kvSettings.eventlogEnabled);
  }

  /** With the transaction it is committed or vanishes. */
  write(txn: Txn, event: LoggedEvent): void {
    if (this.isEnabled) putRow(txn, eventlogTable, this.row(event));
  }

  /** A row of system.eventlog, dated now. */
  row({ type, targetId, fields }: LoggedEvent): Datum[] {
    const micros = this.#clock.wallMicros();
    // Nanoseconds do not fit into a number.
    const info = `{"Timestamp":${micros}000,${JSON.stringify({ EventType: type, ...fields }).slice(1)}`;
    return [
      timestampOfWall(micros),
      type,
      BigInt(targetId),
      BigInt(this.nodeId),
      info,
      this.#ids.next(),
    ];
  }
}
