export { insecureAuthenticator } from './authenticator.ts';
export type {
  AuthenticationExchange,
  AuthenticationRequest,
  Authenticator,
} from './authenticator.ts';
export { Connection, defaultConnectionLimits } from './connection.ts';
export type { ConnectionLimits, ConnectionOptions, ConnectionPort } from './connection.ts';
export { PgListener } from './listener.ts';
export type { PgListenerOptions, SocketLike } from './listener.ts';
