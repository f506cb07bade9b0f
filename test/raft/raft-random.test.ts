/**
 * Random schedules: loss, duplication, reordering, slow disks, crashes, support that comes and goes,
 * membership changes, transfers and compaction; after every step the four safety properties of Raft
 * (paper figure 3) are checked, and at the end a healed cluster must agree. RAFT_SEED=n runs one seed.
 */
import { expect, it } from 'vitest';
import {
  type Entry,
  type Message,
  type RaftId,
  type Ready,
  isJoint,
} from '../../src/raft/index.ts';
import { type Member, Cluster, birth, historyText } from './harness.ts';
import { SeededRandom } from '../random.ts';

class Unsafe extends Error {}

function demand(condition: boolean, message: () => string): void {
  if (!condition) throw new Unsafe(message());
}

/** Reads that one life of a replica was asked for: the round, and the last index that was committed by then. */
type Reads = { readonly round: number; readonly floor: number }[];

/** Watches every replica; each rule throws as soon as it is broken. */
class SafetyChecker {
  private readonly leaders = new Map<number, string>();
  /** index@term -> content and term of the entry before it. */
  private readonly seen = new Map<string, string>();
  /** index -> history text of the committed entry. */
  readonly committed = new Map<number, string>([[birth.index, birth.text]]);

  /** index -> a term in which it was committed already. */
  private readonly committedIn = new Map<number, number>();

  private readonly reads = new Map<string, Reads>();
  readsAnswered = 0;

  constructor(cluster: Cluster) {
    cluster.observer = {
      ready: (member, ready) => {
        for (const entry of ready.entries) this.logMatching(member, entry);
        if (ready.status?.role === 'leader') this.newLeader(member);
        this.appliesFirst(member, ready);
        this.readIndex(member, ready);
      },
      applied: (member, entry) => this.stateMachine(member, entry),
      installed: (member, state) => {
        state.history.forEach((text, i) => {
          demand(
            this.committed.get(i + 1) === text,
            () => `state machine safety: snapshot at ${member.id} differs at ${i + 1}`,
          );
        });
      },
    };
  }

  /** Election safety, and leader completeness: a leader has every entry committed in an earlier term. */
  private newLeader(member: Member): void {
    const who = `${member.id}.${member.incarnation}`;
    const { term } = member.core;
    const before = this.leaders.get(term) ?? who;
    demand(before === who, () => `election safety: ${before} and ${who} lead term ${term}`);
    this.leaders.set(term, who);
    for (const [index, text] of this.committed) {
      const committedIn = this.committedIn.get(index) ?? 0;
      if (index < member.memory.firstIndex || committedIn >= term) continue;
      const [entry] =
        index <= member.memory.lastIndex ? member.memory.entries(index, index + 1, 0) : [];
      demand(
        entry !== undefined && historyText(entry) === text,
        () => `leader completeness: ${who} leads term ${term} without entry ${index}`,
      );
    }
  }

  /** A read is asked at `member`. */
  ask(member: Member): void {
    const asked = member.core.readIndex();
    if (asked.kind !== 'accepted') return;
    const who = `${member.id}.${member.incarnation}`;
    const reads = this.reads.get(who) ?? [];
    reads.push({ round: asked.round, floor: Math.max(...this.committed.keys()) });
    this.reads.set(who, reads);
  }

  /** A read sees everything that was committed when it was asked (thesis 6.4). */
  private readIndex(member: Member, { readable }: Ready): void {
    if (readable === undefined) return;
    const who = `${member.id}.${member.incarnation}`;
    const { round, index } = readable;
    for (const read of this.reads.get(who) ?? []) {
      if (read.round > round) continue;
      demand(
        index >= read.floor,
        () => `read index: ${who} reads at ${index} in r${round}, ${read.floor} was committed`,
      );
      this.readsAnswered++;
    }
    const later = this.reads.get(who)?.filter((read) => read.round > round);
    this.reads.set(who, later ?? []);
  }

  /** Nobody is told of a commit that its leader has not handed out for applying at the latest in the same Ready. */
  private appliesFirst(member: Member, ready: Ready): void {
    const handedOut = ready.committed.at(-1)?.index ?? member.applied.index;
    for (const m of ready.messages) {
      if (m.kind !== 'append' && m.kind !== 'heartbeat') continue;
      demand(
        m.commit <= handedOut,
        () => `${member.id} tells ${m.to} of commit ${m.commit} and applies up to ${handedOut}`,
      );
    }
  }

  /** The same index and term: the same content and the same entry before, hence the same log before. */
  private logMatching(member: Member, entry: Entry): void {
    const key = `${entry.index}@${entry.term}`;
    const text = `${historyText(entry)} after ${member.memory.term(entry.index - 1)}`;
    const before = this.seen.get(key) ?? text;
    demand(
      before === text,
      () => `log matching: ${key} is ${before} and, at ${member.id}, ${text}`,
    );
    this.seen.set(key, text);
  }

  private stateMachine(member: Member, entry: Entry): void {
    const text = historyText(entry);
    const before = this.committed.get(entry.index) ?? text;
    demand(
      before === text,
      () => `state machine safety: ${member.id} applies ${text} at ${entry.index}, not ${before}`,
    );
    if (!this.committed.has(entry.index)) this.committedIn.set(entry.index, member.core.term);
    this.committed.set(entry.index, text);
    demand(
      member.durable.matchesEntry(entry),
      () => `${member.id} applies ${entry.index} before it is durable`,
    );
  }
}

interface Run {
  readonly cluster: Cluster;
  readonly checker: SafetyChecker;
  readonly random: () => number;
  /** How often things break, drawn for each seed: calm runs get far, wild ones are strange. */
  readonly crashes: number;
  readonly disturbances: number;
  readonly ticks: number;
  readonly flickers: boolean;
  proposals: number;
}

function pick<T>(random: () => number, list: readonly T[]): T | undefined {
  return list[Math.floor(random() * list.length)];
}

const everyone: readonly RaftId[] = [1, 2, 3, 4, 5];

function start(seed: number, bug: Cluster['bug']): Run {
  const seeded = new SeededRandom(seed);
  const random = (): number => seeded.float();
  const voters = random() < 0.6 ? [1, 2, 3] : [1, 2, 3, 4, 5];
  const cluster = new Cluster({
    voters,
    spares: everyone.filter((id) => !voters.includes(id)),
    random,
    readsUndurable: random() < 0.5,
    settings: {
      appendBytesMax: random() < 0.5 ? 1 : 256,
      holdBytesMax: random() < 0.3 ? 0 : 1 + random() * 300,
    },
  });
  cluster.bug = bug;
  const flicker = random() < 0.5 ? 0 : random() * 0.7;
  cluster.supportFlickers = () => random() < flicker;
  return {
    cluster,
    checker: new SafetyChecker(cluster),
    random,
    crashes: random() ** 2 * 0.02,
    disturbances: random() ** 2 * 0.02,
    ticks: 0.02 + random() * 0.2,
    flickers: flicker > 0,
    proposals: 0,
  };
}

/** One random thing happens. */
function stepOnce(run: Run): void {
  const { cluster, random } = run;
  const id = pick(random, everyone) ?? 1;
  let member = cluster.member(id);
  if (random() < run.crashes && member.up) {
    cluster.crash(member);
    // Half of them are back before the messages under way arrive.
    if (random() < 0.5) cluster.restart(member);
    member = cluster.member(id);
  }
  if (random() < run.disturbances) disturb(run, member);
  if (random() < run.ticks && member.up) {
    keepsFaith(run, member, undefined, () => member.core.tick());
  }
  if (random() < 0.05 && member.up) member.core.releaseHeld();
  const dice = random();
  if (dice < 0.45) deliverOne(run);
  else if (dice < 0.68) cluster.ready(member);
  else if (dice < 0.91) cluster.persist(member);
  else if (dice < 0.95) proposeSomething(run);
  else if (dice < 0.985) {
    if (!member.up) cluster.restart(member);
  } else if (member.up) {
    cluster.checkpoint(member);
    cluster.compact(member, member.applied.index - Math.floor(random() * 4));
  }
}

/**
 * The lease rests on this: while a leader serves and `member` follows and supports it, nothing but
 * another leader or a transfer takes the member away from it.
 */
function keepsFaith(run: Run, member: Member, message: Message | undefined, act: () => void): void {
  const { cluster } = run;
  const { leader, term } = member.core;
  const other = leader === 0 || leader === member.id ? undefined : cluster.member(leader);
  const bound =
    !run.flickers &&
    other !== undefined &&
    cluster.supports(member.id, leader) &&
    other.core.role === 'leader' &&
    other.core.term === term &&
    other.core.transferTarget === 0;
  act();
  const excused =
    message !== undefined &&
    (message.kind === 'vote-request'
      ? message.transfer
      : ['append', 'heartbeat', 'snapshot', 'timeout-now'].includes(message.kind));
  demand(
    !bound || excused || (member.core.leader === leader && member.core.term === term),
    () =>
      `faith: ${member.id} left leader ${leader} of term ${term} for ${message?.kind ?? 'a tick'}`,
  );
}

function deliverOne(run: Run): void {
  const { cluster, random } = run;
  if (cluster.network.length === 0) return;
  // Mostly in order; sometimes overtaking, repeating or losing.
  const at = random() < 0.8 ? 0 : Math.floor(random() * cluster.network.length);
  const packet = cluster.network[at];
  if (packet === undefined) return;
  const fate = random();
  if (fate > 0.05) cluster.network.splice(at, 1);
  if (fate > 0.95) cluster.lost(packet);
  else {
    const { message } = packet;
    const to = cluster.member(message.to);
    keepsFaith(run, to, message, () => cluster.deliver(packet));
  }
}

function proposeSomething(run: Run): void {
  const { cluster, random } = run;
  const leaders = [...cluster.members.values()].filter((m) => m.up && m.core.role === 'leader');
  const leader = pick(random, leaders);
  if (leader === undefined) return;
  const dice = random();
  if (random() < 0.5) run.checker.ask(leader);
  if (dice < 0.85) leader.core.propose(Buffer.from(`p${run.proposals++}`));
  else if (dice < 0.95) {
    const roles = everyone.map((id) => ({ id, dice: random() }));
    const voters = roles.filter((role) => role.dice < 0.6).map((role) => role.id);
    const learners = roles.filter((role) => role.dice > 0.85).map((role) => role.id);
    if (voters.length > 0) leader.core.proposeConfigChange({ voters, learners });
  } else leader.core.transferLeadership(pick(random, everyone) ?? 1);
}

function disturb({ cluster, random }: Run, member: Member): void {
  const other = pick(random, everyone) ?? 1;
  const dice = random();
  if (dice < 0.2) cluster.cut(member.id, other);
  else if (dice < 0.3) cluster.isolate(member.id);
  else if (dice < 0.5) cluster.setSupport(member.id, other, false);
  else if (dice < 0.9) cluster.heal();
  else if (member.up) {
    member.core.campaign();
    member.core.reportUnreachable(other);
  }
}

/** Everything heals: one leader, a proposal that commits, equal state machines at its members. */
function converge({ cluster }: Run): void {
  cluster.heal();
  cluster.supportFlickers = () => false;
  for (const id of everyone) {
    const member = cluster.member(id);
    if (!member.up) cluster.restart(member);
  }
  const sane = (): Member | undefined => {
    const leaders = [...cluster.members.values()].filter((m) => m.core.role === 'leader');
    const leader = leaders.sort((a, b) => b.core.term - a.core.term)[0];
    if (leader === undefined || !leader.core.canQuiesce()) return undefined;
    return isJoint(leader.core.configuration) ? undefined : leader;
  };
  for (let tick = 0; tick < 200; tick++) {
    for (const member of cluster.members.values()) member.core.tick();
    cluster.run();
    const leader = sane();
    if (leader === undefined || tick < 30) continue;
    const { voters, learners } = leader.core.configuration;
    for (const id of [...voters, ...learners]) {
      const { applied } = cluster.member(id);
      demand(
        applied.history.join() === leader.applied.history.join(),
        () => `${id} and leader ${leader.id} applied different entries`,
      );
    }
    return;
  }
  throw new Unsafe('liveness: no settled leader after healing');
}

function runSeed(seed: number, steps: number, bug: Cluster['bug'] = 'none'): Run {
  const run = start(seed, bug);
  try {
    for (let i = 0; i < steps; i++) stepOnce(run);
    if (bug === 'none') converge(run);
  } catch (error) {
    if (bug !== 'none') throw error;
    const tail = run.cluster.trace.slice(-40).join('\n');
    throw new Error(`RAFT_SEED=${seed}\n${tail}`, { cause: error });
  }
  return run;
}

const fixedSeed = process.env['RAFT_SEED'];

it('keeps every safety property on random schedules', () => {
  const seeds =
    fixedSeed === undefined ? Array.from({ length: 150 }, (_, i) => i + 1) : [+fixedSeed];
  let committed = 0;
  let reads = 0;
  for (const seed of seeds) {
    const { checker } = runSeed(seed, 5000);
    committed += checker.committed.size;
    reads += checker.readsAnswered;
  }
  // The schedules get work done, or the checks would mean little.
  expect(committed).toBeGreaterThan(seeds.length * 20);
  expect(reads).toBeGreaterThan(seeds.length * 5);
});

it('notices acknowledgements that do not wait for the disk', () => {
  expect(() => {
    for (let seed = 1; seed <= 400; seed++) runSeed(seed, 3000, 'ack-before-persist');
  }).toThrow(/election safety|log matching|leader completeness|state machine safety/);
});

/** 1 and 3 stand in the same term; 2 votes for 1, crashes, and is asked by 3. */
function twoCandidates(bug: Cluster['bug']): Cluster {
  const cluster = new Cluster({ voters: [1, 2, 3] });
  cluster.bug = bug;
  new SafetyChecker(cluster);
  const work = (id: RaftId): void => {
    while (cluster.ready(cluster.member(id)) || cluster.persist(cluster.member(id)));
  };
  const deliver = (from: RaftId, to: RaftId): void => {
    const packets = cluster.network;
    cluster.network = packets.filter((p) => p.message.from !== from || p.message.to !== to);
    for (const packet of packets) if (!cluster.network.includes(packet)) cluster.deliver(packet);
  };
  for (const id of [1, 3]) {
    cluster.member(id).core.campaign();
    work(id);
    deliver(id, 2);
  }
  work(2);
  for (const id of [1, 3]) {
    deliver(2, id);
    work(id);
  }
  for (const id of [1, 3]) {
    deliver(id, 2);
    work(2);
    cluster.crash(cluster.member(2));
    cluster.restart(cluster.member(2));
  }
  for (const id of [1, 3]) {
    deliver(2, id);
    work(id);
  }
  return cluster;
}

it('notices a replica that forgets its vote in a crash', () => {
  expect(twoCandidates('none').member(1).core.role).toBe('leader');
  expect(() => twoCandidates('forget-vote')).toThrow(/election safety/);
});
