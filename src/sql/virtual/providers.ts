/** What virtual tables show that this layer does not know itself; handed in by the server. */

export interface SessionInfo {
  readonly pid: number;
  readonly database: string;
  readonly user: string;
  readonly applicationName: string;
  readonly clientAddress: string | undefined;
  readonly clientPort: number | undefined;
  /** Microseconds since 2000-01-01 UTC. */
  readonly startedMicros: bigint;
  readonly transactionMicros: bigint | undefined;
  readonly queryMicros: bigint | undefined;
  readonly stateMicros: bigint | undefined;
  /** active, idle, idle in transaction, idle in transaction (aborted). */
  readonly state: string;
  readonly query: string;
}

export interface SettingInfo {
  readonly name: string;
  readonly value: string;
  readonly unit?: string;
  readonly category: string;
  readonly description: string;
  /** bool, integer, real, string, enum. */
  readonly type: string;
  /** internal, postmaster, sighup, backend, superuser, user. */
  readonly context: string;
  readonly defaultValue: string;
  readonly choices?: readonly string[];
}

/** Statements of one shape that had to be run again. */
export interface RetryInfo {
  readonly fingerprint: string;
  readonly restarts: number;
  readonly statementRetries: number;
  readonly replays: number;
  readonly replaysRefused: number;
  readonly errors: number;
  readonly lastReason: string;
  /** Wall microseconds. */
  readonly lastAt: number;
}

export interface VirtualProviders {
  /** Of this node, the latest last. */
  readonly retries?: () => readonly RetryInfo[];
  /** Sessions of this node. */
  readonly sessions?: () => readonly SessionInfo[];
  /** Parameters of the session that asks. */
  readonly settings?: (
    context: import('../session/types.ts').StatementContext,
  ) => readonly SettingInfo[];
}
