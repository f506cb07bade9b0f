/**
 * What travels on a stream between two nodes: frames, each a msgpack array of messages that were
 * posted in one turn of the event loop. A stream's encoder and decoder share record structures that
 * are sent once, in order, so a frame can only be read by the decoder of its own stream.
 *
 * A frame begins with the sender's node id: a node opens streams before it has one. In front of the msgpack
 * stands its CRC-32: the 16-bit sums of TCP let damage through (Stone and Partridge, "When the CRC and TCP
 * Checksum Disagree", 2000), and what a peer sends is written to the log or answered to a client.
 *
 *   CRC-32 (4 bytes, big-endian), [node id, message, message, ...]
 *   message = [kind, id, method, payload]     kind: 0 message (id 0), 1 call, 2 answer (method ''), 3 failure (payload: text)
 */
import { crc32 } from 'node:zlib';
import { Packr, Unpackr } from 'msgpackr';
import { isCount } from '../util/index.ts';

export const frameKinds = { message: 0, call: 1, answer: 2, failure: 3 } as const;

const checksumBytes = 4;
const kindMax = 3;

export type FrameMessage = readonly [kind: number, id: number, method: string, payload: unknown];

export class FrameEncoder {
  readonly #packr = new Packr({ sequential: true, moreTypes: false, int64AsType: 'bigint' });

  encode(from: number, messages: readonly FrameMessage[]): Buffer {
    // `pack` may hand out a slice of a shared buffer that its next call writes behind; gRPC keeps the frame until it is sent.
    const body = this.#packr.pack([from, ...messages]);
    const frame = Buffer.allocUnsafe(checksumBytes + body.length);
    body.copy(frame, checksumBytes);
    frame.writeUInt32BE(crc32(body), 0);
    return frame;
  }
}

export class FrameDecoder {
  readonly #unpackr = new Unpackr({ sequential: true, moreTypes: false, int64AsType: 'bigint' });

  /** Throws on bytes that are no frame: the stream is then beyond repair and must be closed. */
  decode(frame: Buffer): { readonly from: number; readonly messages: FrameMessage[] } {
    if (frame.length <= checksumBytes) throw new RangeError('a frame is cut off');
    const body = frame.subarray(checksumBytes);
    if (crc32(body) !== frame.readUInt32BE(0)) throw new RangeError('a frame is damaged');
    const parts: unknown = this.#unpackr.unpack(body);
    if (!Array.isArray(parts) || !isCount(parts[0])) {
      throw new RangeError('a frame is a node id and messages');
    }
    const from = parts[0];
    const messages = parts.slice(1).map((message: unknown): FrameMessage => {
      if (
        !Array.isArray(message) ||
        !isCount(message[0]) ||
        message[0] > kindMax ||
        !isCount(message[1]) ||
        typeof message[2] !== 'string'
      ) {
        throw new RangeError('malformed message in frame');
      }
      return [message[0], message[1], message[2], message[3] as unknown];
    });
    return { from, messages };
  }
}
