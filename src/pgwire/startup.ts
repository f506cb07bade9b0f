/** The first packets of a connection (PostgreSQL 55.2.1), decoded. */
import { sqlError } from '../sql/index.ts';
import { type FrameReader } from './frame-reader.ts';

export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly pid: number; readonly secret: number }
  | {
      readonly kind: 'startup';
      readonly minor: number;
      readonly user: string;
      readonly database: string;
      /** Everything else, `options` taken apart. */
      readonly settings: ReadonlyMap<string, string>;
      /** Names that start with _pq_.: extensions of the protocol. */
      readonly protocolOptions: readonly string[];
      readonly wantsReplication: boolean;
    };

const cancelCode = 80877102;
const sslCode = 80877103;
const gssCode = 80877104;

/** Throws 08P01 on packets that make no sense, 0A000 on other major versions, 28000 without a user. */
export function readStartup(reader: FrameReader): StartupPacket {
  const code = reader.uint32();
  switch (code) {
    case sslCode:
      return { kind: 'ssl' };
    case gssCode:
      return { kind: 'gssenc' };
    case cancelCode:
      return { kind: 'cancel', pid: reader.int32(), secret: reader.uint32() };
    default:
      break;
  }
  const major = code >>> 16;
  if (major !== 3) {
    throw sqlError(
      'featureNotSupported',
      `unsupported frontend protocol ${major}.${code & 0xffff}: server supports 3.0 to 3.0`,
    );
  }
  return readParameters(reader, code & 0xffff);
}

function readParameters(reader: FrameReader, minor: number): StartupPacket {
  const settings = new Map<string, string>();
  const protocolOptions: string[] = [];
  let user = '';
  let database = '';
  let options = '';
  let wantsReplication = false;
  while (reader.remaining > 1) {
    const name = reader.cstring();
    if (name === '') break;
    const value = reader.cstring();
    if (name === 'user') user = value;
    else if (name === 'database') database = value;
    else if (name === 'options') options = value;
    else if (name === 'replication')
      wantsReplication = !['', 'false', 'off', 'no', '0'].includes(value);
    else if (name.startsWith('_pq_.')) protocolOptions.push(name);
    else settings.set(name, value);
  }
  if (reader.remaining > 1 || (reader.remaining === 1 && reader.byte() !== 0)) {
    throw sqlError(
      'protocolViolation',
      'invalid startup packet layout: expected terminator as last byte',
    );
  }
  for (const [name, value] of commandLineSettings(options)) settings.set(name, value);
  if (user === '') {
    throw sqlError(
      'invalidAuthorizationSpecification',
      'no PostgreSQL user name specified in startup packet',
    );
  }
  return { kind: 'startup', minor, user, database, settings, protocolOptions, wantsReplication };
}

/** `-c name=value` and `--name=value`; a backslash takes the next character as it is. */
export function commandLineSettings(options: string): (readonly [string, string])[] {
  const words = [...options.matchAll(/(?:\\[\s\S]|[^\s\\])+/g)].map(([word]) =>
    word.replaceAll(/\\([\s\S])/g, '$1'),
  );
  const settings: (readonly [string, string])[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    let assignment: string;
    if (word === '-c') assignment = words[++i] ?? '';
    else if (word.startsWith('-c')) assignment = word.slice(2);
    else if (word.startsWith('--')) assignment = word.slice(2).replaceAll('-', '_');
    else throw sqlError('syntaxError', `invalid command-line argument for server process: ${word}`);
    const equals = assignment.indexOf('=');
    if (equals <= 0) throw sqlError('syntaxError', `-c ${assignment} requires a value`);
    settings.push([assignment.slice(0, equals), assignment.slice(equals + 1)]);
  }
  return settings;
}
