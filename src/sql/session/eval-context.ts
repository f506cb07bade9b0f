/** What expressions see of their session. One object per session; the clock fields move with every statement. */
import { type Env } from '../../util/index.ts';
import {
  type ClientAddress,
  type EvalContext,
  type EvalHost,
} from '../functions/registry-types.ts';
import { type FormatSettings, timestampOfWall } from '../types/index.ts';
import { type DrawnValues } from './drawn-values.ts';
import { type SessionSettings } from './settings.ts';

export interface SessionIdentity {
  readonly sessionUser: string;
  readonly currentUser: string;
  readonly database: string;
  readonly backendPid: number;
  readonly client: ClientAddress | undefined;
}

export class SessionEval implements EvalContext {
  readonly #env: Env;
  /** For pg_settings. */
  readonly settings: SessionSettings;
  readonly #format: FormatSettings;
  readonly #identity: SessionIdentity;
  readonly #schemas: () => readonly string[];
  readonly host: EvalHost;
  readonly #drawn: DrawnValues;
  readonly #followerLagMicros: () => number;
  readonly #setSetting: (name: string, value: string | undefined, isLocal: boolean) => void;
  statementMicros = 0n;
  #nowMicros = 0n;
  /** How often now() was asked for. */
  nowReads = 0;
  #seedState: number | undefined;

  constructor(options: {
    env: Env;
    settings: SessionSettings;
    identity: SessionIdentity;
    schemas: () => readonly string[];
    host: EvalHost & { uniqueRowId(): bigint };
    drawn: DrawnValues;
    followerLagMicros: () => number;
    setSetting: (name: string, value: string | undefined, isLocal: boolean) => void;
  }) {
    this.#env = options.env;
    this.settings = options.settings;
    this.#format = options.settings.format;
    this.#identity = options.identity;
    this.#schemas = options.schemas;
    this.#drawn = options.drawn;
    this.host = drawing(options.host, options.drawn);
    this.#followerLagMicros = options.followerLagMicros;
    this.#setSetting = options.setSetting;
  }

  get nowMicros(): bigint {
    this.nowReads++;
    return this.#nowMicros;
  }

  set nowMicros(micros: bigint) {
    this.#nowMicros = micros;
  }

  get followerLagMicros(): bigint {
    return BigInt(this.#followerLagMicros());
  }

  get timeZone(): string {
    return this.#format.timeZone;
  }
  get dateOrder(): FormatSettings['dateOrder'] {
    return this.#format.dateOrder;
  }
  get dateStyle(): FormatSettings['dateStyle'] {
    return this.#format.dateStyle;
  }
  get intervalStyle(): FormatSettings['intervalStyle'] {
    return this.#format.intervalStyle;
  }
  get extraFloatDigits(): number {
    return this.#format.extraFloatDigits;
  }
  get byteaOutput(): FormatSettings['byteaOutput'] {
    return this.#format.byteaOutput;
  }
  get regName(): FormatSettings['regName'] {
    return this.#format.regName;
  }
  get currentUser(): string {
    return this.#identity.currentUser;
  }
  get sessionUser(): string {
    return this.#identity.sessionUser;
  }
  get currentDatabase(): string {
    return this.#identity.database;
  }
  get backendPid(): number {
    return this.#identity.backendPid;
  }
  get client(): ClientAddress | undefined {
    return this.#identity.client;
  }
  get currentSchemas(): readonly string[] {
    return this.#schemas();
  }

  clockMicros(): bigint {
    const known = this.#drawn.again('clock');
    if (typeof known === 'bigint') return known;
    const micros = timestampOfWall(this.#env.clock.wallMicros());
    this.#drawn.keep('clock', micros);
    return micros;
  }

  random(): number {
    const known = this.#drawn.again('random');
    if (typeof known === 'number') return known;
    const value = this.#newRandom();
    this.#drawn.keep('random', value);
    return value;
  }

  #newRandom(): number {
    if (this.#seedState === undefined) return this.#env.random.float();
    // Mulberry32: small, and the same sequence for the same seed.
    this.#seedState = (this.#seedState + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seedState ^ (this.#seedState >>> 15), 1 | this.#seedState);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  setSeed(seed: number): void {
    this.#seedState = Math.round(seed * 0x7fffffff) | 0;
  }

  randomBytes(length: number): Buffer {
    const known = this.#drawn.again('bytes');
    if (Buffer.isBuffer(known) && known.length === length) return Buffer.from(known);
    const bytes = this.#env.random.bytes(length);
    this.#drawn.keep('bytes', Buffer.from(bytes));
    return bytes;
  }

  setting(name: string): string | undefined {
    return this.settings.get(name) === undefined ? undefined : this.settings.show(name);
  }

  setSetting(name: string, value: string | undefined, isLocal: boolean): string {
    this.#setSetting(name, value, isLocal);
    return this.settings.show(name);
  }
}

/** Numbers of sequences and row ids are drawn. */
function drawing(host: EvalHost & { uniqueRowId(): bigint }, drawn: DrawnValues): EvalHost {
  return {
    ...host,
    async nextval(sequence) {
      const what = `nextval ${sequence}`;
      const known = drawn.again(what);
      if (typeof known === 'bigint') return known;
      const value = await host.nextval(sequence);
      drawn.keep(what, value);
      return value;
    },
    uniqueRowId() {
      const known = drawn.again('row id');
      if (typeof known === 'bigint') return known;
      const value = host.uniqueRowId();
      drawn.keep('row id', value);
      return value;
    },
  };
}
