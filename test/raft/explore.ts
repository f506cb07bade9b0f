/**
 * Exhaustive exploration of small models of the real core. Breadth first, every order of everything that can
 * happen to a few replicas within the bounds of the model; the safety properties of Raft (paper figure 3) are
 * checked in every state.
 *
 * The network only grows: whatever was sent can be delivered at any time, any number of times, or never. So
 * loss, delay, reordering and duplicates are all there, without bounds of their own.
 *
 * What happens at one replica depends on that replica alone. So replicas in equal states are one (`Local`), the
 * core runs once for each pair of a local state and an event, and a state of the cluster is a few small
 * numbers: the local states, what was sent, and facts of the past that the properties speak of.
 *
 * Visited states are known by 53 bits of a hash (Zobrist): a collision hides a state and makes up none.
 */
import {
  type Configuration,
  type ConfigChange,
  type Entry,
  type HardState,
  type Message,
  type RaftId,
  type Ready,
  RaftNode,
} from '../../src/raft/index.ts';
import { hasQuorum } from '../../src/raft/quorum.ts';
import { assert, must } from '../../src/util/index.ts';
import { birth, messageText } from './harness.ts';
import { MemoryLog } from './memory-log.ts';
import { cloneOf, keyOf, mix } from './structure.ts';

export interface Model {
  readonly voters: readonly RaftId[];
  readonly learners?: readonly RaftId[];
  /** Nobody stands for a later term than this; the first is 2. */
  readonly termMax: number;
  /** Nobody proposes behind this index; the first free one is 2. */
  readonly indexMax: number;
  /** Crashes of all replicas together; each is followed by a restart at once (staying down is receiving nothing). */
  readonly crashes: number;
  /** 'slow': a write becomes durable some time after it was handed out. 'instant': in the same step. */
  readonly disk: 'slow' | 'instant';
  /** 'granted': whoever campaigns has its pre-votes, which allows more than the core does and costs fewer states. */
  readonly preVotes: 'real' | 'granted';
  /**
   * 'elected': 1 leads term 2, its first entry is applied everywhere, and nothing of that is under way any more.
   * A list: what happens first, as in a trace; of a message its beginning is enough.
   */
  readonly start?: 'elected' | readonly string[];
  /** One entry in an append; else everything there is. */
  readonly smallAppends?: boolean;
  readonly heartbeats?: boolean;
  readonly transfers?: boolean;
  /** Leaders may propose these. */
  readonly changes?: readonly ConfigChange[];
  /** Who may stand for a term; everybody for those that are not named. */
  readonly candidates?: Readonly<Record<number, readonly RaftId[]>>;
  /** What the network can deliver; everything unless this says no. */
  readonly delivers?: (message: Message) => boolean;
  readonly bug?: Bug;
}

/** Planted in the driver or around the core, to test the explorer. */
export interface Bug {
  /** Answers that speak of a write leave before it is durable. */
  readonly answersEarly?: boolean;
  /** What a write keeps of term and vote. */
  readonly writesHardState?: (hardState: HardState) => HardState;
  /** What the core sees instead of a message. */
  readonly receives?: (core: RaftNode, message: Message) => Message;
  /** After every event, before its Ready is taken. */
  readonly after?: (core: RaftNode) => void;
}

export interface Exploration {
  readonly states: number;
  /** Steps from one state of the cluster to another, new or not. */
  readonly transitions: number;
  readonly depth: number;
  /** True when no state was left within the bounds of the model. */
  readonly complete: boolean;
  /** Different states of single replicas, and how often the core ran. */
  readonly locals: number;
  readonly runs: number;
  readonly leaders: number;
  readonly commits: number;
  readonly violation: { readonly property: string; readonly trace: readonly string[] } | undefined;
}

/** One replica and its disk. Never changed once it is known: events work on a clone. */
interface Replica {
  core: RaftNode;
  /** Durable. */
  log: MemoryLog;
  hardState: HardState;
  /** Handed out, not durable. */
  writes: Ready[];
}

interface Local {
  readonly replica: Replica;
  readonly role: string;
  readonly term: number;
  readonly commit: number;
  readonly lastIndex: number;
  /** Entries behind the birth as text: of the log that the core sees, and of the durable one. */
  readonly entries: readonly string[];
  readonly durable: readonly string[];
  readonly canPersist: boolean;
  readonly after: Map<number, Transition>;
}

/** What an event does at a replica. */
interface Transition {
  readonly to: number;
  /** Messages and facts. */
  readonly items: readonly number[];
  /** Set when the event is refused by a check at the replica itself. */
  readonly broken: string | undefined;
}

type Item =
  | { readonly kind: 'message'; readonly message: Message }
  /** Somebody came to lead `term` with this log. */
  | { readonly kind: 'leads'; readonly term: number; readonly entries: readonly string[] }
  /** A leader of `term` committed this entry. */
  | {
      readonly kind: 'commits';
      readonly term: number;
      readonly index: number;
      readonly entry: string;
    }
  /** A replica that does not lead holds this entry for committed. */
  | { readonly kind: 'learns'; readonly index: number; readonly entry: string };

interface State {
  readonly locals: readonly number[];
  readonly items: readonly number[];
  readonly crashes: number;
  readonly depth: number;
  /** Two halves of the hash. */
  readonly high: number;
  readonly low: number;
}

class Broken extends Error {}

const first = birth.index + 1;

export class Explorer {
  private readonly model: Model;
  private readonly ids: readonly RaftId[];
  private readonly configuration: Configuration;
  private readonly localList: Local[] = [];
  private readonly localOf = new Map<string, number>();
  private readonly itemList: Item[] = [];
  private readonly itemOf = new Map<string, number>();
  /** Events at a replica that are not deliveries, as numbers below 0. */
  private readonly events: readonly string[];
  private readonly weights = new Map<number, readonly [number, number]>();
  private readonly matching = new Set<string>();
  private readonly visited = new Set<number>();
  private frontier: State[] = [];
  private parents: number[] = [-1];
  private steps: number[] = [0];
  private runs = 0;
  private transitions = 0;

  constructor(model: Model) {
    this.model = model;
    this.ids = [...model.voters, ...(model.learners ?? [])];
    this.configuration = {
      voters: model.voters,
      votersOutgoing: [],
      learners: model.learners ?? [],
    };
    this.events = [
      'campaign',
      'propose',
      'persist',
      'crash',
      'heartbeat',
      ...this.ids.map((id) => `transfer ${id}`),
      ...(model.changes ?? []).map((_, i) => `change ${i}`),
    ];
  }

  /** Stops at the first violation, when `limit` states are known, or when there are no more. */
  run(limit: number): Exploration {
    const locals = this.ids.map((id) => {
      const log = new MemoryLog();
      log.reset({ ...birth, configuration: this.configuration });
      const hardState = { term: birth.term, vote: 0, commit: birth.index };
      return this.localId({ core: this.boot(id, log, hardState), log, hardState, writes: [] });
    });
    const blank: State = { locals, items: [], crashes: 0, depth: 0, high: 0, low: 0 };
    const { start } = this.model;
    if (start === undefined) this.add(blank);
    else this.add(start === 'elected' ? this.elected(blank) : this.scripted(blank, start));
    let violation: Exploration['violation'];
    let at = 0;
    let depth = 0;
    // The frontier is a queue; what was expanded is dropped in pieces.
    let dropped = 0;
    for (; at - dropped < this.frontier.length && this.visited.size < limit; at++) {
      const state = must(this.frontier[at - dropped], 'a state');
      depth = state.depth;
      try {
        this.expand(state, at);
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        violation = { property: error.message, trace: this.trace(this.parents.length - 1) };
        break;
      }
      if (at - dropped > 100_000) {
        this.frontier = this.frontier.slice(at - dropped + 1);
        dropped = at + 1;
      }
    }
    return {
      states: this.visited.size,
      transitions: this.transitions,
      depth,
      complete: violation === undefined && at - dropped >= this.frontier.length,
      locals: this.localList.length,
      runs: this.runs,
      leaders: this.itemList.filter((item) => item.kind === 'leads').length,
      commits: this.itemList.filter((item) => item.kind === 'commits').length,
      violation,
    };
  }

  /** False when it is known. */
  private add(state: State): boolean {
    const key = (state.high & 0x1fffff) * 2 ** 32 + (state.low >>> 0);
    if (this.visited.has(key)) return false;
    this.visited.add(key);
    this.frontier.push(state);
    return true;
  }

  private expand(state: State, number: number): void {
    state.locals.forEach((id, place) => {
      const local = must(this.localList[id], 'a local state');
      this.events.forEach((event, i) => {
        if (this.isEnabled(state, place, local, event)) this.follow(state, number, place, ~i);
      });
    });
    for (const id of state.items) {
      const item = must(this.itemList[id], 'an item');
      if (item.kind !== 'message' || this.model.delivers?.(item.message) === false) continue;
      const place = this.ids.indexOf(item.message.to);
      if (place >= 0) this.follow(state, number, place, id);
    }
  }

  private isEnabled(state: State, place: number, local: Local, event: string): boolean {
    const { model } = this;
    const id = must(this.ids[place], 'an id');
    const leads = local.role === 'leader';
    switch (event.split(' ')[0]) {
      case 'campaign':
        if (leads || local.term >= model.termMax) return false;
        // Replicas begin alike: the first one to stand is the first voter, by symmetry.
        if (state.items.length === 0 && state.crashes === 0 && place > 0 && !model.candidates) {
          return false;
        }
        return model.candidates?.[local.term + 1]?.includes(id) ?? true;
      case 'propose':
      case 'change':
        return leads && local.lastIndex < model.indexMax;
      case 'persist':
        return local.canPersist;
      case 'crash':
        return state.crashes < model.crashes;
      case 'heartbeat':
        return leads && model.heartbeats === true;
      case 'transfer':
        return leads && model.transfers === true;
      default:
        return false;
    }
  }

  private follow(state: State, number: number, place: number, event: number): void {
    const from = must(state.locals[place], 'a local state');
    const transition = this.transition(from, place, event);
    const next = this.next(state, place, event, transition);
    if (next === undefined) return;
    this.transitions++;
    const isNew = this.add(next);
    if (isNew) {
      this.parents.push(number);
      this.steps.push(event * 8 + place);
    }
    try {
      // A known state was checked, the step to it was not: leading a term for a second time is its fault.
      this.check(state, next, place, transition);
    } catch (error) {
      if (!isNew) {
        this.parents.push(number);
        this.steps.push(event * 8 + place);
      }
      throw error;
    }
  }

  /** Undefined when the event changes nothing. */
  private next(
    state: State,
    place: number,
    event: number,
    transition: Transition,
  ): State | undefined {
    const from = must(state.locals[place], 'a local state');
    const crashed = event < 0 && this.events[~event] === 'crash';
    const news = transition.items.filter(
      (id) => !state.items.includes(id) && this.itemList[id]?.kind !== 'learns',
    );
    if (transition.to === from && news.length === 0) return undefined;
    const locals = state.locals.slice();
    locals[place] = transition.to;
    let { high, low } = state;
    const flip = (weight: readonly [number, number]): void => {
      high ^= weight[0];
      low ^= weight[1];
    };
    if (transition.to !== from) {
      flip(this.weight(from * 8 + place + 1));
      flip(this.weight(transition.to * 8 + place + 1));
    }
    for (const id of news) flip(this.weight(-1 - id * 8));
    if (crashed) flip(this.weight(-2 - state.crashes * 8));
    return {
      locals,
      items: news.length === 0 ? state.items : [...state.items, ...news],
      crashes: state.crashes + (crashed ? 1 : 0),
      depth: state.depth + 1,
      high,
      low,
    };
  }

  private scripted(blank: State, script: readonly string[]): State {
    let state = blank;
    for (const line of script) {
      const [id, ...event] = line.split(' ');
      const local = this.events.indexOf(event.join(' '));
      const message = state.items.find((item) => this.itemText(item).startsWith(line));
      assert(local >= 0 || message !== undefined, `${line} can happen`);
      const place = this.ids.indexOf(Number(local >= 0 ? id : line.charAt(line.indexOf('>') + 1)));
      const code = local >= 0 ? ~local : must(message, 'a message');
      const transition = this.transition(must(state.locals[place], 'a place'), place, code);
      state = this.next(state, place, code, transition) ?? state;
    }
    return { ...state, depth: 0, high: 0, low: 0 };
  }

  private itemText(id: number): string {
    const item = this.itemList[id];
    return item?.kind === 'message' ? messageText(item.message) : '';
  }

  /** The first election, without anything going wrong. */
  private elected(blank: State): State {
    let state = blank;
    const step = (place: number, event: number): void => {
      const transition = this.transition(must(state.locals[place], 'a place'), place, event);
      state = this.next(state, place, event, transition) ?? state;
    };
    step(0, ~this.events.indexOf('campaign'));
    for (let before: State | undefined; before !== state;) {
      before = state;
      this.ids.forEach((_, place) => {
        while (this.localList[state.locals[place] ?? -1]?.canPersist) {
          step(place, ~this.events.indexOf('persist'));
        }
      });
      for (const id of state.items) {
        const item = must(this.itemList[id], 'an item');
        if (item.kind === 'message') step(this.ids.indexOf(item.message.to), id);
      }
    }
    const done = state.locals.every((id) => this.localList[id]?.commit === first);
    assert(done, 'the first election is over');
    const facts = state.items.filter((id) => this.itemList[id]?.kind !== 'message');
    return { ...state, items: facts, depth: 0, high: 0, low: 0 };
  }

  // --- the properties ----------------------------------------------------------------------------

  private check(before: State, after: State, place: number, transition: Transition): void {
    if (transition.broken !== undefined) throw new Broken(transition.broken);
    for (const id of transition.items) this.checkFact(before, must(this.itemList[id], 'an item'));
    this.checkMatching(after, place);
    if (this.model.changes === undefined) this.checkDurable(after);
  }

  private checkFact(before: State, fact: Item): void {
    for (const id of before.items) {
      const old = must(this.itemList[id], 'an item');
      if (old.kind === 'message') continue;
      if (fact.kind === 'leads' && old.kind === 'leads' && old.term === fact.term) {
        throw new Broken(`election safety: term ${fact.term} is led for a second time`);
      }
      if (fact.kind === 'leads' && old.kind === 'commits') complete(fact, old);
      if (fact.kind === 'commits' && old.kind === 'leads') complete(old, fact);
      if (
        (fact.kind === 'commits' || fact.kind === 'learns') &&
        old.kind !== 'leads' &&
        old.index === fact.index &&
        old.entry !== fact.entry
      ) {
        throw new Broken(
          `state machine safety: ${fact.entry} and ${old.entry} committed at ${fact.index}`,
        );
      }
    }
    if (fact.kind !== 'learns') return;
    const known = before.items.some((id) => {
      const old = this.itemList[id];
      return old?.kind === 'commits' && old.index === fact.index;
    });
    if (!known) throw new Broken(`commit: no leader committed ${fact.entry} at ${fact.index}`);
  }

  /** The same term at the same index: the same logs up to there. */
  private checkMatching(state: State, place: number): void {
    const mine = must(state.locals[place], 'a local state');
    for (const other of state.locals) {
      if (other === mine) continue;
      const key = `${mine} ${other}`;
      if (this.matching.has(key)) continue;
      const a = must(this.localList[mine], 'a local state').entries;
      const b = must(this.localList[other], 'a local state').entries;
      let same = true;
      for (let i = 0; i < Math.min(a.length, b.length); i++) {
        if (a[i] !== b[i]) same = false;
        else if (!same) throw new Broken(`log matching: ${a.join(' ')} and ${b.join(' ')}`);
        if (termOf(a[i]) === termOf(b[i]) && a[i] !== b[i]) {
          throw new Broken(`log matching: ${a.join(' ')} and ${b.join(' ')}`);
        }
      }
      this.matching.add(key);
    }
  }

  /** What is committed is, and stays, in the durable logs of a quorum. */
  private checkDurable(state: State): void {
    for (const id of state.items) {
      const fact = must(this.itemList[id], 'an item');
      if (fact.kind !== 'commits') continue;
      const holds = hasQuorum(this.configuration, (replica) => {
        const local = this.localList[state.locals[this.ids.indexOf(replica)] ?? -1];
        return local?.durable[fact.index - first] === fact.entry;
      });
      if (!holds) {
        throw new Broken(`durable commit: no quorum holds ${fact.entry} at ${fact.index}`);
      }
    }
  }

  // --- one replica -------------------------------------------------------------------------------

  private transition(from: number, place: number, event: number): Transition {
    const local = must(this.localList[from], 'a local state');
    const known = local.after.get(event);
    if (known !== undefined) return known;
    const made = this.happen(local, must(this.ids[place], 'an id'), event);
    local.after.set(event, made);
    return made;
  }

  private happen(local: Local, id: RaftId, event: number): Transition {
    this.runs++;
    const replica = cloneOf(local.replica);
    const sent: Message[] = [];
    let to = 0;
    let broken: string | undefined;
    try {
      if (event >= 0) this.receive(replica, event);
      else this.act(replica, id, must(this.events[~event], 'an event'), sent);
      this.model.bug?.after?.(replica.core);
      this.settle(replica, sent);
      to = this.localId(replica);
    } catch (error) {
      // An assertion of the core is a violation like any other.
      broken = error instanceof Error ? error.message : String(error);
      return { to: -1, items: [], broken };
    }
    const items = sent.map((message) => this.itemId({ kind: 'message', message }));
    items.push(...this.facts(local, must(this.localList[to], 'a local state')));
    return { to, items: [...new Set(items)], broken };
  }

  private receive(replica: Replica, event: number): void {
    const item = must(this.itemList[event], 'an item');
    assert(item.kind === 'message', 'messages are delivered');
    const { receives } = this.model.bug ?? {};
    replica.core.step(receives?.(replica.core, item.message) ?? item.message);
  }

  private act(replica: Replica, id: RaftId, event: string, sent: Message[]): void {
    const { core } = replica;
    const [verb, argument] = event.split(' ');
    switch (verb) {
      case 'campaign':
        core.campaign();
        if (this.model.preVotes === 'granted') grantPreVotes(core, this.configuration);
        return;
      case 'propose':
        core.propose(Buffer.from(`by ${id}`));
        return;
      case 'persist':
        this.persist(replica, sent);
        return;
      case 'crash':
        replica.writes = [];
        replica.core = this.boot(id, replica.log, replica.hardState);
        return;
      case 'heartbeat':
        core.tick();
        return;
      case 'transfer':
        core.transferLeadership(Number(argument));
        return;
      case 'change':
        core.proposeConfigChange(must(this.model.changes?.[Number(argument)], 'a change'));
        return;
      default:
        throw new Error(`unknown event ${event}`);
    }
  }

  /** Takes every Ready: sends, applies, queues the writes (and makes them, if the disk is instant). */
  private settle(replica: Replica, sent: Message[]): void {
    const { core } = replica;
    for (;;) {
      while (core.hasReady()) {
        const ready = core.ready();
        sent.push(...ready.messages);
        if (this.model.bug?.answersEarly) sent.push(...ready.messagesAfterPersist);
        assert(ready.snapshot === undefined, 'nothing is compacted');
        for (const entry of ready.committed) {
          assert(replica.log.matchesEntry(entry), 'what is applied is durable');
          if (entry.kind === 'config') core.applyConfigChange(entry);
          core.applied(entry.index);
        }
        const writes = ready.hardState !== undefined || ready.entries.length > 0;
        if (!writes && replica.writes.length === 0) sent.push(...ready.messagesAfterPersist);
        else if (writes || ready.messagesAfterPersist.length > 0) replica.writes.push(ready);
      }
      if (this.model.disk === 'slow' || replica.writes.length === 0) return;
      this.persist(replica, sent);
    }
  }

  private persist(replica: Replica, sent: Message[]): void {
    const ready = must(replica.writes.shift(), 'a write');
    const { hardState, entries } = ready;
    replica.log.append(entries);
    const { writesHardState, answersEarly } = this.model.bug ?? {};
    if (hardState) replica.hardState = writesHardState?.(hardState) ?? hardState;
    if (!answersEarly) sent.push(...ready.messagesAfterPersist);
    const last = entries.at(-1);
    if (hardState || last) {
      replica.core.persisted(last && { term: last.term, index: last.index });
    }
  }

  private facts(before: Local, after: Local): number[] {
    const facts: number[] = [];
    const { role, term, entries } = after;
    if (role === 'leader' && (before.role !== 'leader' || before.term !== term)) {
      facts.push(this.itemId({ kind: 'leads', term, entries }));
    }
    for (let index = before.commit + 1; index <= after.commit; index++) {
      const entry = must(entries[index - first], 'a committed entry');
      // A leader that steps down in the same event committed nothing in it.
      const fact: Item =
        role === 'leader'
          ? { kind: 'commits', term, index, entry }
          : { kind: 'learns', index, entry };
      facts.push(this.itemId(fact));
    }
    return facts;
  }

  private boot(id: RaftId, log: MemoryLog, hardState: HardState): RaftNode {
    return new RaftNode({
      id,
      log,
      hardState,
      configuration: this.configuration,
      applied: birth.index,
      settings: {
        electionTicks: 2,
        heartbeatTicks: 1,
        appendBytesMax: this.model.smallAppends === true ? 1 : 1024,
        inflightBytesMax: 4096,
        inflightMessagesMax: 4,
        uncommittedBytesMax: 1024,
      },
      // No store ever promises support, so nobody waits; leaders are never out of support either.
      host: { random: () => 0, supports: () => false, supportedBy: () => true },
    });
  }

  // --- small numbers for what is equal -----------------------------------------------------------

  private localId(replica: Replica): number {
    const key = keyOf(replica);
    const known = this.localOf.get(key);
    if (known !== undefined) return known;
    const { core } = replica;
    const id = this.localList.length;
    const entries = this.view(core);
    this.localOf.set(key, id);
    this.localList.push({
      replica,
      role: core.role,
      term: core.term,
      commit: core.commitIndex,
      lastIndex: core.lastIndex,
      entries,
      durable: texts(replica.log),
      canPersist: replica.writes.length > 0,
      after: new Map(),
    });
    return id;
  }

  /** The log as the core sees it. */
  private view(core: RaftNode): string[] {
    const { log } = stateOf(core);
    return log.entries(first, log.lastIndex + 1, 1 << 20).map(entryText);
  }

  private itemId(item: Item): number {
    const key = keyOf(item);
    const known = this.itemOf.get(key);
    if (known !== undefined) return known;
    this.itemOf.set(key, this.itemList.length);
    this.itemList.push(item);
    return this.itemList.length - 1;
  }

  private weight(of: number): readonly [number, number] {
    const known = this.weights.get(of);
    if (known !== undefined) return known;
    const made = [mix(of * 2 + 1), mix((of ^ 0x5bd1e995) * 2)] as const;
    this.weights.set(of, made);
    return made;
  }

  private trace(last: number): string[] {
    const lines: string[] = [];
    for (let at = last; at > 0; at = this.parents[at] ?? 0) {
      const step = this.steps[at] ?? 0;
      const place = step & 7;
      const event = (step - place) / 8;
      const item = this.itemList[event];
      lines.push(
        item?.kind === 'message'
          ? messageText(item.message)
          : `${this.ids[place]} ${this.events[~event]}`,
      );
    }
    return lines.reverse();
  }
}

function complete(
  leads: Extract<Item, { kind: 'leads' }>,
  commits: Extract<Item, { kind: 'commits' }>,
): void {
  if (leads.term <= commits.term || leads.entries[commits.index - first] === commits.entry) return;
  throw new Broken(
    `leader completeness: term ${leads.term} is led without ${commits.entry} at ${commits.index}, committed in term ${commits.term}`,
  );
}

/** As many pre-votes as it takes, from whomever. */
function grantPreVotes(core: RaftNode, configuration: Configuration): void {
  for (const from of configuration.voters) {
    if (core.role !== 'pre-candidate' || from === core.id) continue;
    const term = core.term + 1;
    core.step({ kind: 'vote-response', from, to: core.id, term, pre: true, granted: true });
  }
  // The requests were never sent.
  const state = stateOf(core);
  state.messages = state.messages.filter((m) => !(m.kind === 'vote-request' && m.pre));
}

/** What the explorer and the planted bugs see of the inside of a core. */
export interface Inside {
  readonly id: RaftId;
  term: number;
  vote: RaftId;
  messages: Message[];
  configuration: Configuration;
  readonly reign: { readonly peers: ReadonlyMap<RaftId, { readonly match: number }> } | undefined;
  readonly log: {
    readonly lastIndex: number;
    readonly durableIndex: number;
    entries(from: number, to: number, maxBytes: number): Entry[];
    term(index: number): number | undefined;
    commitTo(index: number): boolean;
  };
}

export function stateOf(core: RaftNode): Inside {
  return Reflect.get(core, 'state') as Inside;
}

function entryText(entry: Entry): string {
  return `${entry.term}:${entry.kind === 'config' ? entry.data.toString('hex') : entry.data.toString()}`;
}

function termOf(text: string | undefined): string | undefined {
  return text?.slice(0, text.indexOf(':'));
}

function texts(log: MemoryLog): string[] {
  return log.lastIndex < first ? [] : log.entries(first, log.lastIndex + 1, 1 << 20).map(entryText);
}
