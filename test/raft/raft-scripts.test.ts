/**
 * Runs the scenarios in testdata. Commands (members are numbered, 2>1 is the direction from 2 to 1):
 *
 *     cluster voters=1,2,3 [learners=4] [spares=5] [bytes=100] [hold=0]   limits: uncommitted bytes, bytes held back
 *     tick 1 [2 ..] [n=3]      campaign 1      propose 1 text [text ..]
 *     silent 1 [2 ..]          the promise to the leader has run out, after a silence of more than an election timeout
 *     read 1                   asks for a read index, which a round confirms (r1, r2, ..)
 *     config 1 voters=.. [learners=..]         transfer 1 to=2
 *     run [1 2 ..]             everything is delivered, persisted and applied until nothing is left (at these members)
 *     elect 1                  campaign and run, without the trace
 *     release 1                what is held back has waited long enough
 *     ready 1                  takes Readys (sends and applies) without persisting
 *     persist 1 [n=1]          the oldest write becomes durable
 *     deliver 1>2 [n=1]        drop 1>2 [n=1]          (no n: all that is under way)
 *     cut 1>2 ..               isolate 1               heal
 *     support 2>1 off|on       crash 1 ..              restart 1 ..
 *     checkpoint 1             compact 1 to=3          unreachable 1 peer=2
 *     status [1 ..]            log 1 ..                progress 1            network
 */
import { fileURLToPath } from 'node:url';
import { type ProposeResult, type RaftId } from '../../src/raft/index.ts';
import { must } from '../../src/util/index.ts';
import { type ScriptCase, type ScriptRunner, runScripts } from '../script.ts';
import { type Member, type Packet, Cluster, configurationText, messageText } from './harness.ts';

function ids(text: string | undefined): RaftId[] {
  return text === undefined || text === '' ? [] : text.split(',').map(Number);
}

function direction(word: string | undefined): { from: RaftId; to: RaftId } {
  const [from, to] = must(word, 'a direction').split('>');
  return { from: Number(from), to: Number(to) };
}

function outcome(result: ProposeResult): string {
  switch (result.kind) {
    case 'accepted':
      return `accepted ${result.index}@${result.term}`;
    case 'not-leader':
      return 'not-leader';
    case 'busy':
      return `busy: ${result.reason}`;
  }
}

function statusText(member: Member): string {
  if (!member.up) return `${member.id} down`;
  const { role, term, leader, commitIndex, lastIndex, configuration } = member.core;
  const quiet = member.core.canQuiesce() ? ' quiet' : '';
  const holds = member.core.holdsEntries ? ' holds' : '';
  return `${member.id} ${role} t${term} leader=${leader || '-'} commit=${commitIndex} last=${lastIndex}${quiet}${holds} ${configurationText(configuration)}`;
}

function logText(member: Member): string {
  const { firstIndex, lastIndex } = member.memory;
  const entries =
    firstIndex > lastIndex ? [] : member.memory.entries(firstIndex, lastIndex + 1, 1 << 20);
  const text = entries.map((entry) => {
    const data = entry.kind === 'config' ? '(config)' : entry.data.toString();
    return `${entry.index}@${entry.term}${data && ' '}${data}`;
  });
  return `${member.id}: ${text.join(', ') || 'empty'} (durable to ${member.durable.lastIndex})`;
}

class Script {
  private cluster = new Cluster({ voters: [1] });

  run(step: ScriptCase): string {
    this.cluster.trace = [];
    const said = this.execute(step);
    return [...said, ...this.cluster.trace].join('\n');
  }

  private execute(step: ScriptCase): string[] {
    const { cluster } = this;
    const { args, options } = step;
    const members = args.map((word) => cluster.members.get(Number(word)));
    const named = members.filter((member) => member !== undefined);
    const all = named.length > 0 ? named : [...cluster.members.values()];
    const first = all[0] ?? cluster.member(1);
    switch (step.command) {
      case 'cluster':
        this.cluster = new Cluster({
          voters: ids(options.get('voters')),
          learners: ids(options.get('learners')),
          spares: ids(options.get('spares')),
          random: (id) => (id - 1) / 5,
          settings: {
            uncommittedBytesMax: Number(options.get('bytes') ?? 1024),
            holdBytesMax: Number(options.get('hold') ?? 0),
          },
        });
        return [];
      case 'tick':
        for (let i = Number(options.get('n') ?? 1); i > 0; i--) {
          for (const member of named) member.core.tick();
        }
        return [];
      case 'silent':
        for (const member of named) member.core.leaderSilent();
        return [];
      case 'campaign':
        first.core.campaign();
        return [];
      case 'elect':
        first.core.campaign();
        cluster.run();
        cluster.trace = [];
        return [statusText(first)];
      case 'propose':
        return args.slice(1).map((text) => outcome(first.core.propose(Buffer.from(text))));
      case 'read': {
        const asked = first.core.readIndex();
        return [asked.kind === 'accepted' ? `accepted r${asked.round}` : asked.kind];
      }
      case 'config':
        return [
          outcome(
            first.core.proposeConfigChange({
              voters: ids(options.get('voters')),
              learners: ids(options.get('learners')),
            }),
          ),
        ];
      case 'transfer':
        first.core.transferLeadership(Number(options.get('to')));
        return [`target ${first.core.transferTarget || '-'}`];
      case 'run':
        cluster.run(all.map((member) => member.id));
        return [];
      case 'release':
        first.core.releaseHeld();
        return [];
      case 'ready':
        while (cluster.ready(first));
        return [];
      case 'persist':
        for (let i = Number(options.get('n') ?? 1); i > 0; i--) cluster.persist(first);
        return [];
      case 'deliver':
        for (const packet of this.take(step)) cluster.deliver(packet);
        return [];
      case 'drop':
        for (const packet of this.take(step)) cluster.lost(packet);
        return [];
      case 'cut':
        for (const word of args) cluster.cut(direction(word).from, direction(word).to);
        return [];
      case 'isolate':
        cluster.isolate(first.id);
        return [];
      case 'heal':
        cluster.heal();
        return [];
      case 'support':
        cluster.setSupport(direction(args[0]).from, direction(args[0]).to, args[1] === 'on');
        return [];
      case 'crash':
        for (const member of named) cluster.crash(member);
        return [];
      case 'restart':
        for (const member of named) cluster.restart(member);
        return [];
      case 'checkpoint':
        cluster.checkpoint(first);
        return [];
      case 'compact':
        cluster.checkpoint(first);
        cluster.compact(first, Number(options.get('to')));
        return [];
      case 'unreachable':
        first.core.reportUnreachable(Number(options.get('peer')));
        return [];
      case 'status':
        return all.map(statusText);
      case 'log':
        return all.map(logText);
      case 'progress':
        return first.core
          .progress()
          .map(
            (p) =>
              `${p.id} ${p.state} match=${p.match} next=${p.next}${p.active ? '' : ' inactive'}`,
          );
      case 'network':
        return cluster.network.map((packet) => messageText(packet.message));
      default:
        throw new Error(`line ${step.line}: unknown command ${step.command}`);
    }
  }

  private take(step: ScriptCase): Packet[] {
    const { from, to } = direction(step.args[0]);
    let left = Number(step.options.get('n') ?? Infinity);
    const taken: Packet[] = [];
    this.cluster.network = this.cluster.network.filter((packet) => {
      const matches = packet.message.from === from && packet.message.to === to && left > 0;
      if (!matches) return true;
      left--;
      taken.push(packet);
      return false;
    });
    return taken;
  }
}

runScripts(fileURLToPath(new URL('testdata', import.meta.url)), (): ScriptRunner => {
  const script = new Script();
  return (step) => script.run(step);
});
