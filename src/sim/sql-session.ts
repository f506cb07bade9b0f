/**
 * What a simulated SQL client has in its hands: the `pg` driver over a simulated socket, connected to some node and
 * again to another one when that dies, as a pool behind a load balancer would be. Errors are the driver's own: `code` is
 * a SQLSTATE, or ECONNREFUSED, ECONNRESET, ETIMEDOUT; a connection that the driver reports as terminated gets 08006.
 *
 * INVARIANT: while a world runs, `process.nextTick` belongs to it (the driver uses it): see `cli/virtual-globals.ts`.
 */
import pg from 'pg';
import { sleep } from '../util/index.ts';
import { type SeededRandom } from './random.ts';
import { type SimSocket } from './sql-socket.ts';
import { type World } from './world.ts';

export interface SqlResult<Row> {
  readonly rows: Row[];
  /** Rows returned or changed. */
  readonly rowCount: number | null;
}

export interface SqlQueries {
  /** As `query` of a `pg` client: `$1`, `$2`, ... in the text stand for `values`. */
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<SqlResult<Row>>;
}

export interface Sql extends SqlQueries {
  /**
   * BEGIN, `body`, COMMIT. The whole is run again, `body` included, after SQLSTATE 40001 and 40P01 (serialization
   * failure, deadlock). Throws an error with `code` '40003' when nobody knows whether it committed; anything else
   * that is thrown means that it did not.
   */
  transaction<T>(body: (sql: SqlQueries) => Promise<T>): Promise<T>;
}

export interface SqlSessionOptions {
  readonly world: World;
  readonly random: SeededRandom;
  /** In the story. */
  readonly name: string;
  /** Connects to a node; undefined: none is up. */
  readonly dial: () => SimSocket | undefined;
}

const attemptsMax = 20;
const backoffMaxMs = 1_000;
const refusalMs = 1;
const storyTextMax = 200;
const login = { user: 'root', database: 'defaultdb' };

export class SqlSession implements Sql {
  readonly #options: SqlSessionOptions;
  #connection: Promise<Connection> | undefined;

  constructor(options: SqlSessionOptions) {
    this.#options = options;
  }

  async query<Row extends object>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<SqlResult<Row>> {
    return this.#query(await this.#connected(), text, values);
  }

  /**
   * The connection that is open, or a new one; the same object as long as it is the same. When it breaks, all that is
   * asked through it fails.
   */
  async connection(): Promise<SqlQueries> {
    return (await this.#connected()).queries;
  }

  async transaction<T>(body: (sql: SqlQueries) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(body);
      } catch (error) {
        if (!isRetryable(error) || attempt === attemptsMax) throw error;
      }
      const { world, random } = this.#options;
      await sleep(world, random.float() * Math.min(backoffMaxMs, 5 * 2 ** attempt));
    }
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.then(
      ({ client }) => client.end(),
      () => undefined,
    );
  }

  async #attempt<T>(body: (sql: SqlQueries) => Promise<T>): Promise<T> {
    const connection = await this.#connected();
    await this.#query(connection, 'BEGIN');
    let value: T;
    try {
      value = await body(connection.queries);
    } catch (error) {
      // On a broken connection the node has rolled back already.
      await this.#query(connection, 'ROLLBACK').catch(() => undefined);
      throw error;
    }
    try {
      const { command } = await this.#query(connection, 'COMMIT');
      if (command === 'COMMIT') return value;
    } catch (error) {
      if (error instanceof pg.DatabaseError) throw error;
      throw withCode('the connection broke during COMMIT', '40003');
    }
    throw withCode('a statement of the transaction had failed', '25P02');
  }

  async #query<Row extends object>(
    connection: Connection,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<pg.QueryResult<Row>> {
    const given = values.length === 0 ? '' : ` ${inStory(values)}`;
    const asked = `${this.#options.name}: ${text.replace(/\s+/g, ' ').trim()}${given}`;
    const { world } = this.#options;
    try {
      const result = await connection.client.query<Row>(text, [...values]);
      const got = result.rows?.length > 0 ? inStory(result.rows) : `${result.rowCount ?? 0} rows`;
      world.story(`${asked} -> ${got}`);
      return result;
    } catch (error) {
      const code = codeOf(error) ?? (connection.isLost ? '08006' : undefined);
      world.story(`${asked} -> ${code ?? ''} ${String(error)}`);
      if (error instanceof Error && code !== undefined) throw Object.assign(error, { code });
      throw error;
    }
  }

  #connected(): Promise<Connection> {
    if (this.#connection !== undefined) return this.#connection;
    const connection = this.#connect(() => {
      if (this.#connection === connection) this.#connection = undefined;
    });
    this.#connection = connection;
    return connection;
  }

  async #connect(onLost: () => void): Promise<Connection> {
    const { world, dial } = this.#options;
    const socket = dial();
    try {
      if (socket === undefined) {
        // Who tries again at once must not stop the time.
        await sleep(world, refusalMs);
        throw withCode('connect ECONNREFUSED: no node is up', 'ECONNREFUSED');
      }
      // The driver's types want a whole Duplex; it uses what SimSocket has.
      const config: object = { ...login, stream: () => socket };
      const client = new pg.Client(config);
      const connection: Connection = {
        client,
        queries: { query: (text, values) => this.#query(connection, text, values) },
        isLost: false,
      };
      const lost = (): void => {
        connection.isLost = true;
        onLost();
      };
      client.on('error', lost);
      client.on('end', lost);
      await client.connect();
      return connection;
    } catch (error) {
      onLost();
      // The server hung up while it was greeted: the driver has no code for that.
      throw codeOf(error) === undefined ? withCode(String(error), '08006') : error;
    }
  }
}

interface Connection {
  readonly client: pg.Client;
  readonly queries: SqlQueries;
  isLost: boolean;
}

/** SQLSTATE, or the system's name of a broken connection. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

function isRetryable(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

function withCode(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

function inStory(value: unknown): string {
  const text = JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'bigint' ? String(part) : part,
  );
  return text.length > storyTextMax ? `${text.slice(0, storyTextMax)}...` : text;
}
