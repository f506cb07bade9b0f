/**
 * Histories as files: JSON lines, one event each, and Jepsen's EDN, which other people's checkers read. In EDN a
 * word of lower-case letters is a keyword (`:append`), any other text is a string.
 */
import { type Outcome, type Recorded } from './history.ts';
import { isList, type Codec, type Json } from './shape.ts';

export interface HistoryEvent {
  readonly index: number;
  readonly process: number;
  readonly type: 'invoke' | Outcome;
  readonly f: string;
  readonly value: Json;
  /** Milliseconds on the clock of the history. */
  readonly t: number;
  /** See Recorded. */
  readonly error?: string;
}

/** In the order in which they happened; what never ended has an invocation alone, what ended as 'info' comes last. */
export function eventsOf<What>(
  history: readonly Recorded<What>[],
  codec: Codec<What>,
): HistoryEvent[] {
  const placed = history.flatMap(({ process, what, outcome, ...rest }) => {
    const { f, value } = codec.encode(what);
    const { invoked, completed, invokedMs, completedMs, error } = rest;
    const invocation = { process, type: 'invoke' as const, f, value, t: invokedMs };
    if (completedMs === undefined) return [{ at: invoked, event: invocation }];
    const reason = error === undefined ? {} : { error };
    const end = { process, type: outcome, f, value, t: completedMs, ...reason };
    return [
      { at: invoked, event: invocation },
      { at: completed, event: end },
    ];
  });
  placed.sort((a, b) => (a.at === b.at ? a.event.t - b.event.t : a.at - b.at));
  return placed.map(({ event }, index) => ({ index, ...event }));
}

/** Throws a TypeError when an operation has another shape, or ends without having begun. */
export function historyOf<What>(
  events: readonly HistoryEvent[],
  codec: Codec<What>,
): Recorded<What>[] {
  const open = new Map<number, number>();
  const history: Recorded<What>[] = [];
  for (const [at, event] of events.entries()) {
    const { process, type, t, error } = event;
    const what = codec.decode(event);
    if (type === 'invoke') {
      open.set(process, history.length);
      const completed = Number.POSITIVE_INFINITY;
      history.push({ process, what, outcome: 'info', invoked: at, completed, invokedMs: t });
      continue;
    }
    const index = open.get(process);
    const invocation = index === undefined ? undefined : history[index];
    if (index === undefined || invocation === undefined) {
      throw new TypeError(`event ${event.index} ends what process ${process} never began`);
    }
    open.delete(process);
    const completed = type === 'info' ? Number.POSITIVE_INFINITY : at;
    const reason = error === undefined ? {} : { error };
    history[index] = { ...invocation, what, outcome: type, completed, completedMs: t, ...reason };
  }
  return history;
}

export function toJsonLines(events: readonly HistoryEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('');
}

/** Throws a SyntaxError or a TypeError. */
export function fromJsonLines(file: string): HistoryEvent[] {
  const lines = file.split('\n').filter((line) => line !== '');
  return lines.map((line) => eventFrom(new Map(Object.entries(JSON.parse(line)))));
}

/** Times are nanoseconds, as Jepsen has them. */
export function toEdn(events: readonly HistoryEvent[]): string {
  return events
    .map(({ index, process, type, f, value, t, error }) => {
      const what = `:type :${type}, :f :${f}, :value ${ednValue(value)}`;
      const reason = error === undefined ? '' : `, :error ${JSON.stringify(error)}`;
      const time = Math.round(t * 1e6);
      return `{:index ${index}, :process ${process}, ${what}, :time ${time}${reason}}\n`;
    })
    .join('');
}

/** Maps as `toEdn` writes them, one after the other or in a vector; what is not a client's is left out. Throws a SyntaxError. */
export function fromEdn(file: string): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  for (const form of new EdnReader(file).forms()) {
    const maps = form instanceof Map ? [form] : Array.isArray(form) ? form : [];
    for (const map of maps) {
      if (!(map instanceof Map) || typeof map.get('process') !== 'number') continue;
      const time = map.get('time');
      const t = typeof time === 'number' ? time / 1e6 : 0;
      events.push(
        eventFrom(new Map([...map, ['index', map.get('index') ?? events.length], ['t', t]])),
      );
    }
  }
  return events;
}

/** An EDN value as `ednValue` writes it. Throws a SyntaxError. */
export function readEdnValue(source: string): Json {
  const [value = null] = new EdnReader(source).forms();
  return jsonOf(value);
}

function eventFrom(map: ReadonlyMap<string, unknown>): HistoryEvent {
  const numberAt = (name: string): number => {
    const value = map.get(name);
    if (typeof value !== 'number') throw new TypeError(`${name} of an event is not a number`);
    return value;
  };
  const type = map.get('type');
  const f = map.get('f');
  const error = map.get('error');
  if (type !== 'invoke' && type !== 'ok' && type !== 'fail' && type !== 'info') {
    throw new TypeError('an event has no type');
  }
  if (typeof f !== 'string') throw new TypeError('an event has no f');
  return {
    index: numberAt('index'),
    process: numberAt('process'),
    type,
    f,
    value: jsonOf(map.get('value')),
    t: numberAt('t'),
    ...(typeof error === 'string' ? { error } : {}),
  };
}

function jsonOf(value: unknown): Json {
  if (value === undefined || value === null) return null;
  if (typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') {
    return value;
  }
  if (Array.isArray(value)) return value.map(jsonOf);
  throw new TypeError('a value of an event is neither a number, a text, a truth value nor a list');
}

const keyword = /^[a-z][a-z-]*$/;

function ednValue(value: Json): string {
  if (value === null) return 'nil';
  if (isList(value)) return `[${value.map(ednValue).join(' ')}]`;
  if (typeof value === 'string' && keyword.test(value)) return `:${value}`;
  return JSON.stringify(value);
}

/** Of EDN what histories consist of: maps with keywords, vectors, lists, numbers, strings, keywords, nil, truth values. */
class EdnReader {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(source: string) {
    // Commas are blanks; ';' starts a comment; '#word' tags what follows it.
    this.#tokens =
      source
        .replace(/("(?:\\.|[^"\\])*")|;[^\n]*|#[a-zA-Z][\w./-]*/g, '$1')
        .match(/"(?:\\.|[^"\\])*"|[[\](){}]|[^\s,[\](){}"]+/g) ?? [];
  }

  *forms(): Generator<unknown> {
    while (this.#at < this.#tokens.length) yield this.#form();
  }

  #form(): unknown {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new SyntaxError('the EDN ends early');
    if (token === '[' || token === '(') return this.#until(token === '[' ? ']' : ')');
    if (token === '{') {
      const parts = this.#until('}');
      const map = new Map<string, unknown>();
      for (let i = 0; i < parts.length; i += 2) map.set(String(parts[i]), parts[i + 1]);
      return map;
    }
    if (token.startsWith('"')) return JSON.parse(token);
    if (token.startsWith(':')) return token.slice(1);
    if (token === 'nil') return null;
    if (token === 'true' || token === 'false') return token === 'true';
    const number = Number(token);
    if (Number.isNaN(number)) throw new SyntaxError(`EDN: ${token} was not expected`);
    return number;
  }

  #until(end: string): unknown[] {
    const items: unknown[] = [];
    while (this.#tokens[this.#at] !== end) items.push(this.#form());
    this.#at++;
    return items;
  }
}
