/**
 * Request handlers for sandsock, in AssemblyScript.
 *
 * A handler is what Python's socketserver calls a StreamRequestHandler: it reads `request.rfile`, writes
 * `request.wfile`, and does not know whether a TCP connection, a Unix stream or a datagram stands behind
 * them. Each request has an instance of its own, with fresh memory.
 *
 * | file          | concept                                                    |
 * |---------------|------------------------------------------------------------|
 * | `index.ts`    | `Handler`, its three steps, and what becomes of an error   |
 * | `request.ts`  | `Request`: what is known of the request                    |
 * | `rfile.ts`    | what the client sends                                      |
 * | `wfile.ts`    | what the client receives                                   |
 * | `errors.ts`   | `IOError`: why reading or writing failed                   |
 * | `utf8.ts`     | a client's bytes as a string                               |
 * | `globals.ts`  | `console`, `abort` and `seed` of the language              |
 * | `host.ts`     | the imports                                                |
 * | `testing.mjs` | a client and a server for unit tests, for Node             |
 */

import { console } from "./globals";
import { Request } from "./request";

export { ErrorKind, IOError } from "./errors";
export { Request, Transport } from "./request";
export { RFile } from "./rfile";
export { textOf } from "./utf8";
export { WFile } from "./wfile";

/**
 * Serves one request, in the three steps of Python's `BaseRequestHandler`.
 *
 * A step returns `null`, or the error that it ends with: it is logged and closes the connection; of what
 * it says, nothing reaches the client. What is thrown, AssemblyScript cannot catch: it ends the instance,
 * and no later step runs.
 */
export abstract class Handler {
  /** Before `handle`. After an error neither `handle` nor `finish` runs. */
  setup(request: Request): Error | null {
    return null;
  }

  /** Serves the request. */
  abstract handle(request: Request): Error | null;

  /** After `handle`, whether it succeeded or returned an error. */
  finish(request: Request): Error | null {
    return null;
  }
}

let served: Handler | null = null;
const request = new Request();

/** Makes `handler` the one of this program. Once, at the top level of the entry file. */
export function serve(handler: Handler): void {
  served = handler;
}

/** For the host. The entry file exports the three steps: `export { setup, handle, finish } from "../sandsock";` */
export function setup(): i32 {
  return outcome(handler().setup(request));
}

/** For the host. */
export function handle(): i32 {
  return outcome(handler().handle(request));
}

/** For the host. */
export function finish(): i32 {
  return outcome(handler().finish(request));
}

function handler(): Handler {
  const handler = served;
  if (handler === null) throw new Error("no handler: call serve(new MyHandler()) in the entry file");
  return handler;
}

/** 0, or 1 and the error's text in the log. */
function outcome(error: Error | null): i32 {
  if (error === null) return 0;
  console.error(error.message);
  return 1;
}
