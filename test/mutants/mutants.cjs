'use strict';
/**
 * Planted bugs. Each is a patch of the sources: `text` stands in `file` exactly once and is replaced. A
 * change of the sources that moves such a text away fails `mutants.test.ts` until the mutant is written anew.
 */

/** @typedef {{ file: string, text: string, replacement: string }} Patch */
/**
 * `faults`, `workload`: the classes of faults among which, and the load (as `skein sim` takes it) under which, it has to be
 * found; default: what each seed draws. `sign`: what the finding has to say; default: anything. `script`: not the simulation has to
 * find it but a script, of which chance leaves too little: its test file and name.
 * @typedef {{ file: string, name: string }} Script
 * @typedef {{ name: string, wrong: string, faults?: string[], workload?: string, sign?: RegExp, script?: Script, patches: Patch[] }} Mutant
 */

/** @type {Mutant[]} */
exports.mutants = [
  {
    name: 'M1',
    wrong: 'the leader counts an entry as committed that only its own log holds',
    patches: [
      {
        file: 'src/raft/replication.ts',
        text: `  const index = quorumIndex(state.configuration, (id) =>
    id === state.id ? log.durableIndex : (reign.peers.get(id)?.match ?? 0),
  );`,
        replacement: '  const index = log.durableIndex;',
      },
    ],
  },
  {
    name: 'M2a',
    wrong: 'entries, terms and votes are acknowledged before they are durable',
    patches: [
      {
        file: 'src/range/store/scheduler.ts',
        text: 'this.#deps.host.raftLog.append(appends).then(',
        replacement: `this.#deps.host.raftLog.append(appends).catch((e: unknown) => this.#deps.host.fatal(e));
    Promise.resolve().then(`,
      },
    ],
  },
  {
    name: 'M2b',
    wrong: 'the vote is not written to the log',
    faults: ['late-heir'],
    patches: [
      {
        file: 'src/storage/raft-log-format.ts',
        text: 'next = writeU64(this.#bytes, hardState.vote, next);',
        replacement: 'next = writeU64(this.#bytes, 0, next);',
      },
    ],
  },
  {
    name: 'M3',
    wrong: 'a vote is answered before term and vote are durable',
    faults: ['strand-winner', 'crash-point'],
    patches: [
      {
        file: 'src/raft/election.ts',
        text: 'state.messagesAfterPersist.push(voteResponse(state, m, state.term, granted));',
        replacement: 'state.messages.push(voteResponse(state, m, state.term, granted));',
      },
    ],
  },
  {
    name: 'M4',
    wrong: 'where a replay begins is written before the state it stands for is durable',
    patches: [
      {
        file: 'src/range/store/checkpoint.ts',
        text: '    await host.engine.barrier();\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M5',
    wrong: 'a proposal takes whatever is applied at its index for its own',
    patches: [
      {
        file: 'src/range/replica/applier.ts',
        text: '    if (proposal.term === entry.term) return proposal;\n',
        replacement: '    if (proposal.term > 0) return proposal;\n',
      },
    ],
  },
  {
    name: 'M6',
    wrong: 'a new leaseholder does not know what was read under the lease before',
    faults: ['transfer'],
    workload: 'kv',
    patches: [
      {
        file: 'src/range/evaluate/executor.ts',
        text: '    reads.reset(inherited ? laterTimestamp(start, reads.ceiling) : start);\n',
        replacement: '    reads.reset({ wall: 0, logical: 0 });\n',
      },
    ],
  },
  {
    name: 'M7a',
    wrong: 'a merge forgets what was read on the right side',
    faults: ['merge', 'split'],
    patches: [
      {
        file: 'src/range/replica/lease.ts',
        text: '    replica.closed.raiseFloor(at.wall + 1);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M7b',
    wrong: 'a split does not hand over what was read on the right side',
    faults: ['split', 'merge'],
    workload: 'kv',
    patches: [
      {
        file: 'src/range/evaluate/executor.ts',
        text: '    reads.copyTo(there.reads, splitKey);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M8',
    wrong: 'a scan keeps later writes off the rows it found, not off the gaps between them',
    workload: 'kv',
    sign: /^(wrong-scan|write-below-read):/,
    patches: [
      {
        file: 'src/range/evaluate/reads.ts',
        text: `      builder.finish();
      const { resume } = ended;
      const read = scannedPart(request, resume);
      ctx.markRead(read.start, read.end, ctx.readTimestamp);`,
        replacement: `      builder.finish();
      const { resume } = ended;
      for (const key of builder.keys) ctx.markRead(key, undefined, ctx.readTimestamp);`,
      },
    ],
  },
  {
    name: 'M9',
    wrong: 'a refresh leaves out what a limited scan has seen behind its last row',
    workload: 'kv',
    sign: /^(wrong-scan|write-below-read):/,
    patches: [
      {
        file: 'src/txn/stored-reads.ts',
        text: `      const to = !reverse && rest !== undefined ? rest.start : end;
      txn.refresher.noteRead(from, to);`,
        replacement: `      const to = !reverse && rest !== undefined ? rest.start : end;
      const last = answer?.kind === 'scan' ? answer.keys.at(-1) : undefined;
      if (request.maxRows === 0) txn.refresher.noteRead(from, to);
      else if (last !== undefined && reverse) txn.refresher.noteRead(last, to);
      else if (last !== undefined) {
        txn.refresher.noteRead(from, Buffer.concat([last, Buffer.alloc(1)]));
      }`,
      },
    ],
  },
  {
    name: 'M10',
    wrong: 'nothing above the read timestamp is uncertain',
    faults: ['clock', 'clock-strobe'],
    workload: 'register',
    sign: /^not-linearizable:/,
    patches: [
      {
        file: 'src/txn/cluster-db.ts',
        text: 'options.asOf === undefined ? addMicros(now, this.clock.maxOffsetMicros) : readTimestamp',
        replacement: 'readTimestamp',
      },
      {
        file: 'src/txn/cluster-txn.ts',
        text: 'addMicros(now, clock.maxOffsetMicros)',
        replacement: 'now',
      },
    ],
  },
  {
    name: 'M11',
    wrong: 'ranges where intents lie do not hear of the timestamp that a commit was moved up to',
    script: { file: 'test/range/store/store-scripts.test.ts', name: 'uncertainty-commit.txt' },
    sign: /expected 'old/,
    patches: [
      {
        file: 'src/txn/committer.ts',
        text: 'const batch = [...laying, ...notes];',
        replacement: 'const batch = notes.length < 0 ? notes : [...laying];',
      },
    ],
  },
  {
    name: 'M12',
    wrong: 'the lease is checked as a request begins, and up to its very end',
    faults: ['late-leaseholder'],
    sign: /two leaseholders/,
    patches: [
      {
        file: 'src/range/replica/lease.ts',
        text: 'return now + clock.maxOffsetMicros < this.#supportExpiration() && now < bound.upperBound;',
        replacement:
          'return clock !== undefined && now < this.#supportExpiration() && now < bound.upperBound;',
      },
      {
        file: 'src/range/evaluate/executor.ts',
        text: `      this.#port.leaseSequence !== lease ||
      this.#port.checkLease(laterTimestamp(ctx.readTimestamp, ctx.writeTimestamp)) !== undefined ||`,
        replacement: '      this.#port.leaseSequence !== lease ||',
      },
    ],
  },
  {
    name: 'M13',
    wrong: 'who believes to be the leader serves reads without a lease',
    patches: [
      {
        file: 'src/range/replica/lease.ts',
        text: '    const isServed = timestamp.wall < this.expiration() && this.#isInForce();',
        replacement: '    const isServed = true;',
      },
    ],
  },
  {
    name: 'M14a',
    wrong: 'who recovers a parallel commit does not keep a missing write from landing later',
    script: {
      file: 'test/txn/parallel-commit.test.ts',
      name: 'which finds a write missing, and then it lands',
    },
    sign: /expected 'committed' to be 'txn-aborted'/,
    patches: [
      {
        file: 'src/range/evaluate/txn-requests.ts',
        text: '    ctx.marks.push({ start: key, end: undefined, timestamp: txn.writeTimestamp, own: false });\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M14b',
    wrong: 'a parallel commit is answered when its record is staged, whatever became of its writes',
    patches: [
      {
        file: 'src/txn/parallel-commit.ts',
        text: "(record === 'staged' && writes === 'landed')",
        replacement: "record === 'staged'",
      },
    ],
  },
  {
    name: 'M14c',
    wrong: 'a write above the staged timestamp counts as landed',
    patches: [
      {
        file: 'src/range/evaluate/txn-requests.ts',
        text: '    compareTimestamps(intent.timestamp, txn.writeTimestamp) <= 0 &&\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M14d',
    wrong: 'intents of a parallel commit are resolved before its record says that it is committed',
    patches: [
      {
        file: 'src/txn/clean-up.ts',
        text: '  const { env, router } = txn.parts;\n',
        replacement: `  const { env, router } = txn.parts;
  await resolve(txn.parts, remains.intents, finished(remains.meta, 'committed'));
`,
      },
    ],
  },
  {
    name: 'M15',
    wrong: 'a heartbeat or a commit makes the record of a transaction anew that has been aborted',
    workload: 'kv',
    sign: /^lost-write:/,
    patches: [
      {
        file: 'src/range/concurrency/txn-tombstones.ts',
        text: 'compareTimestamps(txn.minTimestamp, this.#lowWater) > 0 && this.finished(txn.id) === undefined',
        replacement: 'compareTimestamps(txn.minTimestamp, zeroTimestamp) > 0',
      },
      {
        file: 'src/range/evaluate/end-txn.ts',
        text: "  if (tombstones.finished(txn.id) !== undefined) return 'the transaction has been finished before';\n",
        replacement: '',
      },
      {
        file: 'src/range/evaluate/executor.ts',
        text: "requests.some((request) => request.kind === 'end-txn' && !request.commit)",
        replacement: "requests.some((request) => request.kind === 'end-txn')",
      },
    ],
  },
  {
    name: 'M16',
    wrong: 'a commit without an answer is reported as failed',
    patches: [
      {
        file: 'src/txn/router.ts',
        text: "return this.#failure({ kind: 'ambiguous-result', reason });",
        replacement: "return this.#failure({ kind: 'unavailable', reason });",
      },
    ],
  },
  {
    name: 'M17',
    wrong: 'the gateway sends a commit again when the answer is lost',
    patches: [
      {
        file: 'src/txn/router.ts',
        text: "if (!error.sent || !once) return 'no-answer';",
        replacement: "if (reasonless(error)) return 'no-answer';",
      },
      {
        file: 'src/txn/router.ts',
        text: 'function isOnce({ once, txn }: HeaderBase, ',
        replacement: `function reasonless(_error: unknown): boolean {
  return true;
}

function isOnce({ once, txn }: HeaderBase, `,
      },
    ],
  },
  {
    name: 'M18',
    wrong: 'a removed replica comes back, without its log, and votes',
    faults: ['move-behind'],
    patches: [
      {
        file: 'src/range/store/intake.ts',
        text: 'if (to < this.#store.tombstone(rangeId)) {',
        replacement: 'if (to < 0) {',
      },
    ],
  },
  {
    name: 'M19',
    wrong: 'a snapshot is taken although a replica that has not applied its split holds the keys',
    faults: ['split', 'split-crash', 'crash', 'pause', 'move'],
    patches: [
      {
        file: 'src/range/store/intake.ts',
        text: '      return `range ${other.rangeId} holds some of these keys here`;\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M20',
    wrong: 'a follower whose entries are truncated gets no snapshot',
    patches: [
      {
        file: 'src/raft/replication.ts',
        text: '    state.snapshotsWanted.push(peer.id);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M21',
    wrong: 'several voters change in one step: two majorities that do not meet',
    faults: ['move-cut'],
    patches: [
      {
        file: 'src/raft/configuration.ts',
        text: 'return added + removed > 1;',
        replacement: 'return added + removed < 0;',
      },
    ],
  },
  {
    name: 'M22',
    wrong: 'checksums of the raft log are not verified',
    faults: ['corrupt', 'crash'],
    patches: [
      {
        file: 'src/storage/raft-log-format.ts',
        text: '    if (crc32(payload.subarray(at + 4, end)) !== checksum) return undefined;\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'M23',
    wrong: 'the store goes on after its raft log could not be written',
    patches: [
      {
        file: 'src/storage/raft-log.ts',
        text: '    await this.#file.writeDurable(position, [block]);\n',
        replacement:
          '    await this.#file.writeDurable(position, [block]).catch(() => undefined);\n',
      },
    ],
  },
  {
    name: 'M24',
    wrong: 'a late write is laid down at or below a closed timestamp',
    patches: [
      {
        file: 'src/range/evaluate/timestamps.ts',
        text: 'const floor = writeFloor(state, requests, txn, at, by.floorWall);',
        replacement: 'const floor = writeFloor(state, requests, txn, at, 0);',
      },
    ],
  },
  {
    name: 'M25',
    wrong: 'the clock follows a wall clock that jumps back',
    patches: [
      {
        file: 'src/kv/hlc.ts',
        text: '    if (physical > this.#wall) {\n',
        replacement: '    if (physical !== this.#wall) {\n',
      },
    ],
  },
  {
    name: 'M26',
    wrong: 'a new leaseholder of the right side does not look whether it is being merged',
    faults: ['merge-cut', 'merge-crash', 'split'],
    patches: [
      {
        file: 'src/range/replica/merge-watch.ts',
        text: 'this.#isBlocked = isLeaving(this.#ownRecord());',
        replacement: 'this.#isBlocked = isLeaving(this.#ownRecord()) && term < 0;',
      },
    ],
  },
  {
    name: 'M27a',
    wrong: 'an update writes no new entry of a unique index',
    workload: 'sql:unique',
    sign: /^(index-mismatch|duplicate):/,
    patches: [
      {
        file: 'src/sql/exec/dml/mutations.ts',
        text: '        txn.insert(key, value, { isFresh: codec === primary && hasFreshKey });\n',
        replacement: `        if (before === undefined || codec === primary)
          txn.insert(key, value, { isFresh: codec === primary && hasFreshKey });
`,
      },
    ],
  },
  {
    name: 'M27b',
    wrong: 'an update leaves the old entry of a secondary index',
    workload: 'sql:unique',
    sign: /^index-mismatch:/,
    patches: [
      {
        file: 'src/sql/exec/dml/mutations.ts',
        text: '      txn.delete(key);\n',
        replacement: `      if (after === undefined || codec === tableCodec(rules.table).indexes[0]) txn.delete(key);
`,
      },
    ],
  },
  {
    name: 'M28',
    wrong: 'int8 values of keys are rounded to 53 bits',
    workload: 'sql:set',
    sign: /^(duplicate|unexpected|lost|stale):/,
    patches: [
      {
        file: 'src/encoding/ordered.ts',
        text: 'return BigInt(this.#integer(0));',
        replacement: 'return BigInt(Number(this.#integer(0)));',
      },
    ],
  },
  {
    name: 'M29',
    wrong: 'a transaction that was aborted goes on reading, without what it has written',
    workload: 'kv',
    sign: /^own-write-missed:/,
    patches: [
      {
        file: 'src/range/concurrency/finished-txns.ts',
        text: "return this.#entries.get(txnId)?.status === 'aborted';",
        replacement: "return this.#entries.get(txnId)?.status === 'pending';",
      },
    ],
  },
  {
    name: 'M30',
    wrong: 'deadlocks of three transactions are not seen',
    workload: 'sql:list-append',
    sign: /did not (finish|serve) within/,
    patches: [
      {
        file: 'src/range/concurrency/txn-wait-queue.ts',
        text: '        frontier.push(waiter);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'P1',
    wrong: 'a store forgets its promises of support in a restart, and waits for nobody',
    patches: [
      {
        file: 'src/range/store/clock-bound.ts',
        text: '      this.#noVotesBefore = before.noVotesBefore;\n',
        replacement: '',
      },
      {
        file: 'src/range/store/liveness-driver.ts',
        text: 'return clock.now().wall > bound.noVotesBefore && this.#introduced();',
        replacement: 'return clock.now().wall > bound.noVotesBefore;',
      },
    ],
  },
  {
    name: 'P2',
    wrong: 'a one-phase commit that a replica does not know of is said not to have been made',
    script: {
      file: 'test/sim/takeover.test.ts',
      name: 'what a replica has applied before a restart',
    },
    patches: [
      {
        file: 'src/range/replica/replica.ts',
        text: "compareTimestamps(minTimestamp, knownFrom) > 0 ? 'none' : 'unknown'",
        replacement: "compareTimestamps(minTimestamp, knownFrom) > 1 ? 'unknown' : 'none'",
      },
    ],
  },
  {
    name: 'P3',
    wrong:
      'a one-phase commit may come to a leaseholder that began after it was said not to have been made',
    script: { file: 'test/txn/one-phase.test.ts', name: 'and that was not made is not made later' },
    sign: /expected \[ 'ok' \]/,
    patches: [
      {
        file: 'src/range/evaluate/end-txn.ts',
        text: 'if (request.onePhase && compareTimestamps(ctx.header.timestamp, fence) <= 0) {',
        replacement: 'if (request.onePhase && fence.wall < 0) {',
      },
    ],
  },
];

/** The patched text of a source; throws when the patch does not fit exactly once. */
exports.patched = function patched(source, { file, text, replacement }) {
  const parts = source.split(text);
  if (parts.length !== 2) {
    throw new Error(`${file} holds ${parts.length - 1} times, wanted once: ${text}`);
  }
  return parts.join(replacement);
};
