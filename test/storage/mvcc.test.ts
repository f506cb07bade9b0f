/**
 * MVCC told as stories: see testdata/mvcc. Timestamps are `wall` or `wall,logical`.
 *
 *   txn A ts=10 [write=12] [limit=20] [epoch=1] [seq=3] [ignore=2-3,5-5]   defines or changes a transaction
 *   put k v ts=5 | put k v txn=A seq=1          del k ...
 *   get k ts=5 | get k txn=A [newer] [inconsistent]
 *   scan a z ts=5 | txn=A [reverse] [max=2] [newer] [inconsistent]
 *   resolve k txn=A status=committed ts=12 [epoch=0]
 *   ended txn=A status=committed ts=12 [epoch=0]     from here on readers know it
 *   batch      (the lines of the input, as one command)
 *   dump | stats | gc ts=5 [max=100]
 */
import { join } from 'node:path';
import { expect } from 'vitest';
import {
  asTxnId,
  type FinishedTxn,
  type SequenceSpan,
  type Timestamp,
  type TxnMeta,
  type TxnStatus,
} from '../../src/kv/index.ts';
import {
  MemoryEngine,
  addStats,
  computeStats,
  createMvccBatch,
  decodeHead,
  decodeVersion,
  decodeVersionKey,
  dropGarbage,
  mvccGarbage,
  mvccGet,
  mvccScan,
  zeroStats,
  type EngineReader,
  type Intent,
  type MvccBatch,
  type MvccReadOptions,
  type MvccStats,
} from '../../src/storage/index.ts';
import { runScripts, type ScriptCase } from '../script.ts';

runScripts(join(import.meta.dirname, 'testdata/mvcc'), () => {
  const world = new World();
  return (step) => world.run(step);
});

interface Command {
  readonly name: string;
  readonly args: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

class World {
  readonly #engine = new MemoryEngine();
  readonly #txns = new Map<string, TxnMeta>();
  readonly #ended: FinishedTxn[] = [];
  #stats: MvccStats = zeroStats;

  async run(step: ScriptCase): Promise<string> {
    const command = { name: step.command, args: step.args, options: step.options };
    if (step.command === 'batch') {
      const batch = createMvccBatch(this.#engine);
      const out: string[] = [];
      for (const line of step.input.split('\n')) {
        out.push(await this.#one(parse(line), batch, batch));
      }
      await this.#apply(batch);
      return out.join('\n');
    }
    const batch = createMvccBatch(this.#engine);
    const result = await this.#one(command, this.#engine, batch);
    await this.#apply(batch);
    return result;
  }

  async #apply(batch: MvccBatch): Promise<void> {
    this.#engine.apply(batch.writes);
    this.#stats = addStats(this.#stats, batch.stats);
    const counted = await computeStats(this.#engine, Buffer.alloc(0), Buffer.from([0xff]));
    expect(this.#stats).toEqual(counted);
    expect(this.#engine.openReaders).toBe(0);
  }

  async #one(command: Command, reader: EngineReader, batch: MvccBatch): Promise<string> {
    const { name, args, options } = command;
    const key = Buffer.from(args[0] ?? '');
    switch (name) {
      case 'txn':
        return this.#defineTxn(args[0] ?? '', options);
      case 'put':
      case 'del': {
        const txn = this.#txn(options);
        const value = name === 'put' ? Buffer.from(args[1] ?? '') : undefined;
        const sequence = Number(options.get('seq') ?? txn?.sequence ?? 0);
        const timestamp = txn?.writeTimestamp ?? parseTimestamp(options.get('ts') ?? '');
        const result = batch.put(key, value, { timestamp, txn, sequence });
        if (result.kind === 'intent') return `intent ${this.#intent(result.intent)}`;
        return result.kind === 'newer' ? `newer ${show(result.existing)}` : 'ok';
      }
      case 'get': {
        const got = await mvccGet(reader, key, this.#readOptions(command));
        if (got.kind === 'intent') return `intent ${this.#intent(got.intent)}`;
        if (got.kind !== 'value') return `${got.kind} ${show(got.existing)}`;
        const beside =
          got.skippedIntent === undefined ? '' : ` (skipped ${this.#intent(got.skippedIntent)})`;
        const at = got.timestamp === undefined ? '' : ` @${show(got.timestamp)}`;
        return `${text(got.value)}${at}${beside}`;
      }
      case 'scan':
        return this.#scan(command, reader);
      case 'resolve':
        return batch.resolve(key, this.#finished(options)) ? 'found' : 'nothing';
      case 'ended': {
        this.#ended.push(this.#finished(options));
        return 'known';
      }
      case 'dump':
        return this.#dump();
      case 'stats': {
        const s = this.#stats;
        return `live ${s.liveCount} (${s.liveBytes} bytes) versions ${s.versionCount} intents ${s.intentCount} total ${s.sizeBytes} bytes`;
      }
      case 'gc':
        return this.#gc(options);
      default:
        throw new Error(`no command ${name}`);
    }
  }

  #defineTxn(name: string, options: ReadonlyMap<string, string>): string {
    const old = this.#txns.get(name);
    const ts = options.get('ts');
    const read =
      ts === undefined ? (old?.readTimestamp ?? parseTimestamp('0')) : parseTimestamp(ts);
    const write = options.get('write');
    const limit = options.get('limit');
    const ignore = options.get('ignore');
    const meta: TxnMeta = {
      id: asTxnId(Buffer.from(name.padEnd(16, '.')).toString('hex')),
      anchor: Buffer.from('anchor'),
      epoch: Number(options.get('epoch') ?? old?.epoch ?? 0),
      isolation: 'serializable',
      priority: 1,
      readTimestamp: read,
      writeTimestamp:
        write === undefined
          ? ts === undefined
            ? (old?.writeTimestamp ?? read)
            : read
          : parseTimestamp(write),
      minTimestamp: old?.minTimestamp ?? read,
      uncertaintyLimit:
        limit === undefined ? (old?.uncertaintyLimit ?? read) : parseTimestamp(limit),
      sequence: Number(options.get('seq') ?? old?.sequence ?? 0),
      ignoredSequences:
        ignore === undefined ? (old?.ignoredSequences ?? []) : ignore.split(',').map(parseSpan),
    };
    this.#txns.set(name, meta);
    return '';
  }

  #txn(options: ReadonlyMap<string, string>): TxnMeta | undefined {
    const name = options.get('txn');
    if (name === undefined) return undefined;
    const txn = this.#txns.get(name);
    if (txn === undefined) throw new Error(`no transaction ${name}`);
    return txn;
  }

  #finished(options: ReadonlyMap<string, string>): FinishedTxn {
    const txn = this.#txn(options);
    if (txn === undefined) throw new Error('resolve takes a transaction');
    return {
      id: txn.id,
      epoch: Number(options.get('epoch') ?? txn.epoch),
      status: (options.get('status') ?? 'committed') as TxnStatus,
      timestamp: parseTimestamp(options.get('ts') ?? show(txn.writeTimestamp)),
      ignoredSequences: txn.ignoredSequences,
    };
  }

  #readOptions(command: Command): MvccReadOptions {
    const txn = this.#txn(command.options);
    const ts = command.options.get('ts');
    return {
      timestamp:
        ts === undefined ? (txn?.readTimestamp ?? parseTimestamp('0')) : parseTimestamp(ts),
      txn,
      failOnNewer: command.args.includes('newer'),
      ignoreIntents: command.args.includes('inconsistent'),
      finished: (txnId) => this.#ended.find(({ id }) => id === txnId),
    };
  }

  async #scan(command: Command, reader: EngineReader): Promise<string> {
    const { args, options } = command;
    const max = Number(options.get('max') ?? Infinity);
    const out: string[] = [];
    const end = await mvccScan(
      reader,
      {
        ...this.#readOptions(command),
        start: Buffer.from(args[0] ?? ''),
        end: Buffer.from(args[1] ?? ''),
        reverse: args.includes('reverse'),
      },
      (key, value) => out.push(`${key.toString()}=${value.toString()}`) >= max,
    );
    switch (end.kind) {
      case 'intents':
        return `intents ${end.intents.map((x) => `${x.key.toString()}: ${this.#intent(x.intent)}`).join('; ')}`;
      case 'uncertain':
      case 'newer':
        return `${end.kind} ${end.key.toString()} ${show(end.existing)}`;
      case 'done': {
        const lines = [out.join(' ')];
        for (const skipped of end.skippedIntents ?? []) {
          lines.push(`skipped ${skipped.key.toString()}: ${this.#intent(skipped.intent)}`);
        }
        if (end.resume !== undefined) {
          const { start, end: stop } = end.resume;
          lines.push(
            `resume ${JSON.stringify(start.toString())} ${JSON.stringify(stop.toString())}`,
          );
        }
        return lines.filter((line) => line !== '').join('\n');
      }
    }
  }

  async #gc(options: ReadonlyMap<string, string>): Promise<string> {
    const span = { start: Buffer.alloc(0), end: Buffer.from([0xff]) };
    const threshold = parseTimestamp(options.get('ts') ?? '0');
    const garbage = await mvccGarbage(
      this.#engine,
      span,
      threshold,
      Number(options.get('max') ?? 100),
    );
    const dropped = dropGarbage(this.#engine, garbage.found);
    this.#engine.apply(dropped.keys.map((key) => ({ key, value: undefined })));
    this.#stats = addStats(this.#stats, dropped.stats);
    const more =
      garbage.resume === undefined ? '' : `, resume ${JSON.stringify(garbage.resume.toString())}`;
    return `${dropped.keys.length} keys${more}`;
  }

  async #dump(): Promise<string> {
    const iterator = this.#engine.iterate({ start: Buffer.from('h'), end: Buffer.from('w') });
    const lines: string[] = [];
    for (const [key, value] of await iterator.next(1000)) {
      if (key[0] === 0x68) {
        const head = decodeHead(value);
        const committed =
          head.timestamp === undefined ? '' : ` ${text(head.value)} @${show(head.timestamp)}`;
        const intent = head.intent === undefined ? '' : ` [${this.#intent(head.intent)}]`;
        lines.push(`head ${key.subarray(1).toString()}${committed}${intent}`);
      } else {
        const version = decodeVersionKey(key);
        lines.push(
          `old  ${version.key.toString()} ${text(decodeVersion(value))} @${show(version.timestamp)}`,
        );
      }
    }
    await iterator.close();
    return lines.join('\n');
  }

  #intent(intent: Intent): string {
    const owner = Buffer.from(intent.txnId, 'hex').toString().replace(/\.+$/, '');
    const history = intent.history
      .map((write) => `${text(write.value)}#${write.sequence}, `)
      .join('');
    const epoch = intent.epoch === 0 ? '' : ` epoch ${intent.epoch}`;
    return `${owner}${epoch} @${show(intent.timestamp)} ${history}${text(intent.value)}#${intent.sequence}`;
  }
}

function parse(line: string): Command {
  const [name = '', ...words] = line.trim().split(/\s+/);
  const options = new Map<string, string>();
  for (const word of words) {
    const at = word.indexOf('=');
    if (at > 0) options.set(word.slice(0, at), word.slice(at + 1));
  }
  return { name, args: words.filter((word) => !word.includes('=')), options };
}

function parseTimestamp(word: string): Timestamp {
  const [wall, logical] = word.split(',');
  return { wall: Number(wall), logical: Number(logical ?? 0) };
}

function parseSpan(word: string): SequenceSpan {
  const [from, to] = word.split('-');
  return { from: Number(from), to: Number(to) };
}

function show(timestamp: Timestamp): string {
  return timestamp.logical === 0 ? `${timestamp.wall}` : `${timestamp.wall},${timestamp.logical}`;
}

function text(value: Buffer | undefined): string {
  return value === undefined ? '<none>' : value.toString();
}
