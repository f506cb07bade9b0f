/**
 * What travels on a stream between two nodes: frames, each a msgpack array of messages that were
 * posted in one turn of the event loop. A stream's encoder and decoder share record structures that
 * are sent once, in order, so a frame can only be read by the decoder of its own stream.
 *
 * A frame begins with the sender's node id: a node opens streams before it has one.
 *
 *   [node id, message, message, ...]
 *   message = [kind, id, method, payload]     kind: 0 message (id 0), 1 call, 2 answer (method ''), 3 failure (payload: text)
 */
import { Packr, Unpackr } from 'msgpackr';

export const frameKinds = { message: 0, call: 1, answer: 2, failure: 3 } as const;

export type FrameMessage = readonly [kind: number, id: number, method: string, payload: unknown];

export class FrameEncoder {
  readonly #packr = new Packr({ sequential: true, moreTypes: false, int64AsType: 'bigint' });

  encode(from: number, messages: readonly FrameMessage[]): Buffer {
    // `pack` may hand out a slice of a shared buffer that its next call writes behind; gRPC keeps the frame until it is sent.
    return Buffer.from(this.#packr.pack([from, ...messages]));
  }
}

export class FrameDecoder {
  readonly #unpackr = new Unpackr({ sequential: true, moreTypes: false, int64AsType: 'bigint' });

  /** Throws on bytes that are no frame: the stream is then beyond repair and must be closed. */
  decode(frame: Buffer): { readonly from: number; readonly messages: FrameMessage[] } {
    const parts: unknown = this.#unpackr.unpack(frame);
    if (!Array.isArray(parts) || typeof parts[0] !== 'number') {
      throw new RangeError('a frame is a node id and messages');
    }
    const from = parts[0];
    const messages = parts.slice(1).map((message: unknown): FrameMessage => {
      if (
        !Array.isArray(message) ||
        typeof message[0] !== 'number' ||
        typeof message[1] !== 'number' ||
        typeof message[2] !== 'string'
      ) {
        throw new RangeError('malformed message in frame');
      }
      return [message[0], message[1], message[2], message[3] as unknown];
    });
    return { from, messages };
  }
}
