/**
 * Who works on jobs: a node that does keeps one session record alive, and its jobs carry the session's name. A job whose
 * session has run out is free for others, so one write now and then keeps any number of claims.
 *
 * A session is over for its node before it is over for the others: the node measures from before it began to write, on
 * the clock that the others compare with, less the maximum offset. Times are `physicalMicros` of the node's clock, not what the
 * machine's shows: a node whose clock was set goes on with its jobs, and must not take those of others for abandoned.
 */
import { systemKey } from '../../encoding/index.ts';
import { type Db, type NodeId, type Txn } from '../../kv/index.ts';
import { must, prefixEnd, type Env } from '../../util/index.ts';

const sessionMicros = 15_000_000;
const prefix = systemKey('job-session/');

interface SessionRecord {
  readonly name: string;
  /** Wall microseconds. */
  readonly until: number;
}

export class JobSession {
  readonly #env: Env;
  readonly #db: Db;
  readonly #nodeId: NodeId;
  #name: string | undefined;
  #until = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(env: Env, db: Db, nodeId: NodeId) {
    this.#env = env;
    this.#db = db;
    this.#nodeId = nodeId;
  }

  /** Undefined while this node has no session, or cannot be sure of it. */
  get name(): string | undefined {
    const { maxOffsetMicros } = this.#db.clock;
    return this.#db.clock.physicalMicros() + maxOffsetMicros < this.#until ? this.#name : undefined;
  }

  /** Begins a session, or makes it last longer; a former one that has run out does not come back. */
  renew(): Promise<string> {
    return this.#inTurn(async () => {
      const before = this.#db.clock.physicalMicros();
      const name = this.name ?? `${this.#nodeId}/${this.#env.random.bytes(8).toString('hex')}`;
      const record: SessionRecord = { name, until: before + sessionMicros };
      await this.#db.run({ name: 'job session' }, async (txn) => {
        txn.put(this.#key, Buffer.from(JSON.stringify(record)));
      });
      this.#name = name;
      this.#until = record.until;
      return name;
    });
  }

  /** Its jobs are free at once. */
  end(): Promise<void> {
    // Nobody begins anything in it while its turn comes.
    this.#until = 0;
    return this.#inTurn(async () => {
      if (this.#name === undefined) return;
      this.#name = undefined;
      await this.#db.run({ name: 'end of a job session' }, async (txn) => {
        txn.delete(this.#key);
      });
    });
  }

  /** The record is one for all sessions of the node: no write to it may overtake an earlier one. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  get #key(): Buffer {
    return systemKey(`job-session/${String(this.#nodeId).padStart(10, '0')}`);
  }
}

/** Names of the sessions that have not run out. */
export async function liveSessions(txn: Txn, nowMicros: number): Promise<ReadonlySet<string>> {
  const page = await txn.scan({ start: prefix, end: must(prefixEnd(prefix)) });
  const live = new Set<string>();
  for (const value of page.values) {
    // Written by `renew` alone.
    const { name, until } = JSON.parse(value.toString('utf8')) as SessionRecord;
    if (nowMicros < until) live.add(name);
  }
  return live;
}
