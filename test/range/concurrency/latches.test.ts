/**
 * Scripts for latches. `enter NAME read|write start[-end]@time ...` enters all latches of a request at
 * once; `leave NAME` releases them.
 * Without a time, `@`, a write conflicts with no read. Each step prints who was let in and who is still waiting.
 */
import {
  Latches,
  type LatchGuard,
  type LatchSpan,
} from '../../../src/range/concurrency/latches.ts';
import { runScripts } from '../../script.ts';

runScripts(new URL('testdata/latches', import.meta.url).pathname, () => {
  const latches = new Latches();
  const guards = new Map<string, LatchGuard>();
  const waiting = new Set<string>();
  const events: string[] = [];

  return async ({ command, args }) => {
    const [name = '', mode, ...spans] = args;
    if (command === 'enter') {
      const guard = latches.acquire(spans.map((text) => spanOf(text, mode === 'write')));
      guards.set(name, guard);
      const granted = latches.granted(guard);
      if (granted === undefined) {
        events.push(`${name} is in`);
      } else {
        waiting.add(name);
        void granted.then(() => {
          waiting.delete(name);
          events.push(`${name} is in`);
        });
      }
    } else if (command === 'leave') {
      const guard = guards.get(name);
      if (guard !== undefined) latches.release(guard);
    } else {
      return `unknown command ${command}`;
    }
    await new Promise((resolve) => setImmediate(resolve));
    const lines = events.splice(0);
    if (waiting.size > 0) lines.push(`waiting: ${[...waiting].join(' ')}`);
    return lines.join('\n');
  };
});

function spanOf(text: string, write: boolean): LatchSpan {
  const [keys = '', time] = text.split('@');
  const [start = '', end] = keys.split('-');
  return {
    start: Buffer.from(start),
    end: end === undefined ? undefined : Buffer.from(end),
    write,
    timestamp: time === undefined ? undefined : { wall: Number(time), logical: 0 },
  };
}
