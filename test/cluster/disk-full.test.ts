/** A node on a volume that really fills up: it says so, and comes back with everything once the ballast is deleted. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { freePorts } from '../drivers/ports.ts';
import { connect, until } from './writer.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'skein.cjs');
const home = mkdtempSync(join(tmpdir(), 'skein-full-'));
const volume = join(home, 'volume');

afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Whether this user may mount a volume in memory of its own. The same with a simulated disk: test/range/store/disk-faults. */
const mayMount =
  process.platform === 'linux' && spawnSync('unshare', ['-Urm', 'true']).status === 0;

/** A shell that sees the volume: it runs a command per line and says how each ended. */
class Shell {
  readonly #child: ChildProcess;
  text = '';

  constructor(sizeMiB: number) {
    const script = `mkdir -p ${volume} && mount -t tmpfs -o size=${sizeMiB}m skein ${volume}
      while read -r line; do sh -c "$line" 2>&1; echo "ended $?"; done`;
    this.#child = spawn('unshare', ['-Urm', 'sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('utf8');
    });
  }

  begin(line: string): void {
    this.text = '';
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Exit code of the command that was begun last. */
  async ended(): Promise<number> {
    await until(() => /^ended \d+$/m.test(this.text));
    return Number(/^ended (\d+)$/m.exec(this.text)?.[1]);
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await gone;
  }
}

describe.runIf(mayMount)('a volume that fills up', () => {
  it('ends the node with a sentence; without the ballast it starts and has everything', async () => {
    const port = await freePorts(3);
    const start =
      `echo "pid $$"; exec ${process.execPath} ${program} start-single-node --insecure --log-level=error --ballast-size=24MiB ` +
      `--store=path=${volume}/store --sql-addr=127.0.0.1:${port} --listen-addr=127.0.0.1:${port + 1} --http-addr=127.0.0.1:${port + 2}`;
    const url = `postgresql://root@127.0.0.1:${port}/defaultdb?sslmode=disable`;
    const shell = new Shell(112);
    try {
      shell.begin(start);
      await until(() => shell.text.includes('status:'));
      expect(shell.text).toMatch(/ballast: +24 MiB in \S+BALLAST/);
      const client = await connect(url);
      await client.query('CREATE TABLE t (id int PRIMARY KEY, v text)');
      let acknowledged = 0;
      for (let failed = false; !failed;) {
        // Hashes, because LevelDB compresses.
        await client
          .query(
            `INSERT INTO t SELECT $1, string_agg(md5(g::text || $1::text), '') FROM generate_series(1, 8000) g`,
            [acknowledged + 1],
          )
          .then(
            () => acknowledged++,
            () => {
              failed = true;
            },
          );
      }
      await client.end().catch(() => undefined);
      expect(await shell.ended()).toBe(10);
      const sentence =
        /skein: the disk of \S+ is full \(.+\)\. Delete \S+\/BALLAST to have room for a start, start the node again, and free room: drop data, add nodes or enlarge the volume\./;
      expect(shell.text).toMatch(sentence);
      shell.begin(start);
      expect(await shell.ended()).toBe(10);
      expect(shell.text).toMatch(sentence);
      shell.begin(`rm ${volume}/store/BALLAST`);
      expect(await shell.ended()).toBe(0);
      shell.begin(start);
      await until(() => shell.text.includes('status:') || shell.text.includes('ended'));
      const again = await connect(url);
      const { rows } = await again.query(
        'SELECT count(*)::int AS n FROM t WHERE id <= $1 AND length(v) = 256000',
        [acknowledged],
      );
      expect(rows).toEqual([{ n: acknowledged }]);
      await again.end();
      process.kill(Number(/^pid (\d+)$/m.exec(shell.text)?.[1]), 'SIGKILL');
      expect(await shell.ended()).toBe(137);
    } finally {
      await shell.close();
    }
  }, 120_000);
});
