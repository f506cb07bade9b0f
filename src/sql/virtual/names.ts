/** Names as users write them in strings: `schema."Table"`. */
import { type QualifiedName } from '../catalog/index.ts';
import { sqlError } from '../errors.ts';

/** Unquoted parts fold to lower case. Throws 42602. */
export function parseName(text: string): QualifiedName {
  const parts: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) break;
    parts.push(match[1]?.replaceAll('""', '"') ?? (match[2] ?? '').toLowerCase());
    if (match[3] === '') break;
  }
  if (parts.length === 0 || parts.length > 3) {
    throw sqlError('invalidName', `invalid name syntax: "${text}"`);
  }
  return { catalog: parts.at(-3), schema: parts.at(-2), name: parts.at(-1) ?? '' };
}
