import { type Code, type Handler, Request, type Transport } from './sandsock.js';

/** What a client in memory is like, where it is not as usual. */
export interface Client {
  /** `127.0.0.1:4711` */
  clientAddress?: string;
  /** `127.0.0.1:9999` */
  serverAddress?: string;
  /** `tcp`. Over one of datagrams the input is one packet. */
  transport?: Transport;
  /** `1n` */
  id?: bigint;
  /** The input comes in pieces of at most so many bytes (at least 1), as over a slow line. */
  pieces?: number;
  /**
   * After the input each read fails with this code, in place of the end of input: `ETIMEDOUT` for a
   * client that falls silent, `ECONNRESET` for one that vanishes.
   */
  readFails?: Code;
  /** Writing fails with this code: `EPIPE` for a client that has gone, `ETIMEDOUT` for one that does not read. */
  writeFails?: Code;
  /** Writing fails after so many bytes, which the client still takes (0). */
  writeFailsAfter?: number;
}

/** A request whose client is a unit test: what it sends is given, what it receives is kept. */
export class InMemoryRequest extends Request {
  /** A client that sends `input` and ends its side. */
  constructor(input?: string | ArrayBufferView | ArrayBuffer, client?: Client);
  /** All that was written so far, over whatever transport. */
  readonly written: Uint8Array;
  /** The same as text. */
  readonly writtenText: string;
  /** The datagrams that were sent: by a flush, or at the end of `run`. Over a stream there are none. */
  readonly datagrams: Uint8Array[];
  /** What the handler set, in milliseconds; 0 if nothing. */
  readonly timeout: number;
  /** What the handler set. */
  readonly noDelay: boolean;
}

/**
 * Serves `request` as the host does: `setup`, `handle`, `finish`; no more after an error of `setup`,
 * but `finish` after one of `handle`. At the end what was written to a datagram client and not flushed
 * is sent. Rejects with the first error that a step threw.
 *
 * @param handler What the handler's file exports by default: a class, of which a new instance serves, or an object.
 */
export function run(handler: Handler | (new () => Handler), request: Request): Promise<void>;
