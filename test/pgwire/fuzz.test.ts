/** Rubbish on the wire: the connection answers or ends, the service lives on, no session stays behind. */
import { SeededRandom } from '../random.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startService, type TestService } from './server.ts';
import { encodeLine, WireClient } from './wire-client.ts';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

function randomFrom(seed: number): (below: number) => number {
  const random = new SeededRandom(seed);
  return (below) => random.below(below);
}

const seeds = [
  'Query select 1; select 2',
  'Query begin',
  'Query select i from generate_series(1, 100) i',
  'Query copy (select 1) to stdout',
  'Query savepoint a',
  'Query rollback',
  'Query set work_mem = 70000',
  'Parse s | select $1::int4, $2::text | 23',
  'Parse | select 1 |',
  'Bind | s | 1, abc | 1',
  'Bind p | s | b:00000001, NULL |',
  'Describe S s',
  'Describe P p',
  'Execute p 5',
  'Execute',
  'Close S s',
  'Flush',
  'Sync',
  'CopyData abc\\n',
  'CopyDone',
  'CopyFail no',
];

it.each([1, 2, 3, 4])('mutated messages, seed %i', async (seed) => {
  const below = randomFrom(seed);
  const noKey = (): { pid: number; secret: number } => ({ pid: 0, secret: 0 });
  for (let round = 0; round < 150; round++) {
    const client = new WireClient(service, { splitEvery: below(3) === 0 ? 1 + below(20) : 0 });
    const lines = below(10) === 0 ? [] : ['Startup user=root database=defaultdb'];
    for (let count = below(12); count >= 0; count--) lines.push(seeds[below(seeds.length)] ?? '');
    const bytes = Buffer.concat(lines.map((line) => encodeLine(line, noKey)));
    const startupLength = lines[0]?.startsWith('Startup') === true && below(8) > 0 ? 45 : 0;
    for (let count = below(6); count > 0; count--) {
      const at = startupLength + below(Math.max(1, bytes.length - startupLength));
      bytes[at] = below(3) === 0 ? ([0, 1, 0xff, 0x7f, 0x80][below(5)] ?? 0) : below(256);
    }
    await client.send(bytes.subarray(0, below(4) === 0 ? below(bytes.length) : bytes.length));
    for (let turns = below(4); turns > 0; turns--) await new Promise(setImmediate);
    client.connection.close();
    expect(client.take().filter((line) => line.startsWith('Unknown'))).toEqual([]);
    while (service.service.sessionCount > 0) await new Promise(setImmediate);
  }
  const client = new WireClient(service);
  await client.send(encodeLine('Startup user=root database=defaultdb', noKey));
  await client.until(['ReadyForQuery']);
  await client.send(encodeLine('Query select 1', noKey));
  expect(await client.until(['ReadyForQuery'])).toContain('DataRow 1');
  client.connection.close();
  while (service.service.sessionCount > 0) await new Promise(setImmediate);
});
