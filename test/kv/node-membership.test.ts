import { expect, it } from 'vitest';
import {
  asNodeId,
  decodeMemberships,
  encodeMemberships,
  refusedStep,
  type NodeMembership,
} from '../../src/kv/index.ts';

it('the record comes back as it was, without those that are active', () => {
  const memberships = new Map<ReturnType<typeof asNodeId>, NodeMembership>([
    [asNodeId(12), 'decommissioned'],
    [asNodeId(3), 'active'],
    [asNodeId(4), 'decommissioning'],
  ]);
  expect([...decodeMemberships(encodeMemberships(memberships))]).toEqual([
    [4, 'decommissioning'],
    [12, 'decommissioned'],
  ]);
  expect(decodeMemberships(undefined).size).toBe(0);
});

it('what is no such record is not taken for one', () => {
  for (const text of ['{}', '7', '{"format":2,"nodes":{}}', '{"format":1,"nodes":{"4":"away"}}']) {
    expect(() => decodeMemberships(Buffer.from(text))).toThrow(RangeError);
  }
});

it('a node leaves in two steps, and nobody comes back', () => {
  const node = asNodeId(4);
  expect(refusedStep(node, 'active', 'decommissioning')).toBe(undefined);
  expect(refusedStep(node, 'decommissioning', 'active')).toBe(undefined);
  expect(refusedStep(node, 'decommissioning', 'decommissioned')).toBe(undefined);
  expect(refusedStep(node, 'active', 'decommissioned')).toContain('decommissioning first');
  expect(refusedStep(node, 'decommissioned', 'active')).toContain('for good');
});
