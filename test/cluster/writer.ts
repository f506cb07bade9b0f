/** Clients that write through one node of a cluster and remember what was acknowledged. */
import pg from 'pg';

/** `url` of a node; a connection that breaks is no stray error. */
export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  // The query that runs reports it.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Inserts rising numbers into `log (id, what)` until told to stop. */
export class Writer {
  readonly acknowledged: number[] = [];
  readonly attempted: number[] = [];
  /** Longest time between two acknowledged writes. */
  longestGapMs = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(url: string, from: number) {
    this.#done = this.#run(url, from);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(url: string, from: number): Promise<void> {
    let client = await connect(url);
    let lastMs = performance.now();
    for (let i = from; !this.#stopped; i++) {
      this.attempted.push(i);
      try {
        await client.query('INSERT INTO log VALUES ($1, $2)', [i, `row ${i}`]);
        this.acknowledged.push(i);
        const nowMs = performance.now();
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - lastMs);
        lastMs = nowMs;
      } catch {
        await client.end().catch(() => {});
        client = await this.#reconnect(url);
      }
    }
    await client.end().catch(() => {});
  }

  /** As an application does: tries until the node is back. */
  async #reconnect(url: string): Promise<pg.Client> {
    for (;;) {
      try {
        return await connect(url);
      } catch (error) {
        if (this.#stopped) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

/** Which of `wanted` are not in `log`, as the node at `url` reads it. */
export async function missing(url: string, wanted: readonly number[]): Promise<number[]> {
  const client = await connect(url);
  const { rows } = await client.query<{ id: number }>('SELECT id FROM log ORDER BY id');
  await client.end();
  const there = new Set(rows.map((row) => row.id));
  return wanted.filter((id) => !there.has(id));
}

/** Polls a condition that the cluster has to reach; fails with its text, and `state`, after a minute. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  state: () => unknown = () => '',
): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) {
      throw new Error(`not within a minute: ${condition} ${JSON.stringify(state())}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
