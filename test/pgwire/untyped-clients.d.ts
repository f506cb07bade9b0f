/** The parts of untyped client packages that the tests use. */
declare module 'pg-copy-streams' {
  import { type Submittable } from 'pg';
  import { type Readable, type Writable } from 'node:stream';
  export function from(sql: string): Submittable & Writable;
  export function to(sql: string): Submittable & Readable;
}
declare module 'pg-cursor' {
  import { type Submittable } from 'pg';
  export default class Cursor implements Submittable {
    constructor(text: string, values?: readonly unknown[]);
    submit(connection: unknown): void;
    read(count: number): Promise<unknown[]>;
    close(): Promise<void>;
  }
}
