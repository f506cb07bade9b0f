/** Remembers parsed query strings, least recently used out first, bounded in bytes of text. */
import { parseStatements } from './statements.ts';
import { type ParsedStatement } from './types.ts';

export interface ParseCacheOptions {
  /** Sum of the lengths of the texts kept. A tree takes about 20 times that. */
  readonly maxTextBytes?: number;
  /** Longer texts are parsed each time. */
  readonly maxEntryBytes?: number;
  readonly maxStatementBytes?: number;
}

export class ParseCache {
  readonly #entries = new Map<string, readonly ParsedStatement[]>();
  readonly #maxTextBytes: number;
  readonly #maxEntryBytes: number;
  readonly #maxStatementBytes: number | undefined;
  #bytes = 0;

  constructor(options: ParseCacheOptions = {}) {
    this.#maxTextBytes = options.maxTextBytes ?? 1024 * 1024;
    this.#maxEntryBytes = options.maxEntryBytes ?? 16 * 1024;
    this.#maxStatementBytes = options.maxStatementBytes;
  }

  parse(text: string): readonly ParsedStatement[] {
    const known = this.#entries.get(text);
    if (known !== undefined) {
      this.#entries.delete(text);
      this.#entries.set(text, known);
      return known;
    }
    const parsed = parseStatements(text, this.#maxStatementBytes);
    if (text.length > this.#maxEntryBytes) return parsed;
    this.#entries.set(text, parsed);
    this.#bytes += text.length;
    for (const [oldest] of this.#entries) {
      if (this.#bytes <= this.#maxTextBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= oldest.length;
    }
    return parsed;
  }

  get textBytes(): number {
    return this.#bytes;
  }
}
