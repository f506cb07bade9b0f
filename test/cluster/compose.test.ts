/** The compose file as docker-compose reads it, where that is installed; its shape in any case. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { isInstalled, run } from '../drivers/programs.ts';

const folder = resolve(import.meta.dirname, '../../cluster');

interface Compose {
  readonly services: Record<
    string,
    { command?: string; healthcheck?: unknown; volumes?: string[] }
  >;
  readonly volumes: Record<string, unknown>;
}

describe('cluster/docker-compose.yml', () => {
  it('has three nodes with health checks and volumes, an init step and Prometheus', () => {
    const text = readFileSync(join(folder, 'docker-compose.yml'), 'utf8');
    const { services, volumes } = parse(text, { merge: true }) as Compose;
    for (const name of ['node1', 'node2', 'node3']) {
      expect(services[name]?.healthcheck, name).toBeDefined();
      expect(services[name]?.command).toContain(`--advertise-addr=${name}:26357`);
      expect(services[name]?.volumes).toEqual([`${name}:/data`]);
      expect(volumes).toHaveProperty(name);
    }
    expect(services['init']?.command).toContain('init');
    expect(services).toHaveProperty('prometheus');
  });

  it.skipIf(!isInstalled('/usr/bin/docker-compose'))('passes docker-compose config', async () => {
    const { status, stderr } = await run('docker-compose', [
      '-f',
      join(folder, 'docker-compose.yml'),
      'config',
      '-q',
    ]);
    expect(status, stderr).toBe(0);
  });
});
