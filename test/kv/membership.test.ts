import { expect, it } from 'vitest';
import {
  allActive,
  asMember,
  asNodeId,
  asStoreId,
  decodeMemberships,
  encodeMemberships,
  leavingAt,
  membershipOf,
  refusedStep,
  withMembership,
  type Member,
  type Membership,
} from '../../src/kv/index.ts';

const memberships = [
  [asMember('node', 12), 'decommissioned'],
  [asMember('node', 3), 'active'],
  [asMember('node', 4), 'decommissioning'],
  [asMember('store', 4), 'decommissioned'],
] satisfies [Member, Membership][];
const record = memberships.reduce(
  (all, [member, to]) => withMembership(all, member, to),
  allActive,
);

it('the record comes back as it was, without those that are active', () => {
  const { nodes, stores } = decodeMemberships(encodeMemberships(record));
  expect([...nodes]).toEqual([
    [4, 'decommissioning'],
    [12, 'decommissioned'],
  ]);
  expect([...stores]).toEqual([[4, 'decommissioned']]);
  expect(decodeMemberships(undefined)).toEqual(allActive);
});

it('a record that knows nodes only is read', () => {
  const old = Buffer.from('{"format":1,"nodes":{"4":"decommissioning"}}');
  expect(decodeMemberships(old)).toEqual({
    nodes: new Map([[4, 'decommissioning']]),
    stores: new Map(),
  });
});

it('what is no such record is not taken for one', () => {
  for (const text of ['{}', '7', '{"format":2,"nodes":{}}', '{"format":1,"nodes":{"4":"away"}}']) {
    expect(() => decodeMemberships(Buffer.from(text))).toThrow(RangeError);
  }
});

it('a store leaves with its node, or alone', () => {
  const at = (nodeId: number, storeId: number): Membership | undefined =>
    leavingAt({ nodeId: asNodeId(nodeId), storeId: asStoreId(storeId) }, (member) =>
      membershipOf(record, member),
    )?.membership;
  expect(at(1, 1)).toBe(undefined);
  expect(at(4, 1)).toBe('decommissioning');
  expect(at(1, 4)).toBe('decommissioned');
  expect(at(4, 4)).toBe('decommissioned');
});

it('members leave in two steps, and nobody comes back', () => {
  const node = asMember('node', 4);
  expect(refusedStep(node, 'active', 'decommissioning')).toBe(undefined);
  expect(refusedStep(node, 'decommissioning', 'active')).toBe(undefined);
  expect(refusedStep(node, 'decommissioning', 'decommissioned')).toBe(undefined);
  expect(refusedStep(node, 'active', 'decommissioned')).toContain('decommissioning first');
  expect(refusedStep(asMember('store', 4), 'decommissioned', 'active')).toBe(
    'store 4 is decommissioned for good',
  );
});
