/**
 * One replica of a model: the real core, its disk and its state machine as a value, and what each event does to it.
 * What happens at a replica depends on that replica alone.
 */
import {
  type Configuration,
  type Entry,
  type HardState,
  type Message,
  type RaftId,
  type Ready,
  type ReadState,
  type SnapshotMeta,
  RaftNode,
} from '../../../src/raft/index.ts';
import { assert, must } from '../../../src/util/index.ts';
import {
  type AppliedState,
  type Packet,
  birth,
  historyText,
  nothing,
  smallSettings,
} from '../harness.ts';
import { MemoryLog } from '../memory-log.ts';
import { membersOf, type Model } from './model.ts';

/** Never changed once it is known: events work on a clone. */
export interface Replica {
  core: RaftNode;
  /** The disk: the log, term and vote, and the state that the log begins behind. */
  log: MemoryLog;
  hardState: HardState;
  checkpoint: AppliedState;
  /** Lost in a crash, like the core. */
  applied: AppliedState;
  /** Handed out for applying. */
  unapplied: Entry[];
  /** Handed out, not durable; with the state of a snapshot. */
  writes: { readonly ready: Ready; readonly state: AppliedState | undefined }[];
  /**
   * The replicas whose stores this one's promises to support, with the term in which this replica has told each under
   * that promise that it follows it (0: it has not). A leader counts on no more.
   */
  promises: Map<RaftId, number>;
}

/** What the rest of the cluster notices of an event. */
export interface Effects {
  readonly packets: Packet[];
  /** The round of a read that was asked. */
  asked: number;
  readable: ReadState | undefined;
}

const electionTicks = 2;

/** Events without an argument. */
export const firstEvents: readonly string[] = [
  'campaign',
  'propose',
  'persist',
  'apply',
  'crash',
  'heartbeat',
  'compact',
  'release',
  'read',
  'desert',
];

export class ReplicaRules {
  /** Everything that can happen at a replica but the delivery of a message. */
  readonly events: readonly string[];
  private readonly model: Model;
  private readonly configuration: Configuration;

  constructor(model: Model) {
    const ids = membersOf(model);
    const { voters, learners = [], changes = [] } = model;
    this.model = model;
    this.configuration = { voters, votersOutgoing: [], learners };
    this.events = [
      ...firstEvents,
      ...ids.map((id) => `transfer ${id}`),
      ...ids.map((id) => `promise ${id}`),
      ...changes.map((_, i) => `change ${i}`),
    ];
  }

  born(id: RaftId): Replica {
    const { model } = this;
    const isSpare = model.spares?.includes(id) === true;
    const { configuration } = this;
    const begin = { ...birth, configuration, history: [birth.text] };
    const checkpoint: AppliedState = isSpare ? nothing : begin;
    const log = new MemoryLog();
    if (!isSpare) log.reset(checkpoint);
    const hardState = { term: checkpoint.term, vote: 0, commit: checkpoint.index };
    const others = membersOf(model).filter((other) => other !== id);
    const promises = new Map(model.promises === undefined ? [] : others.map((other) => [other, 0]));
    const core = this.boot(id, { log, hardState, checkpoint, promises });
    const memory = { core, applied: checkpoint, unapplied: [], writes: [] };
    return { log, hardState, checkpoint, promises, ...memory };
  }

  /** Whether `event` can happen at replica `id` within the bounds that concern it alone. */
  isEnabled(id: RaftId, replica: Replica, event: string): boolean {
    const { model } = this;
    const { core } = replica;
    const leads = core.role === 'leader';
    const [verb, argument] = event.split(' ');
    switch (verb) {
      case 'campaign':
        if (leads || core.term >= model.termMax) return false;
        return model.candidates?.[core.term + 1]?.includes(id) ?? true;
      case 'propose':
      case 'change':
        return leads && core.lastIndex < model.indexMax;
      case 'persist':
        return replica.writes.length > 0;
      case 'apply':
        return replica.unapplied.length > 0;
      case 'crash':
        return true;
      case 'heartbeat':
        return leads && model.heartbeats === true;
      case 'compact':
        return (
          model.compacts?.includes(id) === true && replica.applied.index >= replica.log.firstIndex
        );
      case 'release':
        return core.holdsEntries;
      case 'read':
        return leads && stateOf(core).readRounds < (model.reads ?? 0);
      case 'desert':
        return leads && model.desertions === true;
      case 'transfer':
        return leads && model.transfers === true;
      case 'promise':
        return model.promises?.some(([of, to]) => of === id && to === Number(argument)) === true;
      default:
        throw new Error(`unknown event ${event}`);
    }
  }

  /** Changes `replica`: an event of its own, or a packet that arrives. */
  happen(id: RaftId, replica: Replica, event: string | Packet): Effects {
    const effects: Effects = { packets: [], asked: 0, readable: undefined };
    if (typeof event === 'string') this.act(id, replica, event, effects);
    else {
      const { receives } = this.model.bug ?? {};
      replica.core.step(receives?.(replica.core, event.message) ?? event.message);
    }
    this.model.bug?.after?.(replica.core);
    this.settle(replica, effects, typeof event === 'string' ? undefined : event.state);
    return effects;
  }

  private act(id: RaftId, replica: Replica, event: string, effects: Effects): void {
    const { core } = replica;
    const [verb, argument] = event.split(' ');
    switch (verb) {
      case 'campaign':
        core.campaign();
        if (this.model.preVotes === 'granted') grantPreVotes(core);
        return;
      case 'propose':
        core.propose(Buffer.from(`by ${id}`));
        return;
      case 'persist':
        this.persist(replica, effects);
        return;
      case 'apply':
        apply(replica, must(replica.unapplied.shift(), 'a committed entry'));
        return;
      case 'crash':
        replica.writes = [];
        replica.unapplied = [];
        replica.applied = replica.checkpoint;
        // It takes so long to restart.
        replica.promises.clear();
        replica.core = this.boot(id, replica);
        return;
      case 'heartbeat':
        core.tick();
        return;
      case 'compact':
        replica.checkpoint = replica.applied;
        replica.log.compact(replica.applied.index);
        return;
      case 'release':
        core.releaseHeld();
        return;
      case 'read': {
        const asked = this.model.bug?.reads?.(core) ?? core.readIndex();
        if (asked.kind === 'accepted') effects.asked = asked.round;
        return;
      }
      case 'desert':
        stateOf(core).host.deserted = true;
        for (let i = 0; i < electionTicks; i++) core.tick();
        stateOf(core).host.deserted = false;
        return;
      case 'transfer':
        core.transferLeadership(Number(argument));
        return;
      case 'promise': {
        const to = Number(argument);
        if (!replica.promises.delete(to)) replica.promises.set(to, 0);
        return;
      }
      case 'change':
        core.proposeConfigChange(must(this.model.changes?.[Number(argument)], 'a change'));
        return;
      default:
        throw new Error(`unknown event ${event}`);
    }
  }

  /** Takes every Ready: sends, applies, queues the writes (and makes them, if the disk is instant). */
  private settle(replica: Replica, effects: Effects, state: AppliedState | undefined): void {
    const { core } = replica;
    for (;;) {
      while (core.hasReady()) {
        const ready = core.ready();
        effects.readable = ready.readable ?? effects.readable;
        for (const m of ready.messages) this.send(replica, m, effects);
        for (const m of ready.messagesAfterPersist) {
          if (this.model.bug?.early?.(m) === true) this.send(replica, m, effects);
        }
        for (const m of [...ready.messages, ...ready.messagesAfterPersist]) promise(replica, m);
        // A snapshot covers what was not applied before it.
        if (ready.snapshot) replica.unapplied = [];
        for (const entry of ready.committed) {
          assert(replica.log.matchesEntry(entry), 'what is applied is durable');
          if (this.model.slowApply === true) replica.unapplied.push(entry);
          else apply(replica, entry);
        }
        for (const to of ready.snapshotsWanted) sendSnapshot(replica, to, effects);
        const writes = ready.hardState ?? ready.snapshot ?? ready.entries[0];
        if (writes === undefined && replica.writes.length === 0) {
          for (const m of ready.messagesAfterPersist) this.send(replica, m, effects);
        } else if (writes !== undefined || ready.messagesAfterPersist.length > 0) {
          replica.writes.push({ ready, state: ready.snapshot && must(state, 'its state') });
        }
      }
      if (this.model.disk === 'slow' || replica.writes.length === 0) return;
      this.persist(replica, effects);
    }
  }

  private persist(replica: Replica, effects: Effects): void {
    const { ready, state } = must(replica.writes.shift(), 'a write');
    const { hardState, entries, snapshot } = ready;
    if (state !== undefined) {
      replica.log.reset(state);
      replica.checkpoint = state;
      replica.applied = state;
    }
    replica.log.append(entries);
    const { writesHardState } = this.model.bug ?? {};
    if (hardState) replica.hardState = writesHardState?.(hardState) ?? hardState;
    for (const m of ready.messagesAfterPersist) this.send(replica, m, effects);
    const last = entries.at(-1) ?? snapshot;
    if (hardState || last) {
      replica.core.persisted(last && { term: last.term, index: last.index });
    }
  }

  private send(replica: Replica, message: Message, effects: Effects): void {
    effects.packets.push({ message: this.model.bug?.sends?.(replica.core, message) ?? message });
  }

  private boot(
    id: RaftId,
    disk: Pick<Replica, 'log' | 'hardState' | 'checkpoint' | 'promises'>,
  ): RaftNode {
    // A clone of the core has a clone of its host: the promises are those of the clone's replica.
    const host = {
      promises: disk.promises,
      deserted: false,
      random: (): number => 0,
      supports(leader: RaftId): boolean {
        return this.promises.has(leader);
      },
      supportedBy(): boolean {
        return !this.deserted;
      },
    };
    return new RaftNode({
      id,
      log: disk.log,
      hardState: disk.hardState,
      configuration: disk.checkpoint.configuration,
      applied: disk.checkpoint.index,
      settings: {
        ...smallSettings,
        electionTicks,
        appendBytesMax: this.model.smallAppends === true ? 1 : 1024,
        holdBytesMax: this.model.holds === true ? 1024 : 0,
      },
      host,
    });
  }
}

/** A leader counts on the promise of a follower's store from when that follower has answered it. */
function promise({ core, promises }: Replica, m: Message): void {
  const answers = m.kind === 'append-response' || m.kind === 'heartbeat-response';
  const follows = core.leader === m.to && core.term === m.term;
  if (answers && follows && promises.has(m.to)) promises.set(m.to, m.term);
}

/** The sender believes at once that it arrived; it may arrive later, or never. */
function sendSnapshot({ core, applied }: Replica, to: RaftId, effects: Effects): void {
  const { index, term, configuration } = applied;
  const head = { kind: 'snapshot', from: core.id, to, term: core.term } as const;
  effects.packets.push({
    message: { ...head, snapshot: { index, term, configuration } },
    state: applied,
  });
  core.snapshotSent(to, { ok: true, index });
}

function apply(replica: Replica, entry: Entry): void {
  const { core, applied } = replica;
  assert(entry.index === applied.index + 1, 'entries are applied in order');
  let { configuration } = applied;
  if (entry.kind === 'config') configuration = core.applyConfigChange(entry);
  const { index, term } = entry;
  const history = [...applied.history, historyText(entry)];
  replica.applied = { index, term, configuration, history };
  core.applied(index);
}

/** As many pre-votes as it takes, from whomever. */
function grantPreVotes(core: RaftNode): void {
  const { voters, votersOutgoing } = core.configuration;
  for (const from of [...voters, ...votersOutgoing]) {
    if (core.role !== 'pre-candidate' || from === core.id) continue;
    const term = core.term + 1;
    core.step({ kind: 'vote-response', from, to: core.id, term, pre: true, granted: true });
  }
  // The requests were never sent.
  const state = stateOf(core);
  state.messages = state.messages.filter((m) => !(m.kind === 'vote-request' && m.pre));
}

/** The log as the core sees it, as text: position i is index i + 1. */
export function entriesOf(replica: Replica): string[] {
  const { log } = stateOf(replica.core);
  const behind = log.firstIndex - 1;
  const installing = replica.writes.findLast((write) => write.state?.index === behind);
  const base = installing?.state ?? replica.checkpoint;
  assert(base.index === behind, 'the log begins behind a state');
  const { lastIndex } = log;
  const entries = lastIndex === behind ? [] : log.entries(behind + 1, lastIndex + 1, 1 << 20);
  return [...base.history, ...entries.map(historyText)];
}

/** The durable log in the same way. */
export function durableEntriesOf({ log, checkpoint }: Replica): string[] {
  if (log.lastIndex === checkpoint.index) return [...checkpoint.history];
  const entries = log.entries(log.firstIndex, log.lastIndex + 1, 1 << 20);
  return [...checkpoint.history, ...entries.map(historyText)];
}

/** What the explorer and the planted bugs see of the inside of a core. */
export interface Inside {
  readonly id: RaftId;
  term: number;
  vote: RaftId;
  leader: RaftId;
  messages: Message[];
  configuration: Configuration;
  readonly readRounds: number;
  readonly host: { deserted: boolean };
  readonly reign:
    | {
        readonly peers: ReadonlyMap<
          RaftId,
          { readonly state: string; readonly next: number; match: number; readRound: number }
        >;
        pendingConfigIndex: number;
        transfer: unknown;
        readsWait: boolean;
        readonly readRound: ReadState | undefined;
      }
    | undefined;
  readonly log: {
    readonly firstIndex: number;
    readonly lastIndex: number;
    readonly durableIndex: number;
    readonly commit: number;
    entries(from: number, to: number, maxBytes: number): Entry[];
    term(index: number): number | undefined;
    commitTo(index: number): boolean;
    restore(snapshot: SnapshotMeta): void;
  };
}

export function stateOf(core: RaftNode): Inside {
  return Reflect.get(core, 'state') as Inside;
}
