/**
 * Scripts for the lock table: who holds, who waits for whom, who is next.
 *
 *     lock T key [strength]    takes the lock or queues up; 'update' unless another one is named
 *     intent T key [keeps]     evaluation came across an intent of T, which keeps the row
 *     release T [key]          T has finished (on this key)
 *     unlock T                 T has finished; its intents are still to be resolved
 *     give-up T key            the wait of T ends with an error
 *     fail T                   all waits of T end with an error
 *     waits T key U            does T wait there for U?
 *     split key                the locks at or behind the key move to another table
 */
import { LockTable, type Waiter } from '../../../src/range/concurrency/lock-table.ts';
import { asTxnId, zeroTimestamp, type HeldStrength, type TxnMeta } from '../../../src/kv/index.ts';
import { type Intent } from '../../../src/storage/index.ts';
import { runScripts } from '../../script.ts';

function txnOf(name: string): TxnMeta {
  return {
    id: asTxnId(name),
    anchor: Buffer.from(name),
    epoch: 0,
    isolation: 'serializable',
    priority: 1,
    readTimestamp: zeroTimestamp,
    writeTimestamp: zeroTimestamp,
    minTimestamp: zeroTimestamp,
    uncertaintyLimit: zeroTimestamp,
    sequence: 0,
    ignoredSequences: [],
  };
}

function intentOf({ id, epoch, priority, isolation }: TxnMeta, anchor: Buffer): Intent {
  const times = { minTimestamp: zeroTimestamp, timestamp: zeroTimestamp };
  const write = { sequence: 1, value: undefined, history: [] };
  return { txnId: id, anchor, epoch, priority, isolation, ...times, ...write };
}

/** Absent: 'update'. */
function strengthOf(word: string | undefined): HeldStrength {
  const all = ['key-share', 'share', 'no-key-update'] as const;
  return all.find((strength) => strength === word) ?? 'update';
}

runScripts(new URL('testdata/locks', import.meta.url).pathname, () => {
  const table = new LockTable(() => 0);
  const right = new LockTable(() => 0);
  const waiters = new Map<string, Waiter>();
  const events: string[] = [];
  const describeTable = (which: LockTable): string =>
    which.describe(
      (txn) => txn.id,
      (key) => key.toString(),
    );
  const error = { kind: 'canceled' } as const;

  return async ({ command, args }) => {
    const [name = '', word = '', strength] = args;
    const txn = txnOf(name);
    const key = Buffer.from(word);
    switch (command) {
      case 'lock': {
        const held = strengthOf(strength);
        if (table.tryAcquire(key, txn, held)) break;
        const waiter = table.wait(key, txn, held);
        waiters.set(`${name} ${word}`, waiter);
        void waiter.outcome.then((outcome) => events.push(`${name} ${word}: ${outcome.kind}`));
        break;
      }
      case 'intent':
        table.addIntent({ key, keepsRow: strength === 'keeps', intent: intentOf(txn, key) });
        break;
      case 'observe':
        table.observe(Buffer.from(name), undefined, () =>
          events.push(`observer of ${name}: changed`),
        );
        break;
      case 'release':
        if (word === '') table.release(txn.id, { start: Buffer.from(''), end: Buffer.from('~') });
        else table.release(txn.id, { start: key, end: undefined });
        break;
      case 'unlock':
        table.releaseUnreplicated(txn.id);
        break;
      case 'give-up': {
        const waiter = waiters.get(`${name} ${word}`);
        if (waiter !== undefined) table.giveUp(waiter, { kind: 'failed', error });
        break;
      }
      case 'fail':
        table.failWaits(txn.id, error);
        break;
      case 'waits': {
        const isWaiting = table.isWaiting(key, txn.id, new Set([asTxnId(strength ?? '')]));
        return `${name} ${isWaiting ? 'waits' : 'does not wait'} for ${strength}`;
      }
      case 'clear':
        table.clear(error);
        break;
      case 'split':
        table.moveTo(right, Buffer.from(name));
        break;
      default:
        return `unknown command ${command}`;
    }
    await new Promise((resolve) => setImmediate(resolve));
    const lines = [...events.splice(0), describeTable(table)];
    if (right.size > 0) lines.push('right:', describeTable(right));
    return lines.filter((line) => line !== '').join('\n');
  };
});
