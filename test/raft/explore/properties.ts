/**
 * What has to hold in every state: the safety properties of Raft (paper, figure 3), and what is built on them. Some
 * speak of the past; for those the search keeps facts.
 */
import { type Configuration, type RaftId } from '../../../src/raft/index.ts';
import { hasQuorum } from '../../../src/raft/quorum.ts';
import { birth } from '../harness.ts';
import { durableEntriesOf, entriesOf, type Effects, type Replica } from './replica.ts';

export class Broken extends Error {}

/** A replica as the properties see it. Of the logs position i is index i + 1. */
export interface View {
  readonly id: RaftId;
  readonly role: string;
  readonly term: number;
  readonly leader: RaftId;
  readonly commit: number;
  readonly entries: readonly string[];
  readonly durable: readonly string[];
  readonly configuration: Configuration;
  /** It has given up serving in its term (`transferTarget`). */
  readonly retires: boolean;
  readonly promises: ReadonlyMap<RaftId, number>;
}

export function viewOf(replica: Replica): View {
  const { id, role, term, leader, commitIndex, configuration, transferTarget } = replica.core;
  return {
    id,
    role,
    term,
    leader,
    commit: commitIndex,
    entries: entriesOf(replica),
    durable: durableEntriesOf(replica),
    configuration,
    retires: transferTarget !== 0,
    promises: new Map(replica.promises),
  };
}

export type Fact =
  /** Somebody came to lead `term` with this log. */
  | { readonly kind: 'leads'; readonly term: number; readonly entries: readonly string[] }
  /** A leader of `term` committed this entry. */
  | {
      readonly kind: 'commits';
      readonly term: number;
      readonly index: number;
      readonly entry: string;
    }
  /** A read was asked, for `round` in this life of the replica, when `floor` was committed. */
  | {
      readonly kind: 'asked';
      readonly id: RaftId;
      readonly round: number;
      readonly floor: number;
    };

/** What an event shows that is looked at once. */
export type Sight =
  /** A read was asked; the search adds what was committed by then. */
  | { readonly kind: 'asks'; readonly id: RaftId; readonly round: number }
  /** A replica that does not lead holds this entry for committed. */
  | { readonly kind: 'learns'; readonly index: number; readonly entry: string }
  | {
      readonly kind: 'readable';
      readonly id: RaftId;
      readonly round: number;
      readonly index: number;
    };

export function factsOf(
  before: View,
  after: View,
  effects: Effects,
): { facts: Fact[]; sights: Sight[] } {
  const facts: Fact[] = [];
  const sights: Sight[] = [];
  const { id, role, term, entries } = after;
  if (role === 'leader' && (before.role !== 'leader' || before.term !== term)) {
    facts.push({ kind: 'leads', term, entries });
  }
  for (let index = Math.max(before.commit, birth.index) + 1; index <= after.commit; index++) {
    const entry = entries[index - 1] ?? 'nothing';
    // A leader that steps down in the same event committed nothing in it.
    if (role === 'leader') facts.push({ kind: 'commits', term, index, entry });
    else sights.push({ kind: 'learns', index, entry });
  }
  if (effects.asked > 0) sights.push({ kind: 'asks', id, round: effects.asked });
  if (effects.readable) sights.push({ kind: 'readable', id, ...effects.readable });
  return { facts, sights };
}

/** The last index that any leader has committed. */
export function committedBy(facts: readonly Fact[]): number {
  let index = birth.index;
  for (const fact of facts) if (fact.kind === 'commits') index = Math.max(index, fact.index);
  return index;
}

/** `news` against what was known before. */
export function checkFact(known: readonly Fact[], news: Fact | Sight): void {
  for (const old of known) {
    if (news.kind === 'leads' && old.kind === 'leads' && old.term === news.term) {
      throw new Broken(`election safety: term ${news.term} is led for a second time`);
    }
    if (news.kind === 'leads' && old.kind === 'commits') complete(news, old);
    if (news.kind === 'commits' && old.kind === 'leads') complete(old, news);
    if (
      (news.kind === 'commits' || news.kind === 'learns') &&
      old.kind === 'commits' &&
      old.index === news.index &&
      old.entry !== news.entry
    ) {
      throw new Broken(
        `state machine safety: ${news.entry} and ${old.entry} committed at ${news.index}`,
      );
    }
    if (
      news.kind === 'readable' &&
      old.kind === 'asked' &&
      old.id === news.id &&
      old.round <= news.round &&
      old.floor > news.index
    ) {
      throw new Broken(
        `read index: ${news.id} reads at ${news.index} what was asked when ${old.floor} was committed`,
      );
    }
  }
  if (news.kind !== 'learns') return;
  if (known.some((old) => old.kind === 'commits' && old.index === news.index)) return;
  throw new Broken(`commit: no leader committed ${news.entry} at ${news.index}`);
}

function complete(
  leads: Extract<Fact, { kind: 'leads' }>,
  commits: Extract<Fact, { kind: 'commits' }>,
): void {
  if (leads.term <= commits.term || leads.entries[commits.index - 1] === commits.entry) return;
  throw new Broken(
    `leader completeness: term ${leads.term} is led without ${commits.entry} at ${commits.index}, committed in term ${commits.term}`,
  );
}

/** Log matching: the same term at the same index, the same logs up to there. */
export function checkMatching(a: readonly string[], b: readonly string[]): void {
  let same = true;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const alike = a[i] === b[i];
    if ((alike && !same) || (!alike && termOf(a[i]) === termOf(b[i]))) {
      throw new Broken(`log matching: ${a.join(' ')} and ${b.join(' ')}`);
    }
    same = alike;
  }
}

function termOf(entry: string | undefined): string | undefined {
  return entry?.slice(0, entry.indexOf(':'));
}

/** What is committed is, and stays, in the durable logs of a quorum. */
export function checkDurable(
  facts: readonly Fact[],
  configuration: Configuration,
  viewOfId: (id: RaftId) => View | undefined,
): void {
  for (const fact of facts) {
    if (fact.kind !== 'commits') continue;
    const { index, entry } = fact;
    if (!hasQuorum(configuration, (id) => viewOfId(id)?.durable[index - 1] === entry)) {
      throw new Broken(`durable commit: no quorum holds ${entry} at ${index}`);
    }
  }
}

/**
 * The lease rests on this: while the stores of a quorum keep the promises under which their replicas told a leader that
 * they follow it, and that leader has not begun to hand over, nobody leads a later term.
 */
export function checkSupport(views: readonly View[]): void {
  for (const leader of views) {
    if (leader.role !== 'leader' || leader.retires) continue;
    const later = views.find((view) => view.role === 'leader' && view.term > leader.term);
    if (later === undefined) continue;
    const supports = (id: RaftId): boolean =>
      id === leader.id ||
      views.find((view) => view.id === id)?.promises.get(leader.id) === leader.term;
    if (hasQuorum(leader.configuration, supports)) {
      throw new Broken(
        `support: ${later.id} leads term ${later.term} while a quorum supports ${leader.id} in term ${leader.term}`,
      );
    }
  }
}
