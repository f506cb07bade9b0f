/** Raft's configuration follows the descriptor, which says who should take part. */
import { type RangeDescriptor } from '../../kv/index.ts';
import { type Configuration, type RaftId } from '../../raft/index.ts';
import { unreachable } from '../../util/index.ts';
import { type Replica } from './replica.ts';

/**
 * Leader: takes the next step towards what the descriptor asks for. (The other direction, marking a joint descriptor as
 * finished, is the business of `change-replicas.ts`.)
 */
export function reconcileConfiguration(replica: Replica): void {
  if (!replica.holdsLease || !replica.initialised) return;
  if (replica.raft.configuration.votersOutgoing.length > 0 || isConfigured(replica)) return;
  const { voters, learners } = configurationOf(replica.descriptor);
  const result = replica.raft.proposeConfigChange({ voters, learners });
  if (result.kind === 'accepted') replica.activate();
}

/** Raft has what the descriptor asks for. */
export function isConfigured({ raft, descriptor }: Replica): boolean {
  const { voters, votersOutgoing, learners } = raft.configuration;
  const wanted = configurationOf(descriptor);
  return (
    votersOutgoing.length === 0 &&
    areSame(voters, wanted.voters) &&
    areSame(learners, wanted.learners)
  );
}

/** Raft's configuration as the descriptor wants it to become. */
export function configurationOf(range: RangeDescriptor): Configuration {
  const voters: RaftId[] = [];
  const learners: RaftId[] = [];
  for (const replica of range.replicas) {
    switch (replica.kind) {
      case 'voter':
      case 'voter-incoming':
        voters.push(replica.replicaId);
        break;
      case 'learner':
      case 'non-voter':
      case 'voter-demoting':
        learners.push(replica.replicaId);
        break;
      case 'voter-outgoing':
        break;
      default:
        unreachable(replica.kind);
    }
  }
  const ascending = (a: number, b: number): number => a - b;
  return {
    voters: voters.sort(ascending),
    votersOutgoing: [],
    learners: learners.sort(ascending),
  };
}

function areSame(a: readonly RaftId[], b: readonly RaftId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
