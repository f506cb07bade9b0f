/**
 * What a node is told at its start. A setting may come from a flag, from the environment (SKEIN_ and the
 * flag's name: --sql-addr is SKEIN_SQL_ADDR) or from a YAML or JSON file (--config, the flag's
 * name as key); the first of these that names it wins.
 */
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';

/** A mistake of the one who typed the command: one sentence, exit status 1. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface StoreOption {
  readonly path: string;
  readonly attrs: readonly string[];
  /** 0 = the whole disk. */
  readonly sizeBytes: number;
}

export type Locality = readonly (readonly [string, string])[];

/** `path=DIR[,attrs=ssd:fast][,size=20GB]`; a bare path is taken as it is. */
export function parseStoreSpec(text: string): StoreOption {
  if (!text.includes('=')) return { path: text, attrs: [], sizeBytes: 0 };
  const fields = parsePairs(text, '--store');
  const known = new Set(['path', 'attrs', 'size']);
  for (const [name] of fields) {
    if (!known.has(name)) throw new UsageError(`--store does not know the field "${name}".`);
  }
  const values = new Map(fields);
  const path = values.get('path');
  if (path === undefined || path === '') throw new UsageError('--store needs path=DIR.');
  return {
    path,
    attrs: (values.get('attrs') ?? '').split(':').filter((attr) => attr !== ''),
    sizeBytes: values.has('size') ? parseBytes(values.get('size') ?? '') : 0,
  };
}

/** `region=eu,zone=a`: ordered tiers, most general first. */
export function parseLocality(text: string): Locality {
  if (text === '') return [];
  const tiers = parsePairs(text, '--locality');
  const names = new Set(tiers.map(([name]) => name));
  if (names.size !== tiers.length) throw new UsageError('--locality names a tier twice.');
  return tiers;
}

/** `20GB`, `512MiB`, `1000000`: decimal units count in thousands, binary ones in 1,024. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text.trim());
  if (match === null) throw new UsageError(`"${text}" is not a size; write 20GB or 512MiB.`);
  const [, digits = '', unit = '', binary = ''] = match;
  const power = ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase());
  return Math.floor(Number(digits) * (binary === '' ? 1000 : 1024) ** power);
}

/** `host:port`, `:port` or `host`; the missing part comes from `defaults`. */
export function parseAddress(
  text: string,
  defaults: { host: string; port: number },
): { host: string; port: number } {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(text.trim());
  const port = match?.[2] === undefined ? defaults.port : Number(match[2]);
  if (match === null || port > 65535)
    throw new UsageError(`"${text}" is not an address; write HOST:PORT.`);
  const host = match[1] === '' || match[1] === undefined ? defaults.host : match[1];
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

export function formatAddress(address: { host: string; port: number }): string {
  return address.host.includes(':')
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}

/** Reads a flag's value from the environment or the config file when the command line lacks it. */
export class Settings {
  readonly #flags: Readonly<Record<string, unknown>>;
  readonly #file: Readonly<Record<string, unknown>>;

  constructor(flags: Readonly<Record<string, unknown>>) {
    this.#flags = flags;
    const path = flags['config'] ?? process.env['SKEIN_CONFIG'];
    this.#file = typeof path === 'string' ? readConfigFile(path) : {};
  }

  /** `name` is the long flag without its dashes. */
  text(name: string): string | undefined {
    const value = this.#lookup(name);
    if (value === undefined) return undefined;
    if (typeof value === 'string' || typeof value === 'number') return String(value);
    if (Array.isArray(value)) return value.map(String).join(',');
    throw new UsageError(`the setting "${name}" has a value of the wrong kind.`);
  }

  /** Given once or several times. */
  list(name: string): string[] | undefined {
    const value = this.#lookup(name);
    if (value === undefined) return undefined;
    return (Array.isArray(value) ? value : [value]).map(String);
  }

  /** Turned off: by --no-NAME, SKEIN_NO_NAME, or false in the file. */
  isOff(name: string): boolean {
    return this.#lookup(name) === false || process.env[variableOf(`no-${name}`)] === 'true';
  }

  flag(name: string): boolean {
    const value = this.#lookup(name);
    return value === true || value === 'true' || value === '1';
  }

  integer(name: string, range: { min: number; max: number }): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < range.min || value > range.max) {
      throw new UsageError(`--${name} takes a whole number from ${range.min} to ${range.max}.`);
    }
    return value;
  }

  #lookup(name: string): unknown {
    const camel = name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
    return this.#flags[camel] ?? process.env[variableOf(name)] ?? this.#file[name];
  }
}

function variableOf(name: string): string {
  return `SKEIN_${name.replaceAll('-', '_').toUpperCase()}`;
}

function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new UsageError(`the config file ${path} cannot be read.`);
  }
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw new UsageError(
      `the config file ${path} is not YAML: ${error instanceof Error ? error.message : ''}`,
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new UsageError(`the config file ${path} must hold names and values.`);
  }
  return parsed as Record<string, unknown>;
}

function parsePairs(text: string, flag: string): [string, string][] {
  return text.split(',').map((part) => {
    const at = part.indexOf('=');
    if (at <= 0) throw new UsageError(`${flag} takes name=value pairs; "${part}" is not one.`);
    return [part.slice(0, at).trim(), part.slice(at + 1).trim()];
  });
}
