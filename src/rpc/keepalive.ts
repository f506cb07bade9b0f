/**
 * When a silent connection is given up: a ping every so often, and an answer within so long. Not sooner than stores
 * give each other up (the support duration of store liveness, 2 s): a node that stands still for less keeps what it
 * was asked. Calls to one that stands still for longer fail at about the time somebody else takes over.
 */
export const keepaliveMs = { ping: 1_000, answer: 2_000 } as const;

/** After so long nobody waits any more. */
export const silenceMaxMs = keepaliveMs.ping + keepaliveMs.answer;
