/** A handler: Python's three steps. They may be `async`: each is awaited before the next. */
export interface Handler {
  /** Before `handle`. After an error neither `handle` nor `finish` runs. */
  setup?(request: Request): unknown;
  /** Serves the request. An error is logged; the client sees its connection close. */
  handle(request: Request): unknown;
  /** After `handle`, whether it succeeded or threw; not after a trap. */
  finish?(request: Request): unknown;
}

/** What carries a request, as in the scheme of the server's address. */
export type Transport = 'tcp' | 'udp' | 'unix' | 'unixgram';

/** The request that a handler serves. */
export class Request {
  /** What the client sends. */
  readonly rfile: RFile;
  /** What the client receives. */
  readonly wfile: WFile;
  /** The client: `127.0.0.1:4711`, `[::1]:4711`, a path, or empty for an unnamed peer. */
  readonly clientAddress: string;
  /** The address that the request came to, written in the same way. */
  readonly serverAddress: string;
  /** What carries the request. */
  readonly transport: Transport;
  /** The request's number, as in the log. */
  readonly id: bigint;
  /**
   * Python's `timeout`: the longest that each later read and write waits without a byte moving, in
   * milliseconds, rounded up to whole ones. Never beyond what the operator allows; 0 is the operator's.
   *
   * @throws RangeError of a time below 0.
   */
  setTimeout(millis: number): void;
  /** Python's `disable_nagle_algorithm`; where the transport has none, nothing. */
  setNoDelay(on?: boolean): void;
}

/** A limit, in bytes, on what one call keeps of what a client sends. */
export interface Limit {
  /** More than so many bytes are an `IOError` with the code `EMSGSIZE`; none of them is lost. */
  limit?: number;
}

/**
 * What the client sends, buffered in the handler as Python's `rfile` is. Over a datagram it is the
 * packet. Iterated over, it gives the lines, as `readLine` does.
 *
 * Each function throws an `IOError`: `ETIMEDOUT` when no byte came in time, `ECONNRESET` when the
 * client ended the connection by force. What had come before can still be read.
 */
export class RFile implements Iterable<string> {
  /** Up to `n` bytes (64 KiB), and never more than 64 KiB, as soon as one is there; none at the end of input. */
  read(n?: number): Uint8Array;
  /** Exactly `n` bytes. An `IOError` with the code `EOF` when the input ends before. */
  readExactly(n: number): Uint8Array;
  /**
   * A line without its end, `\n` or `\r\n`, as text: bytes that are not UTF-8 become U+FFFD. `null` at
   * the end of input. `limit`, 1 MiB, counts the bytes before `\n`.
   */
  readLine(options?: Limit): string | null;
  /** The lines until the end of input, with a limit of each. */
  lines(options?: Limit): Generator<string, void>;
  [Symbol.iterator](): Generator<string, void>;
  /**
   * The bytes through the next `delimiter` (10, a newline), or all that are left; none at the end of
   * input. `limit`, 1 MiB, counts the bytes before the delimiter.
   */
  readUntil(delimiter?: number, options?: Limit): Uint8Array;
  /** All bytes until the end of input; `limit` is 8 MiB. */
  readAll(options?: Limit): Uint8Array;
}

/**
 * What the client receives, unbuffered as Python's `wfile` is. A datagram client is sent what was
 * written when the request ends.
 *
 * Each function throws an `IOError`: `EPIPE` and `ECONNRESET` when the client has gone, `ETIMEDOUT`
 * when it did not read in time, `EMSGSIZE` when a reply is longer than a datagram can be.
 */
export class WFile {
  /** Sends all of it, text as UTF-8; for a datagram it is collected. Each write is a call of the host. */
  write(data: string | ArrayBufferView | ArrayBuffer): void;
  /** Sends what was written since the last flush as one datagram; over a stream nothing is left to send. */
  flush(): void;
}

/** Why an operation on `rfile` or `wfile` failed, after Node's codes; `EIO` is anything else. */
export type Code = 'ETIMEDOUT' | 'EPIPE' | 'ECONNRESET' | 'EMSGSIZE' | 'EOF' | 'EIO';

/** An error of `rfile` or `wfile`. The handler may catch it and go on. */
export class IOError extends Error {
  constructor(code: Code, message?: string);
  readonly code: Code;
}
