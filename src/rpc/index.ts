export { GossipNode } from './gossip.ts';
export type { GossipOptions } from './gossip.ts';
export { GrpcTransport } from './grpc-transport.ts';
export type { GrpcTransportOptions } from './grpc-transport.ts';
export { HandlerTable } from './handlers.ts';
export { silenceMaxMs } from './keepalive.ts';
export { LocalNetwork, LocalTransport } from './local-network.ts';
export type { Delivery, DeliveryPolicy } from './local-network.ts';
