/**
 * The client side of the protocol for scripts: message lines to bytes, backend messages to lines. It
 * shares no code with the server's codec.
 *
 *   Startup user=root database=defaultdb [minor=2]     Cancel <connection>
 *   Query select 1                                     Parse name | query | oid,oid
 *   Bind portal | statement | params | result formats  (params: text, b:hex for binary, NULL)
 *   Describe S name / Describe P name                  Execute portal maxRows
 *   Close S name    Sync    Flush    Terminate         CopyData text\n    CopyDone    CopyFail why
 *   Raw hex
 */
import {
  Connection,
  defaultConnectionLimits,
  insecureAuthenticator,
} from '../../src/pgwire/index.ts';
import { type TestService } from './server.ts';

export class WireClient {
  readonly connection: Connection;
  #received: Buffer = Buffer.alloc(0);
  #lines: string[] = [];
  #isEnded = false;
  #wake: (() => void) | undefined;
  #splitEvery: number;
  key: { pid: number; secret: number } | undefined;
  /** Messages whose content differs from run to run or bores: not printed. */
  readonly hidden = new Set(['ParameterStatus', 'BackendKeyData']);

  constructor(service: TestService, options: { splitEvery?: number; messageBytes?: number } = {}) {
    this.#splitEvery = options.splitEvery ?? 0;
    const ended = (): void => {
      this.#isEnded = true;
      this.#wake?.();
    };
    this.connection = new Connection({
      env: service.env,
      service: service.service,
      authenticator: insecureAuthenticator,
      limits: { ...defaultConnectionLimits, messageBytes: options.messageBytes ?? 1 << 20 },
      forwardCancel: undefined,
      port: {
        write: (bytes) => {
          this.#received = Buffer.concat([this.#received, bytes]);
          this.#decode();
          this.#wake?.();
          return true;
        },
        pause: () => {},
        resume: () => {},
        end: ended,
      },
    });
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  async send(bytes: Buffer): Promise<void> {
    if (this.#splitEvery === 0) {
      this.connection.receive(Buffer.from(bytes));
      return;
    }
    for (let at = 0; at < bytes.length; at += this.#splitEvery) {
      this.connection.receive(Buffer.from(bytes.subarray(at, at + this.#splitEvery)));
      if (at % 7 === 0) await new Promise(setImmediate);
    }
  }

  /** Lines up to (with) a message of one of these kinds, or the end of the connection. */
  async until(kinds: readonly string[]): Promise<string[]> {
    for (;;) {
      const at = this.#lines.findIndex((line) => kinds.includes(line.split(' ')[0] ?? ''));
      if (at >= 0) return this.#lines.splice(0, at + 1);
      if (this.#isEnded) return [...this.#lines.splice(0), 'closed'];
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What has come so far. */
  take(): string[] {
    return this.#lines.splice(0);
  }

  #decode(): void {
    for (;;) {
      if (this.#received[0] === 0x4e && this.#received.length === 1) {
        // The one-byte answer to SSLRequest.
        this.#lines.push('N');
        this.#received = Buffer.alloc(0);
        return;
      }
      if (this.#received.length < 5) return;
      const length = this.#received.readInt32BE(1) + 1;
      if (this.#received.length < length) return;
      const line = this.#message(
        String.fromCharCode(this.#received[0] ?? 0),
        this.#received.subarray(5, length),
      );
      if (!this.hidden.has(line.split(' ')[0] ?? '')) this.#lines.push(line);
      this.#received = this.#received.subarray(length);
    }
  }

  #message(type: string, body: Buffer): string {
    const fields = new Fields(body);
    switch (type) {
      case 'R':
        return `Authentication ${fields.int32()}`;
      case 'S':
        return `ParameterStatus ${fields.text()}=${fields.text()}`;
      case 'K':
        this.key = { pid: fields.int32(), secret: fields.int32() };
        return 'BackendKeyData';
      case 'Z':
        return `ReadyForQuery ${body.toString()}`;
      case 'T': {
        const columns: string[] = [];
        for (let left = fields.int16(); left > 0; left--) {
          const name = fields.text();
          fields.skip(6);
          const oid = fields.int32();
          fields.skip(6);
          columns.push(`${name}:${oid}${fields.int16() === 1 ? ':binary' : ''}`);
        }
        return `RowDescription ${columns.join(' ')}`;
      }
      case 'D': {
        const values: string[] = [];
        for (let left = fields.int16(); left > 0; left--) values.push(fields.value());
        return `DataRow ${values.join('|')}`;
      }
      case 't': {
        const types: number[] = [];
        for (let left = fields.int16(); left > 0; left--) types.push(fields.int32());
        return `ParameterDescription ${types.join(' ')}`.trim();
      }
      case 'C':
        return `CommandComplete ${fields.text()}`;
      case 'E':
      case 'N': {
        const report = fields.report();
        const parts = [report.get('S'), report.get('C'), report.get('M')];
        for (const [key, label] of [
          ['D', 'detail'],
          ['P', 'position'],
          ['W', 'where'],
        ] as const) {
          if (report.has(key)) parts.push(`${label}=${report.get(key)}`);
        }
        return `${type === 'E' ? 'Error' : 'Notice'} ${parts.join(' ')}`;
      }
      case 'G':
        return `CopyIn columns=${body.readInt16BE(1)} format=${body[0]}`;
      case 'H':
        return `CopyOut columns=${body.readInt16BE(1)} format=${body[0]}`;
      case 'd':
        return `CopyData ${printable(body)}`;
      case 'v': {
        const minor = fields.int32();
        const options: string[] = [];
        for (let left = fields.int32(); left > 0; left--) options.push(fields.text());
        return `NegotiateProtocolVersion ${minor} ${options.join(' ')}`.trim();
      }
      default:
        return emptyMessages[type] ?? `Unknown ${type}`;
    }
  }
}

const emptyMessages: Readonly<Record<string, string>> = {
  '1': 'ParseComplete',
  '2': 'BindComplete',
  '3': 'CloseComplete',
  n: 'NoData',
  I: 'EmptyQueryResponse',
  s: 'PortalSuspended',
  c: 'CopyDone',
};

class Fields {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  skip(count: number): void {
    this.#at += count;
  }

  int16(): number {
    this.#at += 2;
    return this.#body.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#body.readInt32BE(this.#at - 4);
  }

  text(): string {
    const end = this.#body.indexOf(0, this.#at);
    const text = this.#body.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  value(): string {
    const length = this.int32();
    if (length < 0) return 'NULL';
    this.#at += length;
    return printable(this.#body.subarray(this.#at - length, this.#at));
  }

  report(): Map<string, string> {
    const fields = new Map<string, string>();
    while (this.#body[this.#at] !== 0) {
      const key = String.fromCharCode(this.#body[this.#at] ?? 0);
      this.#at++;
      fields.set(key, this.text());
    }
    return fields;
  }
}

/** Text where it is text, else hex. */
function printable(bytes: Buffer): string {
  const text = bytes.toString();
  const shown = JSON.stringify(text).slice(1, -1);
  return /[^\P{Cc}\n\t]|\ufffd/u.test(text) ? `x${bytes.toString('hex')}` : shown;
}

/** The bytes of one message line. */
export function encodeLine(
  line: string,
  keyOf: (name: string) => { pid: number; secret: number },
): Buffer {
  const [kind = ''] = line.split(' ');
  const rest = line.slice(kind.length + 1);
  const parts = rest.split('|').map((part) => part.trim());
  switch (kind) {
    case 'Startup':
      return startup(rest);
    case 'SSLRequest':
      return frame(undefined, int32(80877103));
    case 'GSSENCRequest':
      return frame(undefined, int32(80877104));
    case 'Cancel': {
      const { pid, secret } = keyOf(rest);
      return frame(undefined, int32(80877102), int32(pid), int32(secret));
    }
    case 'Query':
      return frame('Q', cstring(unescaped(rest)));
    case 'Parse': {
      const types = (parts[2] ?? '').split(',').filter(Boolean).map(Number);
      return frame(
        'P',
        cstring(parts[0] ?? ''),
        cstring(parts[1] ?? ''),
        int16(types.length),
        ...types.map(int32),
      );
    }
    case 'Bind':
      return bind(parts);
    case 'Describe':
      return frame('D', cstring(`${rest[0] ?? ''}${rest.slice(2)}`));
    case 'Close':
      return frame('C', cstring(`${rest[0] ?? ''}${rest.slice(2)}`));
    case 'Execute': {
      const [portal = '', max = '0'] =
        rest === '' ? [] : /^\d+$/.test(rest) ? ['', rest] : rest.split(' ');
      return frame('E', cstring(portal), int32(Number(max)));
    }
    case 'Sync':
      return frame('S');
    case 'Flush':
      return frame('H');
    case 'Terminate':
      return frame('X');
    case 'CopyData':
      return frame('d', Buffer.from(unescaped(rest)));
    case 'CopyBinary':
      return frame('d', Buffer.from(rest.replaceAll(' ', ''), 'hex'));
    case 'CopyDone':
      return frame('c');
    case 'CopyFail':
      return frame('f', cstring(rest));
    case 'Raw':
      return Buffer.from(rest.replaceAll(' ', ''), 'hex');
    default:
      throw new Error(`no such message: ${kind}`);
  }
}

function startup(rest: string): Buffer {
  let version = 3 << 16;
  const parameters: Buffer[] = [];
  for (const [, name = '', value = ''] of rest.matchAll(/(\S+?)=("[^"]*"|\S+)/g)) {
    if (name === 'minor') version |= Number(value);
    else if (name === 'major') version = Number(value) << 16;
    else parameters.push(cstring(name), cstring(value.replaceAll('"', '')));
  }
  return frame(undefined, int32(version), ...parameters, Buffer.from([0]));
}

function bind(parts: readonly string[]): Buffer {
  const given =
    parts[2] === undefined || parts[2] === ''
      ? []
      : parts[2].split(',').map((value) => value.trim());
  const formats = (parts[3] ?? '').split(',').filter(Boolean).map(Number);
  const values = given.flatMap((value) => {
    if (value === 'NULL') return [int32(-1)];
    const bytes = value.startsWith('b:')
      ? Buffer.from(value.slice(2), 'hex')
      : Buffer.from(unescaped(value));
    return [int32(bytes.length), bytes];
  });
  return frame(
    'B',
    cstring(parts[0] ?? ''),
    cstring(parts[1] ?? ''),
    int16(given.length),
    ...given.map((value) => int16(value.startsWith('b:') ? 1 : 0)),
    int16(given.length),
    ...values,
    int16(formats.length),
    ...formats.map(int16),
  );
}

function frame(type: string | undefined, ...body: readonly Buffer[]): Buffer {
  const content = Buffer.concat(body);
  const head = type === undefined ? [] : [Buffer.from(type)];
  return Buffer.concat([...head, int32(content.length + 4), content]);
}

const unescaped = (text: string): string =>
  text
    .replaceAll('\\n', '\n')
    .replaceAll('\\t', '\t')
    .replaceAll('\\0', '\0')
    .replaceAll('\\\\', '\\');
const cstring = (text: string): Buffer => Buffer.from(`${text}\0`);

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
