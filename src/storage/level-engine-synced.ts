/**
 * What LevelDB's files held at the last barrier: the file `SYNCED` in its directory lists the size and
 * the checksum of each table, log and manifest. LevelDB cannot tell a log that lost its end after it was synced from one
 * that was torn, believes a damaged length in a log to be its end, and does not verify the keys it reads
 * (traps L3, L4). Here all that is compared before LevelDB sees the directory.
 *
 * Tables never change once the manifest has counted their numbers (see LevelManifest); logs and manifests only grow.
 * So a listed file either begins with the listed bytes or is gone, because LevelDB needed it no more (it refuses by
 * itself to open without one it needs).
 *
 * INVARIANT: all bytes that the file lists were synced before it was replaced, and the manifest that counts its tables.
 */
import { crc32 } from 'node:zlib';
import { CorruptionError } from './engine.ts';
import { type ForeignFiles } from './foreign-files.ts';
import { LevelManifest } from './level-manifest.ts';

interface Prefix {
  readonly bytes: number;
  readonly crc: number;
}

const listName = 'SYNCED';
const title = 'skein level files 1';
/** LevelDB's last bytes of a table. */
const tableMagic = Buffer.from('57fb808b247547db', 'hex');
const chunkBytes = 1024 * 1024;

export class SyncedFiles {
  readonly #files: ForeignFiles;
  readonly #directory: string;
  #prefixes = new Map<string, Prefix>();
  /** Content of the list on disk. */
  #written = '';
  #manifest: { readonly name: string; readonly content: LevelManifest } | undefined;
  /** Tables from this number on may still be written anew. */
  #nextFile = 0;

  private constructor(files: ForeignFiles, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /**
   * Compares the files with the list, if there is one: logs and manifests, then tables, the newest first, until
   * `tableBytesMax` are read. Throws CorruptionError.
   */
  static async check(
    files: ForeignFiles,
    directory: string,
    tableBytesMax: number,
  ): Promise<SyncedFiles> {
    const synced = new SyncedFiles(files, directory);
    const content = await readWhole(files, `${directory}/${listName}`);
    if (content === undefined) return synced;
    const listed = decode(content);
    if (listed === undefined) {
      throw new CorruptionError(`${directory}/${listName} is damaged`);
    }
    let tableBytes = 0;
    for (const [name, prefix] of [...listed].reverse()) {
      if (isTable(name)) {
        tableBytes += prefix.bytes;
        if (tableBytes > tableBytesMax) continue;
      }
      await synced.#compare(name, prefix);
    }
    synced.#prefixes = listed;
    synced.#written = encode(listed);
    return synced;
  }

  /** Reads how far the newest manifest of `names` has counted. All of `names` are then read, and the manifest synced. */
  async begin(names: readonly string[]): Promise<void> {
    const manifests = names.filter((candidate) => isManifest(candidate));
    const name = manifests.toSorted((a, b) => fileNumber(a) - fileNumber(b)).at(-1);
    if (name === undefined) return;
    if (this.#manifest?.name !== name) {
      const content = new LevelManifest(this.#files, `${this.#directory}/${name}`);
      this.#manifest = { name, content };
    }
    this.#nextFile = await this.#manifest.content.nextFile();
  }

  /** Reads what was added to a file, and says whether it must be synced now, before `write`. */
  async read(name: string): Promise<boolean> {
    const known = this.#prefixes.get(name);
    if (isTable(name) && (known !== undefined || fileNumber(name) >= this.#nextFile)) return false;
    const grown = await this.#hash(name, known ?? { bytes: 0, crc: 0 }, Infinity);
    if (grown === undefined) return false;
    // A table that is still being written has its turn at the next barrier.
    if (isTable(name) && !(await this.#isCompleteTable(name, grown.bytes))) return false;
    this.#prefixes.set(name, grown);
    return true;
  }

  /** Everything that was read is synced, and `names` are the files there are. */
  async write(names: ReadonlySet<string>): Promise<void> {
    for (const name of this.#prefixes.keys()) if (!names.has(name)) this.#prefixes.delete(name);
    const text = encode(this.#prefixes);
    if (text === this.#written) return;
    await this.#files.replaceFile(`${this.#directory}/${listName}`, Buffer.from(text));
    this.#written = text;
  }

  async #compare(name: string, prefix: Prefix): Promise<void> {
    const found = await this.#hash(name, { bytes: 0, crc: 0 }, prefix.bytes);
    if (found === undefined) return;
    const path = `${this.#directory}/${name}`;
    if (found.bytes < prefix.bytes) {
      throw new CorruptionError(
        `${path} has lost its end: ${found.bytes} bytes of ${prefix.bytes} are left`,
      );
    }
    if (found.crc !== prefix.crc) {
      throw new CorruptionError(`${path} does not hold what was written to it`);
    }
  }

  async #isCompleteTable(name: string, bytes: number): Promise<boolean> {
    if (bytes < tableMagic.length) return false;
    const path = `${this.#directory}/${name}`;
    const end = await this.#files.readRange(path, bytes - tableMagic.length, tableMagic.length);
    return end?.equals(tableMagic) === true;
  }

  /** Goes on from `from` to the end of the file or to `bytesMax`; undefined when it is gone. */
  async #hash(name: string, from: Prefix, bytesMax: number): Promise<Prefix | undefined> {
    let { bytes, crc } = from;
    while (bytes < bytesMax) {
      const length = Math.min(chunkBytes, bytesMax - bytes);
      const chunk = await this.#files.readRange(`${this.#directory}/${name}`, bytes, length);
      if (chunk === undefined) return undefined;
      crc = crc32(chunk, crc);
      bytes += chunk.length;
      if (chunk.length < length) break;
    }
    return { bytes, crc };
  }
}

export function isTable(name: string): boolean {
  return name.endsWith('.ldb') || name.endsWith('.sst');
}

export function isManifest(name: string): boolean {
  return name.startsWith('MANIFEST-');
}

/** Of `000005.ldb`, `000007.log`, `MANIFEST-000004`. */
function fileNumber(name: string): number {
  return Number(/\d+/.exec(name)?.[0]);
}

/** By name, so the order of numbers is that of age. */
function encode(prefixes: ReadonlyMap<string, Prefix>): string {
  const lines = [...prefixes]
    .map(([name, { bytes, crc }]) => `${name} ${bytes} ${crc}\n`)
    .sort()
    .join('');
  const text = `${title}\n${lines}`;
  return `${text}crc ${crc32(text)}\n`;
}

function decode(content: Buffer): Map<string, Prefix> | undefined {
  const text = content.toString('latin1');
  const out = new Map<string, Prefix>();
  for (const [, name = '', bytes, crc] of text.matchAll(/^(\S+) (\d+) (\d+)$/gm)) {
    out.set(name, { bytes: Number(bytes), crc: Number(crc) });
  }
  return encode(out) === text ? out : undefined;
}

async function readWhole(files: ForeignFiles, path: string): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  for (let position = 0; ;) {
    const chunk = await files.readRange(path, position, chunkBytes);
    if (chunk === undefined) return undefined;
    chunks.push(chunk);
    position += chunk.length;
    if (chunk.length < chunkBytes) return Buffer.concat(chunks);
  }
}
