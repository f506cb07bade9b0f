/**
 * The variables of one session. SET lasts for the session and is undone when its transaction rolls
 * back; SET LOCAL lasts until the end of the transaction.
 *
 * INVARIANT: `#undo` holds what to put back, newest last; it is empty outside a transaction.
 */
import { sqlError } from '../errors.ts';
import { defaultFormat, type FormatSettings } from '../types/types.ts';
import { isolationNamed, type TransactionModes } from './isolation.ts';
import { settingDefinitions } from './setting-definitions.ts';
import { splitNames } from './set-values.ts';
import { canonicalSetting, displaySetting, unrecognizedSetting } from './setting-values.ts';

interface Undo {
  readonly name: string;
  readonly session: string | undefined;
  readonly local: string | undefined;
}

/** How new transactions run. */
export interface NewTransaction extends TransactionModes {
  /** Strict serializability; see TxnOptions. */
  readonly strict: boolean;
  /** They read the recent past at the nearest replicas. */
  readonly usesFollowers: boolean;
}

type MutableFormat = { -readonly [Key in keyof FormatSettings]: FormatSettings[Key] };

export interface SettingsOptions {
  /** From the startup packet and the role: RESET goes back to these. */
  readonly initial: ReadonlyMap<string, string>;
  /** Canonical name, or undefined when there is no such zone. */
  readonly timeZone: (name: string) => string | undefined;
  /** Throws 22023, 42501. */
  readonly checkRole: (name: string) => void;
  /** By lower-case name: values that the open transaction has; undefined for all others. */
  readonly ofTransaction: (name: string) => string | undefined;
}

const planSettings = new Set(['role', 'search_path', 'timezone', 'datestyle', 'intervalstyle']);

export class SessionSettings {
  readonly #defaults = new Map<string, string>();
  readonly #session = new Map<string, string>();
  readonly #local = new Map<string, string>();
  readonly #timeZone: SettingsOptions['timeZone'];
  readonly #checkRole: SettingsOptions['checkRole'];
  readonly #ofTransaction: SettingsOptions['ofTransaction'];
  #undo: Undo[] = [];
  readonly #unreported = new Set<string>();
  /** Grows when something changes that plans depend on. */
  planEpoch = 0;
  #searchPath: readonly string[] = [];
  readonly format: MutableFormat = { ...defaultFormat };
  newTransaction: NewTransaction = {
    isolation: 'read committed',
    readOnly: false,
    deferrable: false,
    strict: false,
    usesFollowers: false,
  };
  statementTimeoutMs = 0;
  lockTimeoutMs = 0;
  idleInTransactionTimeoutMs = 0;
  idleTimeoutMs = 0;

  constructor(options: SettingsOptions) {
    this.#timeZone = options.timeZone;
    this.#checkRole = options.checkRole;
    this.#ofTransaction = options.ofTransaction;
    for (const [name, value] of options.initial) {
      const lower = name.toLowerCase();
      const definition = settingDefinitions.get(lower);
      if (definition === undefined && !name.includes('.')) throw unrecognizedSetting(name);
      const canonical =
        definition === undefined || definition.readOnly
          ? value
          : canonicalSetting(definition, value, definition.initial, this.#timeZone);
      this.#defaults.set(lower, canonical);
    }
    this.#apply();
  }

  /** Undefined when there is no such variable. In canonical form, numbers in base units. */
  get(name: string): string | undefined {
    const lower = name.toLowerCase();
    return (
      this.#ofTransaction(lower) ??
      this.#local.get(lower) ??
      this.#session.get(lower) ??
      this.#defaults.get(lower) ??
      settingDefinitions.get(lower)?.initial
    );
  }

  /** As SHOW prints it. Throws 42704. */
  show(name: string): string {
    const value = this.get(name);
    if (value === undefined) throw unrecognizedSetting(name);
    const definition = settingDefinitions.get(name.toLowerCase());
    return definition === undefined ? value : displaySetting(definition, value);
  }

  /** The value SHOW would print after SET: for settings that live elsewhere. */
  canonical(name: string, value: string): string {
    const definition = settingDefinitions.get(name.toLowerCase());
    if (definition === undefined) throw unrecognizedSetting(name);
    return canonicalSetting(definition, value, this.get(name) ?? '', this.#timeZone);
  }

  /** TimeZone for timezone. */
  displayName(name: string): string {
    return settingDefinitions.get(name.toLowerCase())?.name ?? name;
  }

  /** Schema names as set, in order; `$user` unresolved. */
  get searchPath(): readonly string[] {
    return this.#searchPath;
  }

  /** Of SET ROLE or the login; undefined: the session's user acts as itself. */
  get role(): string | undefined {
    const name = this.get('role');
    return name === 'none' ? undefined : name;
  }

  /** Name, value and description of every variable, by name. */
  all(): { name: string; value: string; description: string }[] {
    return [...settingDefinitions.values()]
      .map(({ name, description }) => ({ name, value: this.show(name), description }))
      .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
  }

  /** `value` undefined: back to the default. Throws 42704, 55P02, 22023, 42501. */
  set(name: string, value: string | undefined, isLocal: boolean): string {
    const lower = name.toLowerCase();
    const definition = settingDefinitions.get(lower);
    if (definition === undefined && !/^[a-z_][\w$]*\.[\w$.]+$/i.test(name))
      throw unrecognizedSetting(name);
    if (definition?.readOnly === true) {
      throw sqlError('cantChangeRuntimeParam', `parameter "${definition.name}" cannot be changed`);
    }
    if (definition?.type.kind === 'name-list' && value !== undefined) splitNames(value);
    const current = this.get(lower) ?? '';
    const wanted = value ?? this.#defaults.get(lower) ?? definition?.initial ?? '';
    const canonical =
      definition === undefined
        ? wanted
        : canonicalSetting(definition, wanted, current, this.#timeZone);
    if (lower === 'role' && value !== undefined && canonical !== 'none') this.#checkRole(canonical);
    this.#undo.push({
      name: lower,
      session: this.#session.get(lower),
      local: this.#local.get(lower),
    });
    if (isLocal) {
      this.#local.set(lower, canonical);
    } else {
      this.#local.delete(lower);
      if (value === undefined) this.#session.delete(lower);
      else this.#session.set(lower, canonical);
    }
    if (canonical !== current) this.#changed(lower);
    return canonical;
  }

  /** ALTER DATABASE, ALTER ROLE ... SET: what RESET goes back to. */
  setDefault(name: string, value: string): void {
    const definition = settingDefinitions.get(name.toLowerCase());
    if (definition?.readOnly === true) return;
    this.force(
      name,
      definition === undefined
        ? value
        : canonicalSetting(definition, value, definition.initial, this.#timeZone),
    );
  }

  /** A value the session itself decides: is_superuser, session_authorization, transaction_isolation. */
  force(name: string, value: string): void {
    const lower = name.toLowerCase();
    if (this.get(lower) === value) return;
    this.#defaults.set(lower, value);
    this.#changed(lower);
  }

  /** The role stays, as in PostgreSQL. */
  resetAll(): void {
    for (const name of new Set([...this.#session.keys(), ...this.#local.keys()])) {
      if (name !== 'role') this.set(name, undefined, false);
    }
  }

  mark(): number {
    return this.#undo.length;
  }

  rollbackTo(mark: number): void {
    while (this.#undo.length > mark) {
      const undo = this.#undo.pop();
      if (undo === undefined) return;
      put(this.#session, undo.name, undo.session);
      put(this.#local, undo.name, undo.local);
      this.#changed(undo.name);
    }
  }

  /** The end of a transaction. */
  end(committed: boolean): void {
    if (!committed) this.rollbackTo(0);
    if (this.#undo.length > 0) this.#undo = [];
    if (this.#local.size === 0) return;
    const names = [...this.#local.keys()];
    this.#local.clear();
    for (const name of names) this.#changed(name);
  }

  /** Values the client must be told about: those that changed since the last call. */
  takeReports(): readonly (readonly [string, string])[] {
    if (this.#unreported.size === 0) return [];
    const reports = [...this.#unreported].map((name): readonly [string, string] => [
      settingDefinitions.get(name)?.name ?? name,
      this.get(name) ?? '',
    ]);
    this.#unreported.clear();
    return reports;
  }

  /** All values that clients are told about, at the start. */
  reported(): (readonly [string, string])[] {
    this.#unreported.clear();
    return [...settingDefinitions.values()]
      .filter(({ report }) => report)
      .map(({ name }): readonly [string, string] => [name, this.get(name) ?? '']);
  }

  #changed(name: string): void {
    if (settingDefinitions.get(name)?.report === true) this.#unreported.add(name);
    if (planSettings.has(name)) this.planEpoch++;
    this.#apply();
  }

  #apply(): void {
    const { format } = this;
    const [style = 'ISO', order = 'MDY'] = (this.get('DateStyle') ?? '').split(', ');
    format.dateStyle =
      style === 'SQL' || style === 'Postgres' || style === 'German' ? style : 'ISO';
    format.dateOrder = order === 'DMY' || order === 'YMD' ? order : 'MDY';
    format.timeZone = this.get('TimeZone') ?? 'UTC';
    const intervalStyle = this.get('IntervalStyle');
    format.intervalStyle =
      intervalStyle === 'postgres_verbose' ||
      intervalStyle === 'sql_standard' ||
      intervalStyle === 'iso_8601'
        ? intervalStyle
        : 'postgres';
    format.extraFloatDigits = Number(this.get('extra_float_digits') ?? '1');
    format.byteaOutput = this.get('bytea_output') === 'escape' ? 'escape' : 'hex';
    this.#searchPath = splitNames(this.get('search_path') ?? '');
    this.newTransaction = {
      isolation:
        isolationNamed(this.get('default_transaction_isolation') ?? '') ?? 'read committed',
      readOnly: this.get('default_transaction_read_only') === 'on',
      deferrable: this.get('default_transaction_deferrable') === 'on',
      strict: this.get('strict_serializability') === 'on',
      usesFollowers: this.get('default_transaction_use_follower_reads') === 'on',
    };
    this.statementTimeoutMs = Number(this.get('statement_timeout') ?? '0');
    this.lockTimeoutMs = Number(this.get('lock_timeout') ?? '0');
    this.idleInTransactionTimeoutMs = Number(
      this.get('idle_in_transaction_session_timeout') ?? '0',
    );
    this.idleTimeoutMs = Number(this.get('idle_session_timeout') ?? '0');
  }
}

function put(values: Map<string, string>, name: string, value: string | undefined): void {
  if (value === undefined) values.delete(name);
  else values.set(name, value);
}
