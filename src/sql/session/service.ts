/** The sessions of one node: who may open one, and how a cancel request finds the right one. */
import { type ReportedSession, type SessionSignal, type SignalOutcome } from '../../kv/index.ts';
import { isSuperuser, rolesOf } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';
import { type ClientAddress } from '../functions/index.ts';
import { refuseWrongClock } from './clock-check.ts';
import { applyLoginDefaults, checkRole } from './roles.ts';
import { type SessionServices } from './services.ts';
import { Session } from './session.ts';

export interface NewSession {
  readonly user: string;
  /** Empty: the user's name. */
  readonly database: string;
  readonly settings: ReadonlyMap<string, string>;
  /** Absent: it is in this process. */
  readonly client?: ClientAddress | undefined;
}

/** Bits of a backend pid that count sessions; the bits above name the node. */
const counterBits = 19;

/** The node whose session this is: where a cancel request has to go. */
export function nodeOfBackend(pid: number): number {
  return (pid >>> counterBits) & 0xfff;
}

export class SqlService {
  readonly services: SessionServices;
  readonly #nodeId: number;
  readonly #sessions = new Map<number, Session>();
  readonly #secrets = new Map<number, number>();
  #next = 0;
  #isDraining = false;
  readonly #maxSessions: number;

  constructor(
    services: SessionServices,
    options: { readonly nodeId: number; readonly maxSessions: number },
  ) {
    this.services = services;
    this.#nodeId = options.nodeId;
    this.#maxSessions = options.maxSessions;
  }

  /**
   * Opens a session. Throws 3D000 for an unknown database, 28000 for an unknown user, 22023 for bad
   * settings, 42501 for a role that is not the user's, 53300 when there are too many, 57P03 while the node drains or its clock is wrong.
   */
  async newSession(options: NewSession): Promise<Session> {
    if (this.#isDraining) throw sqlError('cannotConnectNow', 'the node is shutting down');
    refuseWrongClock(this.services.db.clock);
    if (this.#sessions.size >= this.#maxSessions) {
      throw sqlError('tooManyConnections', 'sorry, too many clients already');
    }
    const database = options.database === '' ? options.user : options.database;
    const pid = this.#newPid();
    const session = new Session(this.services, {
      user: options.user,
      database,
      backendPid: pid,
      client: options.client,
      settings: options.settings,
    });
    await this.#check(session, options, database);
    this.#sessions.set(pid, session);
    this.#secrets.set(pid, this.services.env.random.u32());
    return session;
  }

  async #check(session: Session, options: NewSession, database: string): Promise<void> {
    const { user } = options;
    const given = new Set([...options.settings.keys()].map((name) => name.toLowerCase()));
    const { catalog } = session;
    await catalog.begin();
    try {
      const role = catalog.snapshot.data.roles.get(user);
      if (role === undefined) {
        throw sqlError('invalidAuthorizationSpecification', `role "${user}" does not exist`);
      }
      if (!role.options.login) {
        throw sqlError(
          'invalidAuthorizationSpecification',
          `role "${user}" is not permitted to log in`,
        );
      }
      const descriptor = await catalog.findDatabase(database);
      if (descriptor === undefined) {
        throw sqlError('invalidCatalogName', `database "${database}" does not exist`);
      }
      session.settings.force('is_superuser', role.options.superuser ? 'on' : 'off');
      for (const defaults of [descriptor.settings, role.options.settings]) {
        applyLoginDefaults(session, defaults ?? {}, given);
      }
      if (given.has('role') && session.settings.role !== undefined)
        checkRole(session, session.settings.role);
    } finally {
      await catalog.finish();
    }
  }

  #newPid(): number {
    let pid: number;
    do {
      this.#next = (this.#next + 1) & ((1 << counterBits) - 1);
      pid = ((this.#nodeId & 0xfff) << counterBits) | this.#next;
    } while (pid === 0 || this.#sessions.has(pid));
    return pid;
  }

  /** The secret that a cancel request has to bring. */
  secretOf(session: Session): number {
    return this.#secrets.get(session.identity.backendPid) ?? 0;
  }

  /** True when the session is here (and the secret right, or the request ignored). */
  cancel(pid: number, secret: number): boolean {
    const session = this.#sessions.get(pid);
    if (session === undefined) return false;
    if (this.#secrets.get(pid) === secret) session.cancel('user');
    return true;
  }

  /** pg_cancel_backend, pg_terminate_backend: for superusers, and for members of the role whose session it is. */
  signal({ kind, pid, by }: SessionSignal): SignalOutcome {
    const session = this.#sessions.get(pid);
    if (session === undefined) return 'gone';
    const { current } = this.services.catalogCache;
    const { sessionUser } = session.identity;
    if (!isSuperuser(current, by)) {
      if (isSuperuser(current, sessionUser)) return 'not-superuser';
      if (!rolesOf(current, by).has(sessionUser)) return 'not-member';
    }
    if (kind === 'cancel') session.cancel('user');
    else session.terminate();
    return 'sent';
  }

  async close(session: Session): Promise<void> {
    const pid = session.identity.backendPid;
    this.#secrets.delete(pid);
    await session.close();
    this.#sessions.delete(pid);
  }

  /** No new sessions from now on. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends what is left and leaves the catalog's protocol. */
  async stop(): Promise<void> {
    this.drain();
    for (const session of this.#sessions.values()) {
      session.cancel('closed');
      await this.close(session);
    }
    await this.services.jobs.stop();
    await this.services.catalogCache.stop();
  }

  /** Counters, and gauges whose names begin with `open`. */
  metrics(): Readonly<Record<string, number>> {
    return { openSessions: this.#sessions.size, ...this.services.counters };
  }

  /** The sessions that have transactions, those of their advisory locks among them. */
  openTransactions(): ReportedSession[] {
    return [...this.#sessions.values()].flatMap(({ identity, transaction, host }) => {
      const { backendPid: pid, database } = identity;
      const txns = [transaction.txn, ...host.ownTransactions];
      return txns.flatMap((txn) =>
        txn === undefined ? [] : [{ pid, database, txnId: txn.meta.id }],
      );
    });
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }
}
