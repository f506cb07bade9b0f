/** When a node trusts its machine's clock, and what it reads while it does not. */
import { describe, expect, it } from 'vitest';
import { asNodeId, HlcClock } from '../../src/kv/index.ts';

const second = 1_000_000;
const epoch = 1_700_000_000 * second;

/** A machine of which the test sets time and clock, and nodes that answer it at once. */
class Machine {
  nowMs = 1_000;
  offsetMicros = 0;
  readonly clock = new HlcClock(
    {
      wallMicros: () => epoch + this.nowMs * 1000 + this.offsetMicros,
      monotonicMs: () => this.nowMs,
    },
    { maxOffsetMicros: 500_000 },
  );

  get trueMicros(): number {
    return epoch + this.nowMs * 1000;
  }

  /** The clock of node `id` stands `offsetMicros` beside true time. */
  hear(id: number, offsetMicros = 0, roundTripMs = 0): void {
    const sentMs = this.nowMs;
    this.nowMs += roundTripMs;
    const shown = this.trueMicros - (roundTripMs * 1000) / 2 + offsetMicros;
    this.clock.machine.note(asNodeId(id), shown, sentMs);
  }

  hearAll(): void {
    this.hear(2);
    this.hear(3);
  }
}

describe('the clock of a machine', () => {
  it('is believed while nobody has been heard of', () => {
    const machine = new Machine();
    machine.offsetMicros = -3600 * second;
    expect(machine.clock.now().wall).toBe(machine.trueMicros - 3600 * second);
    expect(machine.clock.complaint()).toBeUndefined();
  });

  it('is wrong from the reading on that shows it: no timestamp is given out by it', () => {
    for (const jump of [-20 * second, -0.41 * second, 0.41 * second, 20 * second]) {
      const machine = new Machine();
      machine.hearAll();
      machine.clock.now();
      machine.offsetMicros = jump;
      expect(machine.clock.now().wall).toBe(machine.trueMicros);
      expect(machine.clock.complaint()).toMatch(/differs by up to \d+ ms from those of 2 of 2/);
    }
  });

  it('is right within what is tolerated, and within what a slow answer leaves open', () => {
    const machine = new Machine();
    machine.offsetMicros = 0.39 * second;
    machine.hearAll();
    expect(machine.clock.complaint()).toBeUndefined();
    machine.offsetMicros = 0.6 * second;
    machine.hear(2, 0, 500);
    machine.hear(3, 0, 500);
    expect(machine.clock.complaint()).toBeUndefined();
  });

  it('is trusted again when it has agreed for a while, and anew from the start after each doubt', () => {
    const machine = new Machine();
    machine.hearAll();
    machine.offsetMicros = second;
    expect(machine.clock.complaint()).toBeDefined();
    machine.offsetMicros = 0;
    expect(machine.clock.complaint()).toBeDefined();
    machine.nowMs += 2_900;
    expect(machine.clock.complaint()).toBeDefined();
    machine.offsetMicros = second;
    machine.clock.now();
    machine.offsetMicros = 0;
    expect(machine.clock.complaint()).toBeDefined();
    machine.nowMs += 2_900;
    expect(machine.clock.complaint()).toBeDefined();
    machine.nowMs += 200;
    expect(machine.clock.complaint()).toBeUndefined();
  });

  it('is not one of two that nobody can tell apart; what was given out ahead has to come to pass', () => {
    const machine = new Machine();
    machine.hear(2);
    machine.offsetMicros = 20 * second;
    const ahead = machine.clock.now().wall;
    expect(ahead).toBe(machine.trueMicros + 20 * second);
    expect(machine.clock.complaint()).toMatch(/from those of 1 of 1 other nodes/);
    machine.offsetMicros = 0;
    for (let seconds = 0; seconds < 19; seconds++) {
      machine.hear(2);
      expect(machine.clock.complaint()).toBeDefined();
      machine.nowMs += 1000;
    }
    machine.nowMs += 1000;
    expect(machine.clock.complaint()).toBeUndefined();
  });

  it('goes by most of the others: one that is wrong itself says nothing', () => {
    const machine = new Machine();
    machine.hear(2, 5 * second);
    machine.hear(3);
    expect(machine.clock.complaint()).toBeUndefined();
    expect(machine.clock.now().wall).toBe(machine.trueMicros);
  });

  it('stays as trustworthy as it was when the others fall silent', () => {
    const machine = new Machine();
    machine.hearAll();
    machine.offsetMicros = 5 * second;
    expect(machine.clock.complaint()).toBeDefined();
    machine.nowMs += 120_000;
    expect(machine.clock.now().wall).toBe(machine.trueMicros);
    expect(machine.clock.complaint()).toBeDefined();
  });
});
