/** The part of a disk that is needed to look at files which somebody else writes and removes. */
export interface ForeignFiles {
  /** Up to `length` bytes from `position`, fewer only at the end; undefined when there is no such file. */
  readRange(path: string, position: number, length: number): Promise<Buffer | undefined>;
  /** Atomic, and durable when it resolves. */
  replaceFile(path: string, content: Buffer): Promise<void>;
}
