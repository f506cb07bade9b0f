/** A transaction whose `commit` first does what the session owes its catalog. */
import {
  type CommitOptions,
  type InsertOptions,
  type IsolationLevel,
  type ReadOptions,
  type Savepoint,
  type ScanOptions,
  type ScanPage,
  type Timestamp,
  type Txn,
  type TxnMeta,
} from '../../kv/index.ts';

export class GuardedTxn implements Txn {
  readonly #txn: Txn;
  readonly #beforeCommit: () => Promise<CommitOptions>;

  constructor(txn: Txn, beforeCommit: () => Promise<CommitOptions>) {
    this.#txn = txn;
    this.#beforeCommit = beforeCommit;
  }

  get meta(): TxnMeta {
    return this.#txn.meta;
  }

  get status(): Txn['status'] {
    return this.#txn.status;
  }

  get assumes(): boolean {
    return this.#txn.assumes;
  }

  get past(): Txn['past'] {
    return this.#txn.past;
  }

  get(key: Buffer, options?: ReadOptions): Promise<Buffer | undefined> {
    return this.#txn.get(key, options);
  }

  getMany(keys: readonly Buffer[], options?: ReadOptions): Promise<(Buffer | undefined)[]> {
    return this.#txn.getMany(keys, options);
  }

  scan(options: ScanOptions): Promise<ScanPage> {
    return this.#txn.scan(options);
  }

  readCurrent(key: Buffer): Promise<Buffer | undefined> {
    return this.#txn.readCurrent(key);
  }

  put(key: Buffer, value: Buffer): void {
    this.#txn.put(key, value);
  }

  delete(key: Buffer): void {
    this.#txn.delete(key);
  }

  insert(key: Buffer, value: Buffer, options?: InsertOptions): void {
    this.#txn.insert(key, value, options);
  }

  checkInserts(): Promise<void> {
    return this.#txn.checkInserts();
  }

  flush(): Promise<void> {
    return this.#txn.flush();
  }

  flushIfLarge(): Promise<void> {
    return this.#txn.flushIfLarge();
  }

  hold(key: Buffer): Promise<void> {
    return this.#txn.hold(key);
  }

  holds(key: Buffer): boolean {
    return this.#txn.holds(key);
  }

  savepoint(): Savepoint {
    return this.#txn.savepoint();
  }

  rollbackTo(savepoint: Savepoint): void {
    this.#txn.rollbackTo(savepoint);
  }

  released(): Promise<void> {
    return this.#txn.released();
  }

  beginStatement(options?: Parameters<Txn['beginStatement']>[0]): void {
    this.#txn.beginStatement(options);
  }

  setIsolation(isolation: IsolationLevel): void {
    this.#txn.setIsolation(isolation);
  }

  becomeSerializable(): void {
    this.#txn.becomeSerializable();
  }

  refreshTo(to: Timestamp): Promise<void> {
    return this.#txn.refreshTo(to);
  }

  async commit(options?: Parameters<Txn['commit']>[0]): Promise<Timestamp> {
    return this.#txn.commit({ ...options, ...(await this.#beforeCommit()) });
  }

  prepare(options: Parameters<Txn['prepare']>[0]): Promise<void> {
    return this.#txn.prepare(options);
  }

  rollback(): Promise<void> {
    return this.#txn.rollback();
  }

  cancel(): void {
    this.#txn.cancel();
  }

  cancelStatement(): void {
    this.#txn.cancelStatement();
  }

  fixedTimestamp(): Timestamp {
    return this.#txn.fixedTimestamp();
  }
}
