/** skein_internal.ranges, ranges_no_leases: all ranges of the cluster, with what their leaseholders say of them and without. */
import { keyMax, keyMin } from '../../encoding/index.ts';
import { type NodeId } from '../../kv/index.ts';
import { enforcedUntil, keyText, localities, rangePictures, replicaNodes } from '../ddl/index.ts';
import { makeArray, oids, type Datum } from '../types/index.ts';
import { type Record_, type RowMaker } from './build.ts';
import { placeOf } from './locks.ts';

const placeShape =
  'range_id:int8 start_key:bytea start_pretty:text end_key:bytea end_pretty:text database_name:text table_name:text index_name:text replicas:_int8 replica_localities:_text store_ids:_int8 voting_replicas:_int8 non_voting_replicas:_int8 learner_replicas:_int8 split_enforced_until:timestamp';

export const rangesNoLeasesShape = placeShape;
export const rangesShape = `${placeShape} lease_holder:int8 range_size:int8 live_bytes:int8 key_bytes:int8 value_bytes:int8 intent_bytes:int8 system_bytes:int8 key_count:int8 queries_per_second:float8`;

export function rangeRows(isDetailed: boolean): RowMaker {
  return async (s) => {
    const { context, snapshot } = s;
    const localityOf = localities(context);
    const pictures = await rangePictures(context, { start: keyMin, end: keyMax }, isDetailed);
    return pictures.map(({ range, info }): Record_ => {
      const nodes = replicaNodes(range, 'all');
      return {
        range_id: BigInt(range.rangeId),
        start_key: range.startKey,
        start_pretty: keyText(snapshot, range.startKey),
        end_key: range.endKey,
        end_pretty: keyText(snapshot, range.endKey),
        ...placeOf(s, range.startKey),
        replicas: int8s(nodes),
        replica_localities: makeArray(oids.text, nodes.map(localityOf)),
        store_ids: makeArray(
          oids.int8,
          // In the order of `replicas`.
          [...range.replicas]
            .sort((a, b) => a.nodeId - b.nodeId)
            .map(({ storeId }) => BigInt(storeId)),
        ),
        voting_replicas: int8s(replicaNodes(range, 'voting')),
        non_voting_replicas: int8s(replicaNodes(range, 'non-voting')),
        learner_replicas: int8s(replicaNodes(range, 'learner')),
        split_enforced_until: enforcedUntil(range.stickyUntil),
        ...(info === undefined
          ? {}
          : {
              lease_holder: info.leaseholder === undefined ? null : BigInt(info.leaseholder.nodeId),
              range_size: BigInt(info.sizeBytes),
              live_bytes: BigInt(info.liveBytes),
              key_bytes: BigInt(info.keyBytes),
              value_bytes: BigInt(info.sizeBytes - info.keyBytes),
              intent_bytes: BigInt(info.intentBytes),
              system_bytes: BigInt(info.systemBytes),
              key_count: BigInt(info.liveCount),
              queries_per_second: info.queriesPerSecond,
            }),
      };
    });
  };
}

function int8s(nodes: readonly NodeId[]): Datum {
  return makeArray(oids.int8, nodes.map(BigInt));
}
