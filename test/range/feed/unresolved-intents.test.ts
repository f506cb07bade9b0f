import { expect, it } from 'vitest';
import { asTxnId } from '../../../src/kv/index.ts';
import { UnresolvedIntents } from '../../../src/range/feed/unresolved-intents.ts';
import { type HeadRecord, type Intent } from '../../../src/storage/index.ts';

const idOf = (name: string) => asTxnId(Buffer.from(name.padEnd(16)).toString('hex'));

function headOf(name: string, wall: number): HeadRecord {
  const key = Buffer.from(name);
  const timestamp = { wall, logical: 0 };
  const intent: Intent = {
    txnId: idOf(name),
    anchor: key,
    epoch: 0,
    priority: 1,
    isolation: 'serializable',
    minTimestamp: timestamp,
    timestamp,
    sequence: 1,
    value: key,
    history: [],
  };
  return { timestamp: undefined, value: undefined, intent };
}

it('old intents have their turn however many before them stay', () => {
  const intents = new UnresolvedIntents();
  const note = (name: string, heads: { before?: HeadRecord; after?: HeadRecord }): void =>
    intents.note({
      key: Buffer.from(name),
      before: heads.before,
      after: heads.after,
      passed: [],
    });
  for (const name of ['a', 'b', 'c', 'd', 'e']) note(name, { after: headOf(name, 10) });
  note('young', { after: headOf('young', 20) });
  const next = (): string[] => intents.nextOlderThan(20, 2).map(({ anchor }) => anchor.toString());
  expect([next(), next(), next()]).toEqual([
    ['a', 'b'],
    ['c', 'd'],
    ['e', 'a'],
  ]);
  for (const name of ['b', 'c', 'd']) note(name, { before: headOf(name, 10) });
  expect(next().toSorted()).toEqual(['a', 'e']);
});
