/** Waiting that can be ended early, and that leaves nothing behind when it was not. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { StopSign } from '../../src/txn/stop-sign.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('waiting', () => {
  it('ends as the work does', async () => {
    const stop = new StopSign();
    await expect(stop.unlessRaised(Promise.resolve(7))).resolves.toBe(7);
    await expect(stop.unlessRaised(Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  });

  it('ends for all when the sign is raised, and at once for who comes later', async () => {
    const stop = new StopSign();
    const endless = new Promise<never>(() => undefined);
    const waiting = [stop.unlessRaised(endless), stop.unlessRaised(endless)];
    stop.raise(new Error('canceled'));
    stop.raise(new Error('aborted'));
    for (const each of waiting) await expect(each).rejects.toThrow('canceled');
    await expect(stop.unlessRaised(endless)).rejects.toThrow('canceled');
    stop.lower();
    await expect(stop.unlessRaised(Promise.resolve(7))).resolves.toBe(7);
  });

  it('keeps no answer of what was waited for', async () => {
    const stop = new StopSign();
    const answers: WeakRef<object>[] = [];
    for (let i = 0; i < 100; i++) {
      answers.push(new WeakRef(await stop.unlessRaised(Promise.resolve({ page: i }))));
    }
    // What a WeakRef was made of is kept up to the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(answers.filter((answer) => answer.deref() !== undefined)).toEqual([]);
    stop.raise(new Error('canceled'));
  });
});
