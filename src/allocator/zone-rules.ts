/**
 * What a zone configuration asks of the places of replicas, worked out once per picture of the cluster: which sites
 * meet which constraints. *Violations* are what is missing, as a number that moves should make smaller: replicas
 * that stand where none may be, and replicas that a group lacks.
 *
 * A group that no store can meet any more asks for as much as one of them can: `+region=mars,+ssd` becomes
 * what any solid-state store meets. Prohibitions are never given up. A group that some store meets is not
 * weakened because that store has no room: then its replica waits.
 */
import {
  constraintsText,
  constraintText,
  meetsConstraint,
  type Constraint,
  type ConstraintGroup,
  type ZoneConfig,
} from '../kv/index.ts';
import { isLost, isStaying, type Layout, type Site, type StoreState } from './store-state.ts';
import { type ReplicaRole } from './types.ts';

interface Group {
  /** 0: every replica. */
  readonly replicas: number;
  readonly text: string;
  /** By index of the site: 1 when it has all that is asked for. */
  readonly meets: Uint8Array;
  /** The same for as much of it as some store meets. */
  readonly meetsAsFar: Uint8Array;
  /** No store meets all of it: it asks for less. */
  readonly isWeakened: boolean;
  /** Some store that is here to stay meets all of it. */
  readonly isMeetable: boolean;
}

/** Groups over one set of replicas: all of them, or the voters. */
export class GroupRules {
  readonly groups: readonly Group[];
  /** The groups account for all replicas: one that is in none of them is out of place. */
  readonly #areComplete: boolean;

  constructor(layout: Layout, groups: readonly ConstraintGroup[], wanted: number) {
    this.groups = groups.map((each) => groupOf(layout, each));
    const counted = this.groups.reduce((sum, each) => sum + each.replicas, 0);
    this.#areComplete = counted >= wanted && !this.groups.some((each) => each.isWeakened);
  }

  violations(stores: readonly StoreState[], also?: Site): number {
    let found = 0;
    for (const { replicas, meetsAsFar } of this.groups) {
      let met = also === undefined ? 0 : (meetsAsFar[also.index] ?? 0);
      for (const { site } of stores) met += meetsAsFar[site.index] ?? 0;
      const wanted = replicas === 0 ? stores.length + (also === undefined ? 0 : 1) : replicas;
      found += Math.max(0, wanted - met);
    }
    if (!this.#areComplete) return found;
    for (const { site } of stores) if (!this.mayHold(site)) found++;
    if (also !== undefined && !this.mayHold(also)) found++;
    return found;
  }

  /** A replica at this site need not be a violation. */
  mayHold(site: Site): boolean {
    const { groups } = this;
    if (groups.length === 0) return true;
    const isMet = (group: Group): boolean => group.meetsAsFar[site.index] === 1;
    if (groups.some((group) => group.replicas === 0)) return groups.every(isMet);
    return !this.#areComplete || groups.some(isMet);
  }

  /** The groups that replicas on these stores do not satisfy, as they were configured. */
  unmet(stores: readonly StoreState[]): string[] {
    return this.groups
      .filter(({ replicas, meets }) => {
        const met = stores.filter(({ site }) => meets[site.index] === 1).length;
        return met < (replicas === 0 ? stores.length : replicas);
      })
      .map(({ text }) => text);
  }
}

export class ZoneRules {
  /** As configured. How many there can be depends on the nodes: `wantedVoters`, `wantedNonVoters`. */
  readonly numVoters: number;
  readonly numNonVoters: number;
  readonly all: GroupRules;
  readonly voters: GroupRules;
  readonly wantedVoters: number;
  readonly wantedNonVoters: number;
  /** Nodes that are here to stay and that may hold a replica, or a voter. */
  readonly nodes: number;
  readonly voterNodes: number;
  readonly #isFree: boolean;
  readonly #preferenceList: ZoneConfig['leasePreferences'];
  /** For each of them, by index of the site: 1 when it meets all of it. */
  readonly #preferences: readonly Uint8Array[];

  constructor(layout: Layout, zone: ZoneConfig) {
    this.numVoters = zone.numVoters ?? zone.numReplicas;
    this.numNonVoters = zone.numReplicas - this.numVoters;
    this.all = new GroupRules(layout, zone.constraints, zone.numReplicas);
    this.voters = new GroupRules(layout, zone.voterConstraints, this.numVoters);
    this.#isFree = zone.constraints.length === 0 && zone.voterConstraints.length === 0;
    this.#preferenceList = zone.leasePreferences;
    this.#preferences = zone.leasePreferences.map((each) =>
      Uint8Array.from(layout.sites, (site) =>
        Number(each.every((one) => meetsConstraint(site, one))),
      ),
    );
    const nodes = new Set<number>();
    const voterNodes = new Set<number>();
    for (const store of layout.stores.values()) {
      if (!isStaying(store) || !this.all.mayHold(store.site)) continue;
      nodes.add(store.nodeId);
      if (this.voters.mayHold(store.site)) voterNodes.add(store.nodeId);
    }
    this.nodes = nodes.size;
    this.voterNodes = voterNodes.size;
    this.wantedVoters = oddVoters(this.numVoters, this.voterNodes);
    this.wantedNonVoters = Math.min(this.numNonVoters, Math.max(0, this.nodes - this.wantedVoters));
  }

  /** A group that no store which is to stay meets in full. */
  unmeetable(): string | undefined {
    const groups = [...this.all.groups, ...this.voters.groups];
    return groups.find((each) => !each.isMeetable)?.text;
  }

  violations(voters: readonly StoreState[], nonVoters: readonly StoreState[]): number {
    if (this.#isFree) return 0;
    const everyone = nonVoters.length === 0 ? voters : [...voters, ...nonVoters];
    return this.all.violations(everyone) + this.voters.violations(voters);
  }

  /** Violations with one more replica at `site`. */
  violationsWith(
    role: ReplicaRole,
    site: Site,
    voters: readonly StoreState[],
    nonVoters: readonly StoreState[],
  ): number {
    if (this.#isFree) return 0;
    const everyone = nonVoters.length === 0 ? voters : [...voters, ...nonVoters];
    const voter = role === 'voter' ? site : undefined;
    return this.all.violations(everyone, site) + this.voters.violations(voters, voter);
  }

  /** Which lease preference the site meets first, counted from 0; the number of preferences when it meets none. */
  preferenceAt(site: Site): number {
    const at = this.#preferences.findIndex((each) => each[site.index] === 1);
    return at < 0 ? this.#preferences.length : at;
  }

  /** The preference that `preferenceAt` finds, as it is written. */
  preferenceText(site: Site): string {
    const constraints = this.#preferenceList[this.preferenceAt(site)] ?? [];
    return `[${constraints.map(constraintText).join(', ')}]`;
  }

  /** A voter may stand at this site. */
  mayVoteAt(site: Site): boolean {
    return this.#isFree || (this.all.mayHold(site) && this.voters.mayHold(site));
  }
}

/** Never an even number of voters for want of nodes: two of two are no better than one of one. */
export function oddVoters(wanted: number, nodes: number): number {
  if (nodes >= wanted) return wanted;
  return Math.max(1, nodes % 2 === 0 ? nodes - 1 : nodes);
}

function groupOf(layout: Layout, { replicas, constraints }: ConstraintGroup): Group {
  const met = layout.sites.map((site) => metBy(site, constraints));
  const all = constraints.length;
  let most = 0;
  let isMeetable = false;
  for (const store of layout.stores.values()) {
    const here = met[store.site.index] ?? 0;
    // What a store meets that is to be emptied is not given up for that.
    if (!isLost(store)) most = Math.max(most, here);
    if (isStaying(store) && here === all) isMeetable = true;
  }
  return {
    replicas,
    text: constraintsText(constraints),
    meets: Uint8Array.from(met, (each) => Number(each === all)),
    meetsAsFar: Uint8Array.from(met, (each) => Number(each >= most)),
    isWeakened: most < all,
    isMeetable,
  };
}

/** How many of the constraints the site meets; -1 when it is a prohibited one. */
function metBy(site: Site, constraints: readonly Constraint[]): number {
  if (constraints.some((each) => !each.isRequired && !meetsConstraint(site, each))) return -1;
  return constraints.filter((each) => meetsConstraint(site, each)).length;
}
