/**
 * Exhaustive exploration of small models of the real core. Breadth first, every order of everything that can
 * happen to a few replicas within the bounds of the model (`model.ts`); what has to hold (`properties.ts`) is
 * checked in every state.
 *
 * The network only grows: whatever was sent can be delivered at any time, any number of times, or never. So
 * loss, delay, reordering and duplicates are all there, without bounds of their own.
 *
 * What happens at one replica depends on that replica alone (`replica.ts`). So replicas in equal states are one
 * (`Local`), the core runs once for each pair of a local state and an event, and a state of the cluster is a few
 * small numbers: the local states, what was sent, and facts of the past that the properties speak of.
 *
 * Visited states are known by 53 bits of a hash (Zobrist): a collision hides a state and makes up none.
 */
import { type RaftId } from '../../../src/raft/index.ts';
import { assert, must } from '../../../src/util/index.ts';
import { type Packet, birth, messageText } from '../harness.ts';
import { membersOf, type Model } from './model.ts';
import {
  Broken,
  checkDurable,
  checkFact,
  checkMatching,
  checkSupport,
  committedBy,
  factsOf,
  viewOf,
  type Fact,
  type Sight,
  type View,
} from './properties.ts';
import { firstEvents, ReplicaRules, type Replica } from './replica.ts';
import { cloneOf, keyOf, mix } from './structure.ts';

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

/** A replica in one of its states. */
interface Local {
  readonly replica: Replica;
  readonly view: View;
  /** Events that can happen to it (a crash always can). */
  readonly events: readonly number[];
  /** By event or packet. */
  readonly after: Map<number, Transition>;
}

/** What an event does at a replica. */
interface Transition {
  readonly to: number;
  readonly packets: readonly number[];
  readonly facts: readonly number[];
  readonly sights: readonly Sight[];
  /** Set when a check at the replica itself refuses the event. */
  readonly broken: string | undefined;
}

/** Locals, packets and facts are numbers, in lists that know them. */
interface State {
  readonly locals: readonly number[];
  /** What was sent. */
  readonly packets: readonly number[];
  readonly facts: readonly number[];
  readonly crashes: number;
  readonly depth: number;
  /** Two halves of the hash. */
  readonly high: number;
  readonly low: number;
}

const campaign = firstEvents.indexOf('campaign');
const persist = firstEvents.indexOf('persist');
const apply = firstEvents.indexOf('apply');
const crash = firstEvents.indexOf('crash');

export class Explorer {
  private readonly model: Model;
  private readonly ids: readonly RaftId[];
  private readonly rules: ReplicaRules;
  private readonly locals = new Numbers<Local>();
  private readonly packets = new Numbers<Packet>();
  private readonly facts = new Numbers<Fact>();
  private readonly weights = new Map<number, readonly [number, number]>();
  private readonly matching = new Set<number>();
  private readonly visited = new Set<number>();
  private frontier: State[] = [];
  private parents: number[] = [-1];
  private stepsTo: number[] = [0];
  private runs = 0;
  private transitions = 0;

  constructor(model: Model) {
    this.model = model;
    this.ids = membersOf(model);
    this.rules = new ReplicaRules(model);
  }

  /** Stops at the first violation, when `limit` states are known, or when there are no more. */
  run(limit: number): Exploration {
    this.add(this.begin());
    let violation: Exploration['violation'];
    let at = 0;
    let depth = 0;
    // The frontier is a queue; what was expanded is dropped in pieces.
    let dropped = 0;
    for (; at - dropped < this.frontier.length && this.visited.size < limit; at++) {
      const state = must(this.frontier[at - dropped], 'a state');
      depth = state.depth;
      try {
        for (const step of this.steps(state)) this.follow(state, at, step);
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
      locals: this.locals.list.length,
      runs: this.runs,
      leaders: this.facts.list.filter((fact) => fact.kind === 'leads').length,
      commits: this.facts.list.filter((fact) => fact.kind === 'commits').length,
      violation,
    };
  }

  /** Deep instead of wide: one state after another, chosen by `random`, for at most `length` steps. */
  walk(length: number, random: () => number): Exploration['violation'] {
    let state = this.begin();
    const walked: number[] = [];
    for (let i = 0; i < length; i++) {
      const steps = this.steps(state);
      const step = steps[Math.floor(random() * steps.length)];
      if (step === undefined) return undefined;
      walked.push(step);
      const transition = this.transition(state, step);
      const next = this.next(state, step, transition);
      if (next === undefined) continue;
      try {
        this.check(state, next, placeOf(step), transition);
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        return { property: error.message, trace: this.texts(walked) };
      }
      state = next;
    }
    return undefined;
  }

  /** False when it is known. */
  private add(state: State): boolean {
    const key = (state.high & 0x1fffff) * 2 ** 32 + (state.low >>> 0);
    if (this.visited.has(key)) return false;
    this.visited.add(key);
    this.frontier.push(state);
    return true;
  }

  // --- from a state to the next ------------------------------------------------------------------

  /** What can happen: numbers of an event (below 0: one of the rules, inverted; else a packet) and a place. */
  private steps(state: State): number[] {
    const steps: number[] = [];
    // Replicas begin alike: the first one to stand is the first voter, by symmetry.
    const untouched = state.packets.length === 0 && state.facts.length === 0;
    const symmetric = untouched && state.crashes === 0 && !this.model.candidates;
    state.locals.forEach((id, place) => {
      for (const event of this.locals.at(id).events) {
        if (event === crash && state.crashes >= this.model.crashes) continue;
        if (event === campaign && symmetric && place > 0) continue;
        steps.push(~event * 8 + place);
      }
    });
    for (const id of state.packets) {
      const { message } = this.packets.at(id);
      if (this.model.delivers?.(message) === false) continue;
      const place = this.ids.indexOf(message.to);
      if (place >= 0) steps.push(id * 8 + place);
    }
    return steps;
  }

  private follow(state: State, number: number, step: number): void {
    const transition = this.transition(state, step);
    const next = this.next(state, step, transition);
    if (next === undefined) return;
    this.transitions++;
    const isNew = this.add(next);
    if (isNew) this.remember(number, step);
    try {
      // A known state was checked, the step to it was not: leading a term for a second time is its fault.
      this.check(state, next, placeOf(step), transition);
    } catch (error) {
      if (!isNew) this.remember(number, step);
      throw error;
    }
  }

  /** Undefined when the event changes nothing and shows nothing. */
  private next(state: State, step: number, transition: Transition): State | undefined {
    const place = placeOf(step);
    const from = must(state.locals[place], 'a local state');
    const packets = transition.packets.filter((id) => !state.packets.includes(id));
    const facts = transition.facts.filter((id) => !state.facts.includes(id));
    for (const sight of transition.sights) {
      if (sight.kind !== 'asks') continue;
      const asked = this.asked(state, sight);
      if (!state.facts.includes(asked)) facts.push(asked);
    }
    const isNothing = transition.to === from && packets.length === 0 && facts.length === 0;
    if (isNothing && transition.sights.length === 0) return undefined;
    const locals = state.locals.slice();
    locals[place] = transition.to;
    let { high, low, crashes } = state;
    const flip = (of: number): void => {
      const weight = this.weight(of);
      high ^= weight[0];
      low ^= weight[1];
    };
    if (transition.to !== from) {
      flip(from * 8 + place + 1);
      flip(transition.to * 8 + place + 1);
    }
    for (const id of packets) flip(-1 - id * 8);
    for (const id of facts) flip(-2 - id * 8);
    if (eventOf(step) === ~crash) flip(-3 - crashes++ * 8);
    return {
      locals,
      packets: packets.length === 0 ? state.packets : [...state.packets, ...packets],
      facts: facts.length === 0 ? state.facts : [...state.facts, ...facts],
      crashes,
      depth: state.depth + 1,
      high,
      low,
    };
  }

  /** A read that is asked becomes a fact together with what is committed by then. */
  private asked(state: State, { id, round }: Extract<Sight, { kind: 'asks' }>): number {
    const fact: Fact = { kind: 'asked', id, round, floor: committedBy(this.factsIn(state)) };
    return this.facts.of(keyOf(fact, false), () => fact);
  }

  private check(before: State, after: State, place: number, transition: Transition): void {
    if (transition.broken !== undefined) throw new Broken(transition.broken);
    const { facts, sights } = transition;
    if (facts.length > 0 || sights.length > 0) {
      const known = this.factsIn(before);
      for (const id of facts) checkFact(known, this.facts.at(id));
      // A single voter's read is answered in the step that asks it.
      for (const sight of sights) {
        checkFact(sight.kind === 'readable' ? this.factsIn(after) : known, sight);
      }
    }
    this.checkMatching(after, place);
    const viewAt = (at: number): View | undefined => this.locals.list[after.locals[at] ?? -1]?.view;
    if (this.model.changes === undefined) {
      const { voters } = this.model;
      const configuration = { voters, votersOutgoing: [], learners: [] };
      checkDurable(this.factsIn(after), configuration, (id) => viewAt(this.ids.indexOf(id)));
    }
    if (this.model.promises) {
      checkSupport(after.locals.map((id) => this.locals.at(id).view));
    }
  }

  private checkMatching(state: State, place: number): void {
    const mine = must(state.locals[place], 'a local state');
    for (const other of state.locals) {
      const pair = mine * 2 ** 24 + other;
      if (other === mine || this.matching.has(pair)) continue;
      checkMatching(this.locals.at(mine).view.entries, this.locals.at(other).view.entries);
      this.matching.add(pair);
    }
  }

  private factsIn(state: State): Fact[] {
    return state.facts.map((id) => this.facts.at(id));
  }

  // --- one replica -------------------------------------------------------------------------------

  private transition(state: State, step: number): Transition {
    const { replica, view, after } = this.localAt(state, placeOf(step));
    const event = eventOf(step);
    const known = after.get(event);
    if (known !== undefined) return known;
    const made = this.happen(replica, view, event);
    after.set(event, made);
    return made;
  }

  private happen(from: Replica, before: View, event: number): Transition {
    this.runs++;
    const replica = cloneOf(from);
    try {
      const what =
        event >= 0 ? this.packets.at(event) : must(this.rules.events[~event], 'an event');
      const effects = this.rules.happen(before.id, replica, what);
      const to = this.localId(before.id, replica);
      const { facts, sights } = factsOf(before, this.locals.at(to).view, effects);
      const packets = effects.packets.map((packet) => {
        return this.packets.of(keyOf(packet, false), () => packet);
      });
      return {
        to,
        packets: [...new Set(packets)],
        facts: facts.map((fact) => this.facts.of(keyOf(fact, false), () => fact)),
        sights,
        broken: undefined,
      };
    } catch (error) {
      // An assertion of the core is a violation like any other.
      const broken = error instanceof Error ? error.message : String(error);
      return { to: -1, packets: [], facts: [], sights: [], broken };
    }
  }

  private localAt(state: State, place: number): Local {
    return this.locals.at(must(state.locals[place], 'a local state'));
  }

  private localId(id: RaftId, replica: Replica): number {
    return this.locals.of(keyOf(replica, this.model.holds === true), () => {
      const { events } = this.rules;
      const enabled = events.map((event, i) => (this.rules.isEnabled(id, replica, event) ? i : -1));
      return {
        replica,
        view: viewOf(replica),
        events: enabled.filter((i) => i >= 0),
        after: new Map(),
      };
    });
  }

  // --- where it begins ---------------------------------------------------------------------------

  private begin(): State {
    const locals = this.ids.map((id) => this.localId(id, this.rules.born(id)));
    const none = { packets: [], facts: [], crashes: 0, depth: 0, high: 0, low: 0 };
    const blank: State = { locals, ...none };
    let state = blank;
    for (const line of this.model.start ?? []) state = this.scripted(state, line);
    return { ...state, depth: 0, high: 0, low: 0 };
  }

  private do(state: State, place: number, event: number): State {
    const step = event * 8 + place;
    const transition = this.transition(state, step);
    assert(transition.broken === undefined, transition.broken ?? '');
    return this.next(state, step, transition) ?? state;
  }

  private scripted(state: State, line: string): State {
    if (line === 'elected') return this.elected(state);
    const [id, ...words] = line.split(' ');
    const event = this.rules.events.indexOf(words.join(' '));
    const packet = state.packets.find((sent) => this.packetText(sent).startsWith(line));
    assert(event >= 0 || packet !== undefined, `${line} can happen`);
    const place = this.ids.indexOf(Number(event >= 0 ? id : line.charAt(line.indexOf('>') + 1)));
    return this.do(state, place, event >= 0 ? ~event : must(packet, 'a packet'));
  }

  /** The first election, without anything going wrong. */
  private elected(blank: State): State {
    let state = this.do(blank, 0, ~campaign);
    for (let before: State | undefined; before !== state;) {
      before = state;
      this.ids.forEach((_, place) => {
        const next = (): number | undefined =>
          this.localAt(state, place).events.find((event) => event === persist || event === apply);
        for (let event = next(); event !== undefined; event = next()) {
          state = this.do(state, place, ~event);
        }
      });
      for (const id of state.packets) {
        state = this.do(state, this.ids.indexOf(this.packets.at(id).message.to), id);
      }
    }
    const isOver = this.model.voters.every(
      (_, place) => this.localAt(state, place).view.commit > birth.index,
    );
    assert(isOver, 'the first election is over');
    return { ...state, packets: [] };
  }

  // --- the way to a state ------------------------------------------------------------------------

  private remember(parent: number, step: number): void {
    this.parents.push(parent);
    this.stepsTo.push(step);
  }

  private trace(last: number): string[] {
    const steps: number[] = [];
    for (let at = last; at > 0; at = this.parents[at] ?? 0) steps.push(this.stepsTo[at] ?? 0);
    return this.texts(steps.reverse());
  }

  private texts(steps: readonly number[]): string[] {
    const texts = steps.map((step) => {
      const event = eventOf(step);
      const own = `${this.ids[placeOf(step)]} ${this.rules.events[~event]}`;
      return event >= 0 ? this.packetText(event) : own;
    });
    return [...(this.model.start ?? []), ...texts];
  }

  private packetText(id: number): string {
    return messageText(this.packets.at(id).message);
  }

  private weight(of: number): readonly [number, number] {
    const known = this.weights.get(of);
    if (known !== undefined) return known;
    const made = [mix(of * 2 + 1), mix((of ^ 0x5bd1e995) * 2)] as const;
    this.weights.set(of, made);
    return made;
  }
}

function placeOf(step: number): number {
  return step & 7;
}

function eventOf(step: number): number {
  return (step - placeOf(step)) / 8;
}

/** Small numbers for what is equal. */
class Numbers<T> {
  readonly list: T[] = [];
  private readonly numberOf = new Map<string, number>();

  of(key: string, make: () => T): number {
    const known = this.numberOf.get(key);
    if (known !== undefined) return known;
    this.numberOf.set(key, this.list.length);
    this.list.push(make());
    return this.list.length - 1;
  }

  at(number: number): T {
    return must(this.list[number], 'a known number');
  }
}
