/**
 * One connection of the `pg` driver to one node. Every failure has a code: a SQLSTATE, or the system's name of what
 * happened to the connection. A statement that is not answered in time breaks the connection: ETIMEDOUT.
 */
import { Socket } from 'node:net';
import pg from 'pg';
import { type SqlQueries, type SqlResult } from '../../src/sim/sql-session.ts';

/** Longer than the server needs to say that a range is not served. */
const answerMs = 10_000;
const connectMs = 3_000;
/** Serialization failure, deadlock: the transaction met another one, and nothing is wrong with the cluster. */
const conflicts = new Set(['40001', '40P01']);
const writes = /^\s*(insert|update|delete)/i;

export interface Seen {
  /** A statement was to change something. */
  readonly isWrite: boolean;
  /** The server gave the transaction up for another one. */
  readonly isConflict: boolean;
}

const nothingSeen: Seen = { isWrite: false, isConflict: false };

export class Connection implements SqlQueries {
  readonly #client: pg.Client;
  readonly #socket: Socket;
  #isBroken = false;
  #seen = nothingSeen;

  private constructor(url: string) {
    this.#socket = new Socket();
    this.#client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: connectMs,
      stream: () => this.#socket,
    });
    // Whoever waits for an answer is told; nobody else needs to know.
    this.#client.on('error', () => {
      this.#isBroken = true;
    });
    this.#client.on('end', () => {
      this.#isBroken = true;
    });
  }

  static async open(url: string): Promise<Connection> {
    const connection = new Connection(url);
    try {
      await connection.#client.connect();
    } catch (error) {
      connection.#break();
      throw error;
    }
    return connection;
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Of the statements since the last call. */
  takeSeen(): Seen {
    const seen = this.#seen;
    this.#seen = nothingSeen;
    return seen;
  }

  async query<Row extends object = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<SqlResult<Row>> {
    if (this.#isBroken) throw withCode(new Error('the connection is broken'), '08003');
    if (writes.test(text)) this.#seen = { ...this.#seen, isWrite: true };
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#break();
    }, answerMs);
    try {
      return await this.#client.query<Row>(text, [...values]);
    } catch (error) {
      if (isLate) throw withCode(error, 'ETIMEDOUT');
      if (error instanceof pg.DatabaseError) {
        if (conflicts.has(error.code ?? '')) this.#seen = { ...this.#seen, isConflict: true };
        throw error;
      }
      this.#break();
      throw error instanceof Error && 'code' in error ? error : withCode(error, '08006');
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    if (!this.#isBroken) await this.#client.end().catch(() => undefined);
    this.#break();
  }

  #break(): void {
    this.#isBroken = true;
    this.#socket.destroy();
  }
}

function withCode(error: unknown, code: string): Error {
  const known = error instanceof Error ? error : new Error(String(error));
  return Object.assign(known, { code });
}
