/** Positions in SQL text: UTF-16 units here, UTF-8 bytes in parse trees, characters (code points) for clients. */

export function countCharacters(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code < 0xdc00) count--;
  }
  return count;
}

/** Turns a node location (UTF-8 byte offset) into a character position from 1. */
export function characterPosition(text: string, byteOffset: number): number {
  let bytes = 0;
  let characters = 0;
  for (let i = 0; i < text.length && bytes < byteOffset; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xdc00 && code < 0xe000) continue;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code >= 0xd800 && code < 0xdc00 ? 4 : 3;
    characters++;
  }
  return characters + 1;
}
