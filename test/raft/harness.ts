/**
 * A small cluster around the core: each member has a log that forgets what was not persisted, a
 * state machine with checkpoints, and a queue of writes under way; the network is a list of messages
 * that the test delivers, drops or repeats one by one. Everything that happens goes to `trace`.
 */
import {
  RaftNode,
  type Configuration,
  type Entry,
  type HardState,
  type Message,
  type RaftSettings,
  type RaftId,
  type Ready,
  type SnapshotMeta,
  isJoint,
} from '../../src/raft/index.ts';
import { assert, must } from '../../src/util/index.ts';
import { MemoryLog } from './memory-log.ts';

/** What was applied: the state that a snapshot carries. */
export interface AppliedState {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
  /** `term:data` of every applied entry; position 0 is index 1. */
  readonly history: readonly string[];
}

export interface Packet {
  readonly message: Message;
  /** The state that travels with a 'snapshot' message. */
  readonly state?: AppliedState;
}

export interface Member {
  readonly id: RaftId;
  core: RaftNode;
  up: boolean;
  incarnation: number;
  /** With everything handed out by the core, durable or not. */
  memory: MemoryLog;
  durable: MemoryLog;
  durableHardState: HardState;
  applied: AppliedState;
  /** Survives a crash. */
  checkpoint: AppliedState;
  writes: Ready[];
  /** State of snapshots that were stepped in and wait for Ready.snapshot. */
  received: Map<number, AppliedState>;
}

export interface ClusterOptions {
  readonly voters: readonly RaftId[];
  readonly learners?: readonly RaftId[];
  /** Ids that exist without being members yet. */
  readonly spares?: readonly RaftId[];
  readonly random?: (id: RaftId) => number;
  /** The core reads entries that are written but not durable (as the store's log shows them). */
  readonly readsUndurable?: boolean;
  readonly settings?: Partial<RaftSettings>;
}

export interface Observer {
  ready?(member: Member, ready: Ready): void;
  applied?(member: Member, entry: Entry): void;
  installed?(member: Member, state: AppliedState): void;
}

const none: Configuration = { voters: [], votersOutgoing: [], learners: [] };
export const nothing: AppliedState = { index: 0, term: 0, history: [], configuration: none };

/** A range begins at index 1, which is no entry: whoever joins later needs a snapshot of its state. */
export const birth = { index: 1, term: 1, text: 'birth' };

/** Short times and small limits: scripts reach them in a few lines. */
export const smallSettings: RaftSettings = {
  electionTicks: 3,
  heartbeatTicks: 1,
  appendBytesMax: 1024,
  inflightBytesMax: 4096,
  inflightMessagesMax: 4,
  uncommittedBytesMax: 1024,
};

export class Cluster {
  readonly members = new Map<RaftId, Member>();
  network: Packet[] = [];
  trace: string[] = [];
  observer: Observer = {};
  /** Planted bugs for the tests of the checkers. */
  bug: 'none' | 'forget-vote' | 'ack-before-persist' = 'none';
  /** Lets support flicker: asked at every look. */
  supportFlickers: () => boolean = () => false;
  private readonly cuts = new Set<string>();
  private readonly withdrawn = new Set<string>();
  private readonly options: ClusterOptions;

  constructor(options: ClusterOptions) {
    this.options = options;
    const configuration: Configuration = {
      voters: options.voters,
      votersOutgoing: [],
      learners: options.learners ?? [],
    };
    const { index, term } = birth;
    const state: AppliedState = { index, term, configuration, history: [birth.text] };
    for (const id of [...options.voters, ...(options.learners ?? [])]) {
      const durable = new MemoryLog();
      durable.reset(state);
      const hardState = { term, vote: 0, commit: index };
      this.members.set(id, this.boot(id, 0, durable, hardState, state));
    }
    for (const id of options.spares ?? []) {
      const hardState = { term: 0, vote: 0, commit: 0 };
      this.members.set(id, this.boot(id, 0, new MemoryLog(), hardState, nothing));
    }
  }

  member(id: RaftId): Member {
    return must(this.members.get(id), `there is no member ${id}`);
  }

  // --- links and support ---------------------------------------------------------------------

  cut(from: RaftId, to: RaftId): void {
    this.cuts.add(`${from}>${to}`);
  }

  isCut(from: RaftId, to: RaftId): boolean {
    return this.cuts.has(`${from}>${to}`);
  }

  isolate(id: RaftId): void {
    for (const other of this.members.keys()) {
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  heal(): void {
    this.cuts.clear();
    this.withdrawn.clear();
  }

  setSupport(from: RaftId, to: RaftId, on: boolean): void {
    if (on) this.withdrawn.delete(`${from}>${to}`);
    else this.withdrawn.add(`${from}>${to}`);
  }

  /** Store support: from a live store to a live one, both directions open, and not withdrawn by the test. */
  supports(from: RaftId, to: RaftId): boolean {
    return (
      this.members.get(from)?.up === true &&
      this.members.get(to)?.up === true &&
      !this.isCut(from, to) &&
      !this.isCut(to, from) &&
      !this.withdrawn.has(`${from}>${to}`) &&
      !this.supportFlickers()
    );
  }

  // --- the driver's duties -------------------------------------------------------------------

  /** Takes one Ready: sends, queues the write, applies. False when there was none. */
  ready(member: Member): boolean {
    if (!member.up || !member.core.hasReady()) return false;
    const ready = member.core.ready();
    const { status, snapshot, readable } = ready;
    if (status) {
      this.log(`${member.id} ${status.role} t${status.term} leader=${status.leader || '-'}`);
    }
    if (readable) this.log(`${member.id} readable r${readable.round} at ${readable.index}`);
    if (snapshot) member.memory.reset(snapshot);
    member.memory.append(ready.entries);
    this.observer.ready?.(member, ready);
    for (const message of ready.messages) this.send({ message });
    if (this.bug === 'ack-before-persist') {
      for (const message of ready.messagesAfterPersist) this.send({ message });
    }
    for (const entry of ready.committed) this.apply(member, entry);
    for (const to of ready.snapshotsWanted) this.sendSnapshot(member, to);
    const writes = ready.hardState !== undefined || ready.entries.length > 0 || snapshot;
    if (writes || ready.messagesAfterPersist.length > 0) member.writes.push(ready);
    return true;
  }

  /** The oldest write becomes durable. False when there is none. */
  persist(member: Member): boolean {
    const ready = member.writes.shift();
    if (!member.up || ready === undefined) return false;
    const { hardState, entries, snapshot } = ready;
    if (snapshot) {
      member.durable.reset(snapshot);
      member.applied = must(member.received.get(snapshot.index), 'the state of the snapshot');
      member.checkpoint = member.applied;
      this.log(`${member.id} installed ${snapshot.index}@${snapshot.term}`);
      this.observer.installed?.(member, member.applied);
    }
    member.durable.append(entries);
    if (hardState) {
      const { vote } = member.durableHardState;
      member.durableHardState =
        this.bug === 'forget-vote' && hardState.term === member.durableHardState.term
          ? { ...hardState, vote }
          : this.bug === 'forget-vote'
            ? { ...hardState, vote: 0 }
            : hardState;
    }
    if (hardState || entries.length > 0) {
      const state = hardState
        ? ` t${hardState.term} v${hardState.vote || '-'} c${hardState.commit}`
        : '';
      this.log(`${member.id} wrote${state}${entriesText(entries, ' ')}`);
    }
    if (this.bug !== 'ack-before-persist') {
      for (const message of ready.messagesAfterPersist) this.send({ message });
    }
    const last = entries.at(-1) ?? snapshot;
    if (hardState || entries.length > 0 || snapshot) {
      member.core.persisted(last && { term: last.term, index: last.index });
    }
    return true;
  }

  private apply(member: Member, entry: Entry): void {
    assert(entry.index === member.applied.index + 1, 'entries are applied in order');
    let { configuration } = member.applied;
    if (entry.kind === 'config') {
      configuration = member.core.applyConfigChange(entry);
      this.log(`${member.id} configuration ${configurationText(configuration)}`);
    } else if (entry.data.length > 0) {
      this.log(`${member.id} applied ${entry.index} ${entry.data.toString()}`);
    }
    member.applied = {
      index: entry.index,
      term: entry.term,
      configuration,
      history: [...member.applied.history, historyText(entry)],
    };
    this.observer.applied?.(member, entry);
    member.core.applied(entry.index);
  }

  private sendSnapshot(member: Member, to: RaftId): void {
    const { index, term, configuration } = member.applied;
    const snapshot: SnapshotMeta = { index, term, configuration };
    this.send({
      message: { kind: 'snapshot', from: member.id, to, term: member.core.term, snapshot },
      state: member.applied,
    });
  }

  private send(packet: Packet): void {
    const { from, to } = packet.message;
    if (!this.members.has(to) || this.isCut(from, to)) this.lost(packet);
    else this.network.push(packet);
  }

  /** Hands a packet to its receiver, or loses it when that one is down or cut off. */
  deliver(packet: Packet): void {
    const { message, state } = packet;
    const to = this.members.get(message.to);
    if (to === undefined || !to.up || this.isCut(message.from, message.to)) {
      this.lost(packet);
      return;
    }
    this.log(messageText(message));
    if (state) to.received.set(state.index, state);
    to.core.step(message);
    if (state) this.reportSnapshot(packet, true);
  }

  lost(packet: Packet): void {
    this.log(`${messageText(packet.message)} (lost)`);
    if (packet.state) this.reportSnapshot(packet, false);
  }

  private reportSnapshot(packet: Packet, ok: boolean): void {
    const from = this.members.get(packet.message.from);
    if (from?.up)
      from.core.snapshotSent(packet.message.to, { ok, index: packet.state?.index ?? 0 });
  }

  /** Delivers, persists and applies until nothing is left to do. What is sent to others than `ids` waits. */
  run(ids: readonly RaftId[] = [...this.members.keys()]): void {
    for (let round = 0; ; round++) {
      assert(round < 1000, 'the cluster comes to rest');
      let busy = false;
      for (const id of ids) {
        while (this.ready(this.member(id)) || this.persist(this.member(id))) busy = true;
      }
      const packets = this.network.filter((packet) => ids.includes(packet.message.to));
      this.network = this.network.filter((packet) => !ids.includes(packet.message.to));
      for (const packet of packets) this.deliver(packet);
      if (!busy && packets.length === 0) return;
    }
  }

  // --- crashes -------------------------------------------------------------------------------

  crash(member: Member): void {
    member.up = false;
    member.writes = [];
  }

  restart(member: Member): void {
    const { id, incarnation, durable, durableHardState, checkpoint } = member;
    this.members.set(id, this.boot(id, incarnation + 1, durable, durableHardState, checkpoint));
  }

  checkpoint(member: Member): void {
    if (member.applied.index <= member.durable.lastIndex) member.checkpoint = member.applied;
  }

  /** Forgets the log up to `index`, at most what the checkpoint covers. */
  compact(member: Member, index: number): void {
    const upTo = Math.min(index, member.checkpoint.index);
    member.durable.compact(upTo);
    member.memory.compact(upTo);
  }

  private boot(
    id: RaftId,
    incarnation: number,
    durable: MemoryLog,
    hardState: HardState,
    applied: AppliedState,
  ): Member {
    const memory = durable.copy();
    const core = new RaftNode({
      id,
      log: this.options.readsUndurable === true ? memory : durable,
      hardState,
      configuration: applied.configuration,
      applied: applied.index,
      settings: { ...smallSettings, ...this.options.settings },
      host: {
        random: () => this.options.random?.(id) ?? 0,
        supports: (leader) => this.supports(id, leader),
        supportedBy: (peer) => this.supports(peer, id),
      },
    });
    return {
      id,
      core,
      up: true,
      incarnation,
      memory,
      durable,
      durableHardState: hardState,
      applied,
      checkpoint: applied,
      writes: [],
      received: new Map(),
    };
  }

  private log(line: string): void {
    this.trace.push(line);
  }
}

export function historyText(entry: Entry): string {
  const data = entry.kind === 'config' ? entry.data.toString('hex') : entry.data.toString();
  return `${entry.term}:${entry.kind}:${data}`;
}

export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners } = configuration;
  const outgoing = isJoint(configuration) ? ` outgoing=${votersOutgoing.join(',')}` : '';
  const learning = learners.length > 0 ? ` learners=${learners.join(',')}` : '';
  return `voters=${voters.join(',')}${outgoing}${learning}`;
}

/** `[5@2 6@2]`: index@term. */
function entriesText(entries: readonly Entry[], before: string): string {
  if (entries.length === 0) return '';
  return `${before}[${entries.map((entry) => `${entry.index}@${entry.term}`).join(' ')}]`;
}

function roundText(round: number): string {
  return round === 0 ? '' : ` r${round}`;
}

export function messageText(m: Message): string {
  const head = `${m.from}>${m.to} t${m.term}`;
  switch (m.kind) {
    case 'vote-request': {
      const kind = m.pre ? 'pre-vote?' : 'vote?';
      return `${head} ${kind} ${m.lastIndex}@${m.lastTerm}${m.transfer ? ' transfer' : ''}`;
    }
    case 'vote-response':
      return `${head} ${m.pre ? 'pre-vote' : 'vote'} ${m.granted ? 'yes' : 'no'}`;
    case 'append':
      return `${head} append ${m.previousIndex}@${m.previousTerm}${entriesText(m.entries, '+')} c${m.commit}`;
    case 'append-response':
      return m.rejected
        ? `${head} rejects ${m.index} hint=${m.hintIndex}@${m.hintTerm}`
        : `${head} holds ${m.index}`;
    case 'heartbeat':
      return `${head} heartbeat c${m.commit}${roundText(m.round)}`;
    case 'heartbeat-response':
      return `${head} alive${roundText(m.round)}`;
    case 'snapshot':
      return `${head} snapshot ${m.snapshot.index}@${m.snapshot.term}`;
    case 'timeout-now':
      return `${head} campaign!`;
  }
}
