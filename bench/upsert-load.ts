/**
 * Clients that write single rows one after the other and remember what was acknowledged when. A client whose statement
 * fails says so and goes on; one whose connection is gone connects again.
 */
import pg from 'pg';

/** A row of the table; `next` is the value being written, `acknowledged` the last one that certainly is. */
interface Row {
  next: number;
  acknowledged: number;
}

export const loadTable = 'failover_load';
const rowsPerClient = 50;
const reconnectMs = 20;

export class UpsertLoad {
  /** Milliseconds of `performance.now`, ascending. */
  readonly acknowledgedAtMs: number[] = [];
  /** The same with how long each took. */
  readonly writes: { readonly atMs: number; readonly tookMs: number }[] = [];
  /** How often each SQLSTATE (or 'connection') was the answer. */
  readonly failures = new Map<string, number>();
  readonly #rows = new Map<number, Row>();
  #running: Promise<void>[] = [];
  #stopping = false;

  get lastMs(): number {
    return this.acknowledgedAtMs.at(-1) ?? 0;
  }

  /** Client `i` writes through the node of `urls[i % urls.length]`. */
  start(clients: number, urls: readonly string[]): void {
    this.acknowledgedAtMs.length = 0;
    this.writes.length = 0;
    this.failures.clear();
    this.#stopping = false;
    this.#running = Array.from({ length: clients }, (_, i) =>
      this.#client(i, urls[i % urls.length] ?? ''),
    );
  }

  /** Resolves when every client has its last answer. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Throws when a row is older than its last acknowledged value, or was never written. */
  async verify(url: string): Promise<void> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      const { rows } = await client.query<{ id: number; v: number }>(
        `SELECT id, v FROM ${loadTable}`,
      );
      const found = new Map(rows.map(({ id, v }) => [id, v]));
      for (const [id, { acknowledged, next }] of this.#rows) {
        const value = found.get(id) ?? 0;
        if (value < acknowledged || value > next) {
          throw new Error(
            `row ${id} is ${value}: acknowledged was ${acknowledged}, written at most ${next}`,
          );
        }
      }
    } finally {
      await client.end();
    }
  }

  async #client(number: number, url: string): Promise<void> {
    let client: pg.Client | undefined;
    for (let turn = 0; !this.#stopping; turn++) {
      const id = number * rowsPerClient + (turn % rowsPerClient);
      const row = this.#rows.get(id) ?? { next: 0, acknowledged: 0 };
      this.#rows.set(id, row);
      row.next++;
      const begunMs = performance.now();
      try {
        client ??= await connected(url);
        await client.query({
          name: 'upsert',
          text: `INSERT INTO ${loadTable} VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
          values: [id, row.next],
        });
        row.acknowledged = row.next;
        const atMs = performance.now();
        this.acknowledgedAtMs.push(atMs);
        this.writes.push({ atMs, tookMs: atMs - begunMs });
      } catch (error) {
        const code = error instanceof pg.DatabaseError ? (error.code ?? '?') : 'connection';
        this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
        if (code !== 'connection' && !code.startsWith('08') && !code.startsWith('57')) continue;
        await client?.end().catch(() => {});
        client = undefined;
        await new Promise((resolve) => setTimeout(resolve, reconnectMs));
      }
    }
    await client?.end().catch(() => {});
  }
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  // What breaks the connection is seen by the statement under way.
  client.on('error', () => {});
  await client.connect();
  return client;
}
