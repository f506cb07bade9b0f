/** How a client proves who it is. The connection calls it once, after the startup packet. */
import { type FrameReader } from './frame-reader.ts';

export interface AuthenticationRequest {
  readonly user: string;
  readonly database: string;
}

/** The conversation an authenticator may hold: SCRAM takes two rounds of it. */
export interface AuthenticationExchange {
  /** Sends AuthenticationXXX with this code and body. */
  send(code: number, body: Buffer): void;
  /** The client's next password message ('p'). */
  receive(): Promise<FrameReader>;
}

export interface Authenticator {
  /** Returns when the client is let in; throws SqlFailure 28000 or 28P01. AuthenticationOk is sent by the connection. */
  authenticate(request: AuthenticationRequest, exchange: AuthenticationExchange): Promise<void>;
}

/** `--insecure`: whoever comes is who they say. Unknown users are refused by the session. */
export const insecureAuthenticator: Authenticator = {
  async authenticate() {},
};
