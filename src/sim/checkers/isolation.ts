/** Isolation levels, and which anomalies of list appends each of them permits (Adya 1999). */

/** 'strict' is serializable, and in an order that agrees with real time throughout (`strict_serializability`). */
export const isolationLevels = [
  'serializable',
  'repeatable read',
  'read committed',
  'strict',
] as const;

export type IsolationLevel = (typeof isolationLevels)[number];

export function isSerializable(isolation: IsolationLevel): boolean {
  return isolation === 'serializable' || isolation === 'strict';
}

/** REPEATABLE READ is snapshot isolation: write skew alone. READ COMMITTED takes a snapshot for each statement. */
export function permittedOfAppends(isolation: IsolationLevel): readonly string[] {
  if (isolation === 'read committed') return [...skews, ...readSkews];
  return isolation === 'repeatable read' ? skews : [];
}

const skews = withOrders('G2-item');
const readSkews = [
  ...withOrders('G-single-item'),
  ...withOrders('G-nonadjacent-item'),
  'lost-update',
  'non-repeatable-read',
];

function withOrders(anomaly: string): string[] {
  return [anomaly, `${anomaly}-process`, `${anomaly}-realtime`];
}
