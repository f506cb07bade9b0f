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
import { indexPrefix, KeyWriter, writeIndexPrefix } from '../../encoding/index.ts';
import { type Db, KvFailure, type Txn } from '../../kv/index.ts';
import { must, sleep } from '../../util/index.ts';
import { type SeededRandom } from '../random.ts';
import { type Operation, type Workload, type WorkloadContext } from '../workload.ts';

const bankIndex = { tableId: 60_000, indexId: 1 };
const receiptIndex = { tableId: 60_000, indexId: 2 };
const ledgerIndex = { tableId: 60_000, indexId: 3 };

const initialBalance = 20;

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

export class Bank implements Workload {
  readonly #context: WorkloadContext;
  readonly #accounts: number;
  readonly #clients: readonly ClientState[];

  constructor(context: WorkloadContext, options: { readonly accounts: number }) {
    this.#context = context;
    this.#accounts = options.accounts;
    this.#clients = Array.from({ length: context.clients }, () => ({
      tried: 0,
      acknowledged: 0,
      noted: new Map(),
    }));
  }

  splitKeys(): Buffer[] {
    const accounts = Array.from({ length: this.#accounts }, (_, i) => accountKey(i));
    return [...accounts, receiptKey(0), receiptKey(this.#clients.length >> 1)];
  }

  async load(db: Db): Promise<void> {
    await db.run({ name: 'bank load' }, async (txn) => {
      for (let i = 0; i < this.#accounts; i++) {
        txn.put(accountKey(i), encodeNumber(initialBalance));
      }
      for (let i = 0; i < this.#clients.length; i++) txn.put(receiptKey(i), encodeNumber(0));
    });
  }

  next(client: number, random: SeededRandom): Operation {
    if (random.chance(0.6)) {
      return { kind: 'write', run: (db) => this.#transfer(db, client, random) };
    }
    // A slow reader: what it has read must stay as it was while leases move and clocks differ.
    const pauseMs = random.chance(0.5) ? random.between(5, 300) : 0;
    const pause = (): Promise<void> => sleep(this.#context.world, pauseMs * random.float());
    const run = async (db: Db): Promise<void> =>
      this.#check(await this.#readAll(db, pauseMs > 0 ? pause : undefined), 'read');
    return { kind: 'read', run };
  }

  async checkNode(db: Db, where: string): Promise<void> {
    this.#check(await this.#readAll(db), where);
    await this.#checkLedger(db, where);
  }

  /** One read of everything, page by page, with `pause` between pages; throws KvFailure. */
  async #readAll(db: Db, pause?: () => Promise<void>): Promise<Statement> {
    const acknowledged = this.#clients.map((client) => client.acknowledged);
    return db.run({ name: 'bank read' }, async (txn) => ({
      balances: await readIndex(txn, bankIndex, { decode: decodeNumber, pageRows: 5, pause }),
      receipts: await readIndex(txn, receiptIndex, { decode: decodeNumber, pageRows: 5, pause }),
      acknowledged,
    }));
  }

  async #checkLedger(db: Db, where: string): Promise<void> {
    const lines = await db.run({ name: 'bank ledger' }, (txn) =>
      readIndex(txn, ledgerIndex, { decode: decodeLine, pageRows: 100 }),
    );
    const found = new Set<string>();
    for (const { client, transfer } of lines) {
      const name = `transfer ${transfer} of client ${client}`;
      if (found.has(name)) this.#context.violation(`${where}: ${name} happened twice`);
      found.add(name);
      if (this.#clients[client]?.noted.get(transfer) === 'failed') {
        this.#context.violation(`${where}: ${name} failed and happened nevertheless`);
      }
    }
    for (const [client, { noted }] of this.#clients.entries()) {
      for (const [transfer, end] of noted) {
        const name = `transfer ${transfer} of client ${client}`;
        if (end === 'failed' || found.has(name)) continue;
        this.#context.violation(`${where}: ${name} was acknowledged and is lost`);
      }
    }
  }

  /** Notes a violation when the statement cannot be. */
  #check({ balances, receipts, acknowledged }: Statement, where: string): void {
    const total = balances.reduce((sum, balance) => sum + balance, 0);
    if (balances.length !== this.#accounts) {
      this.#context.violation(`${where}: ${balances.length} of ${this.#accounts} accounts`);
    }
    const wanted = this.#accounts * initialBalance;
    if (total !== wanted) this.#context.violation(`${where}: total ${total}, wanted ${wanted}`);
    if (balances.some((balance) => balance < 0)) {
      this.#context.violation(`${where}: a balance is negative: ${balances.join(' ')}`);
    }
    for (const [i, { tried }] of this.#clients.entries()) {
      const receipt = receipts[i] ?? -1;
      const known = acknowledged[i] ?? 0;
      if (receipt >= known && receipt <= tried) continue;
      this.#context.violation(
        `${where}: client ${i} has receipt ${receipt}, transfer ${known} of ${tried} was acknowledged`,
      );
    }
  }

  async #transfer(db: Db, client: number, random: SeededRandom): Promise<void> {
    const from = random.between(0, this.#accounts - 1);
    const to = (from + random.between(1, this.#accounts - 1)) % this.#accounts;
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
        this.#context.violation(`transfer: account ${a === undefined ? from : to} is gone`);
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
