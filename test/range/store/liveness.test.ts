/** The ledger of promises between stores, and how far a lease reaches because of them. */
import { describe, expect, it } from 'vitest';
import { asStoreId } from '../../../src/kv/index.ts';
import { LeaseSupport } from '../../../src/range/replica/lease-support.ts';
import { SupportLedger } from '../../../src/range/store/liveness.ts';

const a = asStoreId(1);
const b = asStoreId(2);
const c = asStoreId(3);

describe('store liveness', () => {
  it('a promise binds until the clock has passed it', () => {
    const ledger = new SupportLedger();
    expect(ledger.supports(a, 50)).toBe(false);
    const first = ledger.promise(a, 200, 100);
    expect(first.expiration).toBe(200);
    expect(ledger.supports(a, 200)).toBe(true);
    expect(ledger.promise(a, 150, 110)).toEqual(first);
    expect(ledger.maxPromised).toBe(200);
  });

  it('a promise that was made use of is never renewed in its epoch', () => {
    const ledger = new SupportLedger();
    const first = ledger.promise(a, 200, 100);
    expect(ledger.supports(a, 201)).toBe(false);
    expect(ledger.promisedEpoch(a)).toBe(0);
    const second = ledger.promise(a, 400, 210);
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(ledger.supports(a, 300)).toBe(true);
  });

  it('a promise that nobody made use of goes on', () => {
    const ledger = new SupportLedger();
    const first = ledger.promise(a, 200, 100);
    expect(ledger.promise(a, 400, 250).epoch).toBe(first.epoch);
  });

  it('each lapse of a promise is told once, whoever noticed it first', () => {
    const ledger = new SupportLedger();
    ledger.promise(a, 200, 100);
    ledger.promise(b, 200, 100);
    expect(ledger.lapsedPromises(200)).toEqual([]);
    // A question that comes before the next tick withdraws the promise; quiet followers sleep until they are told.
    expect(ledger.supports(a, 201)).toBe(false);
    expect(ledger.lapsedPromises(201)).toEqual([a, b]);
    expect(ledger.lapsedPromises(300)).toEqual([]);
    ledger.promise(a, 400, 310);
    expect(ledger.lapsedPromises(401)).toEqual([a]);
  });

  it('a request for the past promises nothing', () => {
    const ledger = new SupportLedger();
    expect(ledger.promise(a, 90, 100)).toEqual({ epoch: 0, expiration: 0 });
    expect(ledger.supports(a, 80)).toBe(false);
  });

  it('received support never goes back, and a new epoch is noticed', () => {
    const ledger = new SupportLedger();
    expect(ledger.receive(b, { epoch: 5, expiration: 100 })).toBe(true);
    expect(ledger.receive(b, { epoch: 5, expiration: 90 })).toBe(false);
    expect(ledger.supportFrom(b).expiration).toBe(100);
    expect(ledger.receive(b, { epoch: 4, expiration: 900 })).toBe(false);
    expect(ledger.supportFrom(b).expiration).toBe(100);
    expect(ledger.receive(b, { epoch: 6, expiration: 80 })).toBe(true);
    expect(ledger.supportedBy(b, 79)).toBe(true);
    expect(ledger.supportedBy(b, 80)).toBe(false);
  });
});

describe('lease expiration', () => {
  const three = { voters: [1, 2, 3], votersOutgoing: [], learners: [] };
  const store = (id: number): ReturnType<typeof asStoreId> => asStoreId(id);

  it('a single voter needs nobody', () => {
    const support = new LeaseSupport(1, new SupportLedger(), store);
    const alone = { voters: [1], votersOutgoing: [], learners: [] };
    expect(support.expiration(1, alone)).toBe(Number.POSITIVE_INFINITY);
  });

  it('counts followers that acknowledged this term under the promise in force', () => {
    const ledger = new SupportLedger();
    const support = new LeaseSupport(1, ledger, store);
    ledger.receive(b, { epoch: 5, expiration: 100 });
    ledger.receive(c, { epoch: 7, expiration: 200 });
    expect(support.expiration(2, three)).toBe(0);
    support.acknowledge(2, 2, 5);
    expect(support.expiration(2, three)).toBe(100);
    support.acknowledge(3, 2, 6);
    expect(support.expiration(2, three)).toBe(100);
    support.acknowledge(3, 2, 7);
    expect(support.expiration(2, three)).toBe(200);
    expect(support.expiration(3, three)).toBe(0);
    ledger.receive(c, { epoch: 8, expiration: 300 });
    expect(support.expiration(2, three)).toBe(100);
  });

  it('both halves of a joint configuration decide', () => {
    const ledger = new SupportLedger();
    const support = new LeaseSupport(1, ledger, store);
    const joint = { voters: [1, 2, 3], votersOutgoing: [1, 4, 5], learners: [] };
    ledger.receive(b, { epoch: 5, expiration: 100 });
    support.acknowledge(2, 2, 5);
    expect(support.expiration(2, joint)).toBe(0);
    ledger.receive(asStoreId(4), { epoch: 1, expiration: 60 });
    support.acknowledge(4, 2, 1);
    expect(support.expiration(2, joint)).toBe(60);
  });
});
