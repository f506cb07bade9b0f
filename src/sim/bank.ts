/**
 * The bank workload (Jepsen): transfers between accounts that lie in many ranges, and reads of all
 * accounts in one transaction. Every read must see the same total, whatever fails meanwhile. Its second
 * check is on the single account: no balance may fall below zero, because transfers look first.
 */
import { indexPrefix, KeyWriter, writeIndexPrefix } from '../encoding/index.ts';
import { type Db, KvFailure } from '../kv/index.ts';
import { sleep } from '../util/index.ts';
import { type SeededRandom } from './random.ts';
import { type World } from './world.ts';

const bankIndex = { tableId: 60_000, indexId: 1 };

export interface BankOptions {
  readonly accounts: number;
  readonly initialBalance: number;
  readonly clients: number;
  /** Mean pause of a client between two transactions. */
  readonly pauseMs: number;
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
  #running = 0;
  #transferring = 0;
  #stopped = false;

  constructor(world: World, options: BankOptions, target: BankTarget) {
    this.#world = world;
    this.#options = options;
    this.#target = target;
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
    return Array.from({ length: this.#options.accounts }, (_, i) => accountKey(i));
  }

  async load(db: Db): Promise<void> {
    await db.run({ name: 'bank load' }, async (txn) => {
      for (let i = 0; i < this.#options.accounts; i++) {
        txn.put(accountKey(i), encodeBalance(this.#options.initialBalance));
      }
    });
  }

  start(): void {
    for (let i = 0; i < this.#options.clients; i++) {
      this.#running++;
      void this.#client(this.#world.random.fork()).finally(() => this.#running--);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One read of all accounts; throws KvFailure. */
  async readAll(db: Db): Promise<number[]> {
    return db.run({ name: 'bank read' }, async (txn) => {
      const balances: number[] = [];
      const start = indexPrefix(bankIndex);
      const end = indexPrefix({ ...bankIndex, indexId: bankIndex.indexId + 1 });
      let span: { start: Buffer; end: Buffer } | undefined = { start, end };
      while (span !== undefined) {
        const page = await txn.scan({ ...span, maxRows: 5 });
        for (const value of page.values) balances.push(decodeBalance(value));
        span = page.resume;
      }
      return balances;
    });
  }

  /** Notes a violation when `balances` cannot be. */
  check(balances: readonly number[], where: string): void {
    const total = balances.reduce((sum, balance) => sum + balance, 0);
    if (balances.length !== this.#options.accounts) {
      this.#violation(`${where}: ${balances.length} of ${this.#options.accounts} accounts`);
    }
    if (total !== this.total) this.#violation(`${where}: total ${total}, wanted ${this.total}`);
    if (balances.some((balance) => balance < 0)) {
      this.#violation(`${where}: a balance is negative: ${balances.join(' ')}`);
    }
  }

  #violation(text: string): void {
    this.violations.push(text);
    this.#world.story(`VIOLATION ${text}`);
  }

  async #client(random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      await sleep(this.#world, random.float() * 2 * this.#options.pauseMs);
      const connection = this.#target.connect(random);
      if (connection === undefined) continue;
      const broken = connection.gone.then(() => 'broken' as const);
      const outcome = await Promise.race([this.#operation(connection.db, random), broken]);
      if (outcome === 'broken') this.counts.ambiguous++;
    }
  }

  async #operation(db: Db, random: SeededRandom): Promise<void> {
    try {
      if (random.chance(0.6)) {
        this.#transferring++;
        try {
          await this.#transfer(db, random);
        } finally {
          this.#transferring--;
        }
        this.counts.transfersOk++;
      } else {
        this.check(await this.readAll(db), 'read');
        this.counts.readsOk++;
      }
      this.lastSuccessMs = this.#world.nowMs;
    } catch (error) {
      if (!(error instanceof KvFailure)) throw error;
      if (error.kvError.kind === 'ambiguous-result') this.counts.ambiguous++;
      else this.counts.failed++;
    }
  }

  async #transfer(db: Db, random: SeededRandom): Promise<void> {
    const from = random.between(0, this.#options.accounts - 1);
    const to = (from + random.between(1, this.#options.accounts - 1)) % this.#options.accounts;
    const amount = random.between(1, 5);
    const lock = random.chance(0.7) ? 'update' : 'none';
    await db.run({ name: 'bank transfer' }, async (txn) => {
      const [a, b] = await txn.getMany([accountKey(from), accountKey(to)], { lock });
      if (a === undefined || b === undefined) {
        this.#violation(`transfer: account ${a === undefined ? from : to} is gone`);
        return;
      }
      if (decodeBalance(a) < amount) return;
      txn.put(accountKey(from), encodeBalance(decodeBalance(a) - amount));
      txn.put(accountKey(to), encodeBalance(decodeBalance(b) + amount));
    });
  }
}

function accountKey(account: number): Buffer {
  return writeIndexPrefix(new KeyWriter(), bankIndex).uint(account).finish();
}

/** Padded, so that a few transactions make a range large enough to split. */
function encodeBalance(balance: number): Buffer {
  const value = Buffer.alloc(64);
  value.writeInt32BE(balance, 0);
  return value;
}

function decodeBalance(value: Buffer): number {
  return value.readInt32BE(0);
}
