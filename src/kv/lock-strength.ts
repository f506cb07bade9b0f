/**
 * The strengths of row locks, after PostgreSQL 13.3.2: who only refers to a row does not keep others from changing what is not
 * its key.
 *
 *                    key-share   share   no-key-update   update
 *   key-share                                              x        foreign keys: the row stays
 *   share                                      x           x        the row stays as it is
 *   no-key-update                  x           x           x        a write that leaves the row there
 *   update               x         x           x           x        any other write
 *
 * Each covers all weaker ones, so a transaction needs to be known by its strongest lock on a key only.
 */
export type HeldStrength = 'key-share' | 'share' | 'no-key-update' | 'update';

/** Locks taken by reads. They are kept in memory at the leaseholder and may be lost with it: see trap X14. */
export type LockStrength = 'none' | HeldStrength;

const ranks: Readonly<Record<HeldStrength, number>> = {
  'key-share': 1,
  share: 2,
  'no-key-update': 3,
  update: 4,
};

/** Two transactions cannot hold these at once: the matrix above is that of ranks whose sum is more than 4. */
export function areInConflict(a: HeldStrength, b: HeldStrength): boolean {
  return ranks[a] + ranks[b] > 4;
}

/** Whoever holds `held` need not ask for `wanted`. */
export function covers(held: HeldStrength | undefined, wanted: HeldStrength): boolean {
  return held !== undefined && ranks[held] >= ranks[wanted];
}

export function strongerOf(held: HeldStrength | undefined, other: HeldStrength): HeldStrength {
  return held !== undefined && covers(held, other) ? held : other;
}
