/** SET CLUSTER SETTING reaches those below SQL. */
import pg from 'pg';
import { expect, it } from 'vitest';
import { kvSettings } from '../../../src/kv/index.ts';
import { startServer } from '../../pgwire/server.ts';

it('changes what the layers below read, until it is reset', async () => {
  const server = await startServer();
  const { port, clusterSettings } = server;
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'root', database: 'defaultdb' });
  await client.connect();
  try {
    const setting = kvSettings.snapshotRecoveryMaxRate;
    const inForce = (): number => clusterSettings.get(setting);
    expect(inForce()).toBe(setting.defaultValue);
    await client.query(`SET CLUSTER SETTING ${setting.name} = '64 MiB'`);
    expect(inForce()).toBe(64 * 2 ** 20);
    await client.query(`RESET CLUSTER SETTING ${setting.name}`);
    expect(inForce()).toBe(setting.defaultValue);
  } finally {
    await client.end();
    await server.stop();
  }
});
