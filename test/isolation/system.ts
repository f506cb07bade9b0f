/** What a play needs of the database it runs on. */

export interface TestedSession {
  /** The outcome as lines of text, errors too. */
  run(sql: string): Promise<readonly string[]>;
  /** Asks for the end of the statement under way, as another connection can. */
  cancel(): Promise<void>;
  /** The client goes away; a transaction that is open is undone. Resolves when it is. */
  close(): Promise<void>;
}

/** A session with a step under way. */
export interface BusySession {
  readonly session: TestedSession;
  /** Its answer is there. */
  readonly done: boolean;
}

export interface TestedSystem {
  readonly name: 'postgres' | 'skein';
  /** A place without tables, in which `setup` is run. */
  prepare(setup: string): Promise<TestedDatabase>;
  stop(): Promise<void>;
}

export interface TestedDatabase {
  connect(): Promise<TestedSession>;
  /**
   * Resolves once each of `busy` is done or waits for what only a further step can bring about. Not while
   * a deadlock among them lasts. With `toTheEnd` all of them have to be done: one waits for a timeout.
   */
  rest(busy: readonly BusySession[], toTheEnd: boolean): Promise<void>;
}

/** The first word of a tag and its count, unless it says nothing new: rows speak for SELECT, `begin` for BEGIN. */
export function tagLines(sql: string, tag: string): readonly string[] {
  const [word = ''] = tag.split(' ');
  const short = [word, ...(tag.match(/[0-9]+/g) ?? [])].join(' ');
  return word === 'SELECT' || sql.trim().toUpperCase().startsWith(short) ? [] : [short];
}

export function rowLines(rows: readonly (readonly (string | null)[])[]): readonly string[] {
  if (rows.length === 0) return ['(no rows)'];
  return rows.map((row) => row.map((value) => value ?? 'NULL').join(' | '));
}

/**
 * PostgreSQL's messages of 40001 tell which of its mechanisms refused; another database has other ones.
 */
export function errorLine(code: string, message: string): string {
  return `ERROR ${code} ${code === '40001' ? 'could not serialize access' : message}`;
}
