import { describe, expect, it } from 'vitest';
import { createRealEnv } from '../../src/cli/real-env.ts';
import { TransportFailure, asNodeId } from '../../src/kv/index.ts';
import { GrpcTransport, LocalNetwork, type LocalTransport } from '../../src/rpc/index.ts';
import { silentLogger } from '../../src/util/index.ts';
import { transportCompliance } from './transport-compliance.ts';

const env = createRealEnv({ log: silentLogger, checks: true });

const failureOf = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => 'an answer',
    (error: unknown) => error,
  );

/** `addresses`: of the nodes that it knows, by node id. */
function grpcNode(
  nodeId: number,
  { addresses, cluster }: { addresses?: ReadonlyMap<number, string>; cluster?: string },
): GrpcTransport {
  return new GrpcTransport({
    env,
    nodeId: () => asNodeId(nodeId),
    clusterId: () => cluster ?? 'c',
    resolve: (id) => addresses?.get(id),
    queueBytesMax: 1 << 24,
    frameBytesMax: 1 << 26,
  });
}

describe('local network', () => {
  transportCompliance(async () => {
    const network = new LocalNetwork(env);
    const [a, b] = [network.endpoint(env, 'a'), network.endpoint(env, 'b')];
    const [idA, idB] = [asNodeId(1), asNodeId(2)];
    a.bind(idA);
    b.bind(idB);
    return {
      a,
      b,
      idA,
      idB,
      killB: async () => b.close('reset'),
      stop: async () => {
        a.close();
        b.close();
      },
    };
  });
});

describe('a process of the local network that dies', () => {
  const call = { timeoutMs: 3_600_000, traffic: 'batch' } as const;
  const start = (): { a: LocalTransport; b: LocalTransport } => {
    const network = new LocalNetwork(env);
    const [a, b] = [network.endpoint(env, 'a'), network.endpoint(env, 'b')];
    a.bind(asNodeId(1));
    b.bind(asNodeId(2));
    return { a, b };
  };

  it('fails the calls it has not answered at once: they were sent', async () => {
    const { a, b } = start();
    let asked = 0;
    const all = new Promise<void>((resolve) => {
      b.onCall('hang', () => {
        if (++asked === 3) resolve();
        return new Promise(() => {});
      });
    });
    const failures = [1, 2, 3].map((n) => failureOf(a.call(asNodeId(2), 'hang', n, call)));
    await all;
    b.close('reset');
    for (const failure of await Promise.all(failures)) {
      expect(failure).toBeInstanceOf(TransportFailure);
      expect(failure).toMatchObject({ sent: true });
    }
  });

  it('fails calls that are on their way to it: they were sent', async () => {
    const { a, b } = start();
    b.onCall('echo', async (payload) => payload);
    const failure = failureOf(a.call(asNodeId(2), 'echo', 1, call));
    b.close('reset');
    expect(await failure).toMatchObject({ sent: true });
  });

  it('fails later calls: they were not sent', async () => {
    const { a, b } = start();
    b.close('reset');
    expect(await failureOf(a.call(asNodeId(2), 'echo', 1, call))).toMatchObject({ sent: false });
  });
});

describe('grpc', () => {
  transportCompliance(async () => {
    const [idA, idB] = [asNodeId(1), asNodeId(2)];
    const addresses = new Map<number, string>();
    const [a, b] = [grpcNode(idA, { addresses }), grpcNode(idB, { addresses })];
    addresses.set(idA, `127.0.0.1:${await a.listen('127.0.0.1:0')}`);
    addresses.set(idB, `127.0.0.1:${await b.listen('127.0.0.1:0')}`);
    return {
      a,
      b,
      idA,
      idB,
      killB: () => b.stop(),
      stop: async () => {
        await a.stop();
        await b.stop();
      },
    };
  });

  it('a node that listens where another one did answers for itself alone', async () => {
    const addresses = new Map<number, string>();
    const [a, heir] = [grpcNode(1, { addresses }), grpcNode(5, { addresses })];
    const address = `127.0.0.1:${await heir.listen('127.0.0.1:0')}`;
    for (const id of [4, 5]) addresses.set(id, address);
    const heard: unknown[] = [];
    heir.onCall('who', async () => 'node 5');
    heir.onMessage('note', (payload) => heard.push(payload));
    const options = { timeoutMs: 2000, traffic: 'system' } as const;
    a.send(asNodeId(4), 'note', 'for node 4', 'system');
    const failure = await failureOf(a.call(asNodeId(4), 'who', 1, options));
    expect(String(failure)).toContain('node 4 does not listen here any more');
    expect(await a.call(asNodeId(5), 'who', 1, options)).toBe('node 5');
    expect(await a.callAddress(address, 'who', 1, options)).toBe('node 5');
    expect(heard).toEqual([]);
    await a.stop();
    await heir.stop();
  });

  it('refuses peers of another cluster', async () => {
    const [a, b] = [grpcNode(1, { cluster: 'one' }), grpcNode(1, { cluster: 'two' })];
    const port = await b.listen('127.0.0.1:0');
    b.onCall('x', async () => 1);
    const failure = await a
      .callAddress(`127.0.0.1:${port}`, 'x', 1, { timeoutMs: 2000, traffic: 'system' })
      .catch((error: unknown) => error);
    expect(String(failure)).toContain('another cluster');
    await a.stop();
    await b.stop();
  });
});
