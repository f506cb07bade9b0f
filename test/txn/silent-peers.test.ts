import { describe, expect, it } from 'vitest';
import { asNodeId } from '../../src/kv/index.ts';
import { SilentPeers } from '../../src/txn/silent-peers.ts';

const [one, two] = [asNodeId(1), asNodeId(2)];
const never = (): Promise<unknown> => new Promise(() => {});

describe('silent peers', () => {
  it('ends calls under way to a node that falls silent, as sent, and to no other', async () => {
    const peers = new SilentPeers();
    const toOne = peers.guard(one, never);
    let answer: (value: string) => void = () => {};
    const toTwo = peers.guard(two, () => new Promise((resolve) => (answer = resolve)));
    peers.set(one, true);
    await expect(toOne).rejects.toMatchObject({ sent: true });
    answer('here');
    await expect(toTwo).resolves.toBe('here');
  });

  it('sends nothing to a silent node until it is heard of again', async () => {
    const peers = new SilentPeers();
    let calls = 0;
    const call = async (): Promise<number> => ++calls;
    peers.set(one, true);
    await expect(peers.guard(one, call)).rejects.toMatchObject({ sent: false });
    expect(calls).toBe(0);
    peers.set(one, false);
    await expect(peers.guard(one, call)).resolves.toBe(1);
  });
});
