/** What every Transport must do; run on gRPC and on the in-process network. */
import { expect, it } from 'vitest';
import { type NodeId, type Transport, TransportFailure, asNodeId } from '../../src/kv/index.ts';

export interface TransportPair {
  readonly a: Transport;
  readonly b: Transport;
  readonly idA: NodeId;
  readonly idB: NodeId;
  /** Node b goes away without a word. */
  readonly killB: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export function transportCompliance(start: () => Promise<TransportPair>): void {
  async function withPair(body: (pair: TransportPair) => Promise<void>): Promise<void> {
    const pair = await start();
    try {
      await body(pair);
    } finally {
      await pair.stop();
    }
  }

  it('answers calls with plain data: buffers, bigints, undefined, nested', () =>
    withPair(async ({ a, b, idA, idB }) => {
      b.onCall('echo', async (payload, from) => ({ payload, from }));
      const payload = {
        bytes: Buffer.from([0, 255, 7]),
        big: -9223372036854775808n,
        micros: 1_714_053_000_000_123,
        nothing: undefined,
        list: [null, true, 'ä', { deep: 1.5 }],
      };
      const answer = await a.call(idB, 'echo', payload, { timeoutMs: 5000, traffic: 'batch' });
      expect(answer).toEqual({ payload, from: idA });
    }));

  it('keeps many calls apart', () =>
    withPair(async ({ a, b, idB }) => {
      b.onCall('double', async (payload) => Number(payload) * 2);
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          a.call(idB, 'double', i, { timeoutMs: 5000, traffic: 'batch' }),
        ),
      );
      expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => i * 2));
    }));

  it('delivers messages in order, none twice', () =>
    withPair(async ({ a, b, idB }) => {
      const got: number[] = [];
      const all = new Promise<void>((resolve) => {
        b.onMessage('n', (payload) => {
          got.push(Number(payload));
          if (got.length === 500) resolve();
        });
      });
      for (let i = 0; i < 500; i++) a.send(idB, 'n', i, 'raft');
      await all;
      expect(got).toEqual(Array.from({ length: 500 }, (_, i) => i));
    }));

  it('a failing handler fails the call, and says that it was sent', () =>
    withPair(async ({ a, b, idB }) => {
      b.onCall('boom', async () => {
        throw new Error('boom');
      });
      const failure = await a
        .call(idB, 'boom', null, { timeoutMs: 5000, traffic: 'batch' })
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(TransportFailure);
      expect((failure as TransportFailure).sent).toBe(true);
    }));

  it('serves calls to itself', () =>
    withPair(async ({ a, idA }) => {
      a.onCall('self', async (payload) => payload);
      expect(await a.call(idA, 'self', 7, { timeoutMs: 5000, traffic: 'batch' })).toBe(7);
    }));

  it('a call to an unknown node has not been sent', () =>
    withPair(async ({ a }) => {
      const failure = await a
        .call(asNodeId(99), 'echo', 1, { timeoutMs: 500, traffic: 'batch' })
        .catch((error: unknown) => error);
      expect((failure as TransportFailure).sent).toBe(false);
    }));

  it('a call whose peer dies before it answers fails', () =>
    withPair(async ({ a, b, idB, killB }) => {
      const called = new Promise<void>((resolve) => {
        b.onCall('hang', () => {
          resolve();
          return new Promise(() => {});
        });
      });
      const call = a
        .call(idB, 'hang', 1, { timeoutMs: 1000, traffic: 'batch' })
        .catch((error: unknown) => error);
      await called;
      await killB();
      const failure = await call;
      expect(failure).toBeInstanceOf(TransportFailure);
      expect((failure as TransportFailure).sent).toBe(true);
    }));
}
