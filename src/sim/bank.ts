/**
 * The bank workload (Jepsen): transfers between accounts that lie in many ranges, and reads of everything in
 * one transaction. What every read must see, whatever fails meanwhile:
 *
 *   - the same total, and no balance below zero, because transfers look first (serializability);
 *   - of every client, the receipt of its last transfer that was acknowledged before the read began, or of
 *     a later one that it has asked for (durability, and no reads in the past);
 *   - in the ledger, to which half of the transfers add a line: each acknowledged one, none that failed for
 *     certain, and none twice. It is read in the end.
 */
import { indexPrefix, KeyWriter, writeIndexPrefix } from '../encoding/index.ts';
import { type Db, KvFailure, type Txn } from '../kv/index.ts';
import { must, sleep } from '../util/index.ts';
import { type SeededRandom } from './random.ts';
import { type World } from './world.ts';

const bankIndex = { tableId: 60_000, indexId: 1 };
const receiptIndex = { tableId: 60_000, indexId: 2 };
const ledgerIndex = { tableId: 60_000, indexId: 3 };

export interface BankOptions {
  readonly accounts: number;
  readonly initialBalance: number;
  readonly clients: number;
  /** Mean pause of a client between two transactions. */
  readonly pauseMs: number;
}

/** What one transaction saw. */
export interface Statement {
  readonly balances: readonly number[];
  /** Per client, the number of its last transfer. */
  readonly receipts: readonly number[];
  /** Per client, what was acknowledged when the read began. */
  readonly acknowledged: readonly number[];
}

/** A line of the ledger. One attempt of a transfer can write it, the next one has a line of its own. */
interface LedgerLine {
  readonly client: number;
  readonly transfer: number;
  readonly attempt: number;
}

interface ClientState {
  /** Number of the last transfer that was tried, and of the last that was acknowledged. */
  tried: number;
  acknowledged: number;
  /** Transfers with a line in the ledger that have come to an end that is certain. */
  readonly noted: Map<number, 'done' | 'failed'>;
}

export interface BankCounts {
  transfersOk: number;
  readsOk: number;
  ambiguous: number;
  failed: number;
}

/** A node a client is connected to. `gone` settles when its process dies: answers never come then. */
export interface Connection {
  readonly db: Db;
  readonly gone: Promise<void>;
}

export interface BankTarget {
  /** Some node that is up; undefined when none is. */
  connect(random: SeededRandom): Connection | undefined;
}

export class Bank {
  readonly counts: BankCounts = { transfersOk: 0, readsOk: 0, ambiguous: 0, failed: 0 };
  /** What was seen that may not be; empty at the end of a good run. */
  readonly violations: string[] = [];
  /** When something last succeeded, for availability checks. */
  lastSuccessMs = 0;
  readonly #world: World;
  readonly #options: BankOptions;
  readonly #target: BankTarget;
  readonly #clients: readonly ClientState[];
  #running = 0;
  #transferring = 0;
  #stopped = false;

  constructor(world: World, options: BankOptions, target: BankTarget) {
    this.#world = world;
    this.#options = options;
    this.#target = target;
    this.#clients = Array.from({ length: options.clients }, () => ({
      tried: 0,
      acknowledged: 0,
      noted: new Map(),
    }));
  }

  get total(): number {
    return this.#options.accounts * this.#options.initialBalance;
  }

  get running(): number {
    return this.#running;
  }

  /** Transfers under way. */
  get transferring(): number {
    return this.#transferring;
  }

  /** Keys between accounts, where ranges may be split. */
  splitKeys(): Buffer[] {
    const accounts = Array.from({ length: this.#options.accounts }, (_, i) => accountKey(i));
    return [...accounts, receiptKey(0), receiptKey(this.#clients.length >> 1)];
  }

  async load(db: Db): Promise<void> {
    await db.run({ name: 'bank load' }, async (txn) => {
      for (let i = 0; i < this.#options.accounts; i++) {
        txn.put(accountKey(i), encodeNumber(this.#options.initialBalance));
      }
      for (let i = 0; i < this.#clients.length; i++) txn.put(receiptKey(i), encodeNumber(0));
    });
  }

  start(): void {
    for (let i = 0; i < this.#clients.length; i++) {
      this.#running++;
      void this.#client(i, this.#world.random.fork()).finally(() => this.#running--);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One read of everything, page by page, with `pause` between pages; throws KvFailure. */
  async readAll(db: Db, pause?: () => Promise<void>): Promise<Statement> {
    const acknowledged = this.#clients.map((client) => client.acknowledged);
    return db.run({ name: 'bank read' }, async (txn) => ({
      balances: await readIndex(txn, bankIndex, { decode: decodeNumber, pageRows: 5, pause }),
      receipts: await readIndex(txn, receiptIndex, { decode: decodeNumber, pageRows: 5, pause }),
      acknowledged,
    }));
  }

  /** To be called when no client runs any more; throws KvFailure. */
  async checkLedger(db: Db, where: string): Promise<void> {
    const lines = await db.run({ name: 'bank ledger' }, (txn) =>
      readIndex(txn, ledgerIndex, { decode: decodeLine, pageRows: 100 }),
    );
    const found = new Set<string>();
    for (const { client, transfer } of lines) {
      const name = `transfer ${transfer} of client ${client}`;
      if (found.has(name)) this.#violation(`${where}: ${name} happened twice`);
      found.add(name);
      if (this.#clients[client]?.noted.get(transfer) === 'failed') {
        this.#violation(`${where}: ${name} failed and happened nevertheless`);
      }
    }
    for (const [client, { noted }] of this.#clients.entries()) {
      for (const [transfer, end] of noted) {
        const name = `transfer ${transfer} of client ${client}`;
        if (end === 'failed' || found.has(name)) continue;
        this.#violation(`${where}: ${name} was acknowledged and is lost`);
      }
    }
  }

  /** Notes a violation when the statement cannot be. */
  check({ balances, receipts, acknowledged }: Statement, where: string): void {
    const total = balances.reduce((sum, balance) => sum + balance, 0);
    if (balances.length !== this.#options.accounts) {
      this.#violation(`${where}: ${balances.length} of ${this.#options.accounts} accounts`);
    }
    if (total !== this.total) this.#violation(`${where}: total ${total}, wanted ${this.total}`);
    if (balances.some((balance) => balance < 0)) {
      this.#violation(`${where}: a balance is negative: ${balances.join(' ')}`);
    }
    for (const [i, { tried }] of this.#clients.entries()) {
      const receipt = receipts[i] ?? -1;
      const known = acknowledged[i] ?? 0;
      if (receipt >= known && receipt <= tried) continue;
      this.#violation(
        `${where}: client ${i} has receipt ${receipt}, transfer ${known} of ${tried} was acknowledged`,
      );
    }
  }

  #violation(text: string): void {
    this.violations.push(text);
    this.#world.story(`VIOLATION ${text}`);
  }

  async #client(client: number, random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      await sleep(this.#world, random.float() * 2 * this.#options.pauseMs);
      const connection = this.#target.connect(random);
      if (connection === undefined) continue;
      const broken = connection.gone.then(() => 'broken' as const);
      const outcome = await Promise.race([this.#operation(connection.db, client, random), broken]);
      if (outcome === 'broken') this.counts.ambiguous++;
    }
  }

  async #operation(db: Db, client: number, random: SeededRandom): Promise<void> {
    try {
      if (random.chance(0.6)) {
        this.#transferring++;
        try {
          await this.#transfer(db, client, random);
        } finally {
          this.#transferring--;
        }
        this.counts.transfersOk++;
      } else {
        // A slow reader: what it has read must stay as it was while leases move and clocks differ.
        const pauseMs = random.chance(0.5) ? random.between(5, 300) : 0;
        const pause = (): Promise<void> => sleep(this.#world, pauseMs * random.float());
        this.check(await this.readAll(db, pauseMs > 0 ? pause : undefined), 'read');
        this.counts.readsOk++;
      }
      this.lastSuccessMs = this.#world.nowMs;
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      if (error.kvError.kind === 'ambiguous-result') this.counts.ambiguous++;
      else this.counts.failed++;
    }
  }

  async #transfer(db: Db, client: number, random: SeededRandom): Promise<void> {
    const from = random.between(0, this.#options.accounts - 1);
    const to = (from + random.between(1, this.#options.accounts - 1)) % this.#options.accounts;
    const amount = random.between(1, 5);
    const lock = random.chance(0.6) ? 'update' : 'none';
    const optimistic = random.chance(0.3);
    const state = must(this.#clients[client]);
    const number = ++state.tried;
    const inLedger = random.chance(0.5);
    let assume = optimistic;
    let attempt = 0;
    const outcome = db.run({ name: 'bank transfer', optimistic }, async (txn) => {
      const keys = [accountKey(from), accountKey(to)] as const;
      const [a, b] = assume
        ? await Promise.all(keys.map((key) => txn.get(key, { lock, mayAssume: true })))
        : await txn.getMany(keys, { lock });
      if (a === undefined || b === undefined) {
        this.#violation(`transfer: account ${a === undefined ? from : to} is gone`);
        return;
      }
      // Also where nothing is moved: what is read together with it is ordered by it.
      txn.put(receiptKey(client), encodeNumber(number));
      if (inLedger) {
        const line = { client, transfer: number, attempt: ++attempt };
        txn.put(ledgerKey(line), encodeLine(line));
      }
      if (txn.assumes) {
        // Only a write checks what was assumed, and a restart is not to assume the same again.
        assume = false;
        if (decodeNumber(a) < amount) txn.put(accountKey(from), a);
        if (decodeNumber(a) < amount) txn.put(accountKey(to), b);
      }
      if (decodeNumber(a) < amount) return;
      txn.put(accountKey(from), encodeNumber(decodeNumber(a) - amount));
      txn.put(accountKey(to), encodeNumber(decodeNumber(b) + amount));
    });
    try {
      await outcome;
    } catch (error) {
      const certain = error instanceof KvFailure && error.kvError.kind !== 'ambiguous-result';
      if (inLedger && certain) state.noted.set(number, 'failed');
      throw error;
    }
    state.acknowledged = number;
    if (inLedger) state.noted.set(number, 'done');
  }
}

function accountKey(account: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), bankIndex).uint(account).finish();
}

function receiptKey(client: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), receiptIndex).uint(client).finish();
}

function ledgerKey({ client, transfer, attempt }: LedgerLine): Buffer {
  const writer = writeIndexPrefix(new KeyWriter(), ledgerIndex);
  return writer.uint(client).uint(transfer).uint(attempt).finish();
}

async function readIndex<T>(
  txn: Txn,
  index: { readonly tableId: number; readonly indexId: number },
  how: {
    readonly decode: (value: Buffer) => T;
    readonly pageRows: number;
    readonly pause?: (() => Promise<void>) | undefined;
  },
): Promise<T[]> {
  const rows: T[] = [];
  const start = indexPrefix(index);
  const end = indexPrefix({ ...index, indexId: index.indexId + 1 });
  let span: { start: Buffer; end: Buffer } | undefined = { start, end };
  while (span !== undefined) {
    const page = await txn.scan({ ...span, maxRows: how.pageRows });
    for (const value of page.values) rows.push(how.decode(value));
    span = page.resume;
    if (span !== undefined) await how.pause?.();
  }
  return rows;
}

function encodeLine({ client, transfer, attempt }: LedgerLine): Buffer {
  const value = Buffer.alloc(12);
  value.writeInt32BE(client, 0);
  value.writeInt32BE(transfer, 4);
  value.writeInt32BE(attempt, 8);
  return value;
}

function decodeLine(value: Buffer): LedgerLine {
  return {
    client: value.readInt32BE(0),
    transfer: value.readInt32BE(4),
    attempt: value.readInt32BE(8),
  };
}

/** Padded, so that a few transactions make a range large enough to split. */
function encodeNumber(number: number): Buffer {
  const value = Buffer.alloc(64);
  value.writeInt32BE(number, 0);
  return value;
}

function decodeNumber(value: Buffer): number {
  return value.readInt32BE(0);
}
