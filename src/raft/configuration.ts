/**
 * Configurations and the changes that lead from one to the next (thesis chapter 4).
 *
 * A change names its target. When the voters of the target differ from the current ones by at most
 * one, any majority of the one meets any majority of the other, and the change is made in one step.
 * Otherwise the range passes through a joint configuration: `voters` is the target, `votersOutgoing`
 * what was before, `learners` the target's; leaving it drops `votersOutgoing`. A voter that becomes a
 * learner is therefore in `votersOutgoing` and in `learners` while the configuration is joint, and
 * counts as a voter.
 */
import { assert } from '../util/index.ts';
import { type ConfigChange, type Configuration, type RaftId } from './types.ts';

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** True for a voter of either set. */
export function isVoter(configuration: Configuration, id: RaftId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

export function isMember(configuration: Configuration, id: RaftId): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id);
}

/** Voters of both sets, sorted, each once. */
export function votersOf(configuration: Configuration): RaftId[] {
  return sortedUnique([...configuration.voters, ...configuration.votersOutgoing]);
}

/** Voters and learners, sorted, each once. */
export function membersOf(configuration: Configuration): RaftId[] {
  return sortedUnique([
    ...configuration.voters,
    ...configuration.votersOutgoing,
    ...configuration.learners,
  ]);
}

/** True when `change` has to pass through a joint configuration. */
export function needsJoint(current: Configuration, change: ConfigChange): boolean {
  const added = change.voters.filter((id) => !current.voters.includes(id)).length;
  const removed = current.voters.filter((id) => !change.voters.includes(id)).length;
  return added + removed > 1;
}

/** The configuration after a change: the target itself, or the joint configuration on the way to it. */
export function enterChange(current: Configuration, change: ConfigChange): Configuration {
  assert(!isJoint(current), 'a configuration change inside a joint configuration');
  return {
    voters: sortedUnique(change.voters),
    votersOutgoing: needsJoint(current, change) ? sortedUnique(current.voters) : [],
    learners: sortedUnique(change.learners),
  };
}

export function leaveJoint(current: Configuration): Configuration {
  return { voters: current.voters, votersOutgoing: [], learners: current.learners };
}

function sortedUnique(ids: readonly RaftId[]): RaftId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}

/** Voters not empty, no id twice (voters and learners together), every id a positive integer. */
export function isValidChange(change: ConfigChange): boolean {
  const ids = [...change.voters, ...change.learners];
  return (
    change.voters.length > 0 &&
    new Set(ids).size === ids.length &&
    ids.every((id) => Number.isInteger(id) && id > 0 && id <= idMax)
  );
}

/** Bounded: beyond it the collection begins anew, and some equal configurations are two objects for a while. */
const sharedMax = 1024;
const shared = new Map<string, Configuration>();

/** The same configuration, in one object for all ranges that have it: thousands of them have the same members. */
export function sharedConfiguration(configuration: Configuration): Configuration {
  const { voters, votersOutgoing, learners } = configuration;
  const name = `${voters.join()};${votersOutgoing.join()};${learners.join()}`;
  const known = shared.get(name);
  if (known !== undefined) return known;
  if (shared.size >= sharedMax) shared.clear();
  shared.set(name, configuration);
  return configuration;
}

const formatVersion = 1;
const idBytes = 6;
const idMax = 2 ** 48 - 1;

/** One byte version, two uint16 counts (voters, learners), then the ids, 48 bits each; big-endian. */
export function encodeConfigChange(change: ConfigChange): Buffer {
  assert(isValidChange(change), 'a valid configuration change');
  const ids = [...change.voters, ...change.learners];
  const out = Buffer.alloc(5 + ids.length * idBytes);
  out.writeUInt8(formatVersion, 0);
  out.writeUInt16BE(change.voters.length, 1);
  out.writeUInt16BE(change.learners.length, 3);
  ids.forEach((id, i) => out.writeUIntBE(id, 5 + i * idBytes, idBytes));
  return out;
}

/** Asserts on anything that `encodeConfigChange` does not write: only this layer makes such entries. */
export function decodeConfigChange(data: Buffer): ConfigChange {
  assert(data.length >= 5, 'a configuration change is cut off');
  assert(data.readUInt8(0) === formatVersion, 'a configuration change of a known format version');
  const voters = data.readUInt16BE(1);
  const learners = data.readUInt16BE(3);
  assert(
    data.length === 5 + (voters + learners) * idBytes,
    'a configuration change has its length',
  );
  const ids: RaftId[] = [];
  for (let at = 5; at < data.length; at += idBytes) ids.push(data.readUIntBE(at, idBytes));
  const change = { voters: ids.slice(0, voters), learners: ids.slice(voters) };
  assert(isValidChange(change), 'a valid configuration change');
  return change;
}
