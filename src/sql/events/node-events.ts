/** What happens to nodes and stores, told by the node that did it or saw it, and written behind. It may get lost. */
import { kvSettings, type ClusterSettings, type Member, type Membership } from '../../kv/index.ts';
import { eventlogTable } from '../catalog/index.ts';
import { type EventFields, type EventLog } from './event-log.ts';
import { type EventQueue } from './event-queue.ts';

/** Of the node itself. */
type OwnEventType = 'node_join' | 'node_restart' | 'node_draining' | 'node_shutdown';

/** Of any node or store, by one that was asked to. */
type MembershipEventType = `${Member['kind']}_${(typeof steps)[Membership]}`;

const steps = {
  active: 'recommissioned',
  decommissioning: 'decommissioning',
  decommissioned: 'decommissioned',
} as const satisfies Record<Membership, string>;

export type NodeEventType = OwnEventType | MembershipEventType;

export interface NodeEvents {
  /** This node. */
  noteOwn(type: OwnEventType, fields?: EventFields): void;
  noteMembership(member: Member, to: Membership): void;
}

/** Where nothing is written. */
export const noNodeEvents: NodeEvents = { noteOwn: () => {}, noteMembership: () => {} };

export class NodeLog implements NodeEvents {
  readonly #log: EventLog;
  readonly #queue: EventQueue;
  readonly #settings: ClusterSettings;

  constructor(log: EventLog, queue: EventQueue, settings: ClusterSettings) {
    this.#log = log;
    this.#queue = queue;
    this.#settings = settings;
  }

  noteOwn(type: OwnEventType, fields: EventFields = {}): void {
    const { nodeId } = this.#log;
    this.#note(type, nodeId, { NodeID: nodeId, ...fields });
  }

  noteMembership(member: Member, to: Membership): void {
    const target = member.kind === 'node' ? 'TargetNodeID' : 'TargetStoreID';
    this.#note(`${member.kind}_${steps[to]}`, member.id, {
      RequestingNodeID: this.#log.nodeId,
      [target]: member.id,
    });
  }

  #note(type: NodeEventType, targetId: number, fields: EventFields): void {
    if (!this.#log.isEnabled || !this.#settings.get(kvSettings.logRangeEvents)) return;
    this.#queue.add(eventlogTable, this.#log.row({ type, targetId, fields }));
  }
}
