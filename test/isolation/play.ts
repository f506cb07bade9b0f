/**
 * Plays the steps of several sessions one after the other and writes down what becomes of each.
 *
 *     s1 update t set v = 1           a statement of session s1
 *     s2* select * from t             one that ends by itself although it waits: the play goes on when it has
 *     cancel s2                       what a cancel request does
 *     close s2                        the client goes away
 *
 * A step that cannot end before others do is `<waiting>`; the step that lets it go on says `s2 finishes:`. Nothing
 * here sleeps: the tested system says when all sessions are at rest.
 */
import { type BusySession, type TestedDatabase, type TestedSession } from './system.ts';

export const levels = ['read committed', 'repeatable read', 'serializable'] as const;
export type Level = (typeof levels)[number];

interface Player {
  readonly name: string;
  readonly session: TestedSession;
  busy: (BusySession & { done: boolean; lines: readonly string[] }) | undefined;
}

/** The transcript: a line per step, the outcome indented below it. */
export async function play(
  database: TestedDatabase,
  level: Level,
  steps: readonly string[],
): Promise<string[]> {
  const players = new Map<string, Player>();
  const transcript: string[] = [];

  const playerOf = async (name: string): Promise<Player> => {
    let player = players.get(name);
    if (player === undefined) {
      const session = await database.connect();
      await session.run(`set default_transaction_isolation to '${level}'`);
      player = { name, session, busy: undefined };
      players.set(name, player);
    }
    return player;
  };

  /** What has ended since the last step, and of `actor`, whether it has. */
  const report = async (actor: Player | undefined, toTheEnd: boolean): Promise<void> => {
    const underWay = [...players.values()].flatMap(({ busy }) =>
      busy === undefined ? [] : [busy],
    );
    await database.rest(underWay, toTheEnd);
    const own = actor?.busy;
    if (own?.done === true) transcript.push(...own.lines.map((line) => `  ${line}`));
    else if (own !== undefined) transcript.push('  <waiting>');
    for (const player of [...players.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const { busy } = player;
      if (busy === undefined || !busy.done) continue;
      player.busy = undefined;
      if (player === actor) continue;
      const [first = 'done', ...more] = busy.lines;
      transcript.push(`  ${player.name} finishes: ${first}`, ...more.map((line) => `    ${line}`));
    }
  };

  for (const step of steps) {
    const space = step.indexOf(' ');
    const [word, rest] = [step.slice(0, space), step.slice(space + 1)];
    transcript.push(step);
    if (word === 'cancel' || word === 'close') {
      const { session, busy } = await playerOf(rest);
      await session[word]();
      if (word === 'close') players.delete(rest);
      else if (busy !== undefined) await database.rest([busy], true);
      await report(undefined, false);
      continue;
    }
    const toTheEnd = word.endsWith('*');
    const player = await playerOf(word.replace('*', ''));
    if (player.busy !== undefined) {
      transcript.push('  (not sent, it waits)');
      continue;
    }
    const busy = { session: player.session, done: false, lines: [] as readonly string[] };
    player.busy = busy;
    void player.session.run(rest).then((lines) => {
      busy.lines = lines;
      busy.done = true;
    });
    await report(player, toTheEnd);
  }
  for (const { name, busy } of players.values()) {
    if (busy !== undefined) transcript.push(`${name} waits in the end`);
  }
  for (const { session } of players.values()) await session.close();
  return transcript;
}
