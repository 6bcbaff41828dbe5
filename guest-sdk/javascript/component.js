/**
 * The host of a component: the interfaces of `handler.wit`, and the three functions that it exports.
 *
 * `handler` is the project's own file, by the bundler's `--alias`. All but the functions runs once,
 * while the component is built, and lies in the file as it then is.
 */

import * as request from 'socketserver:handler/request@1.0.0';
import * as rfile from 'socketserver:handler/rfile@1.0.0';
import * as wfile from 'socketserver:handler/wfile@1.0.0';

import exported from 'handler';

import { IOError, Request, checked, newHandler, textOf } from './sandsock.js';

/** Of the WIT's `io-error`. */
const CODES = {
  'timed-out': 'ETIMEDOUT',
  'broken-pipe': 'EPIPE',
  'connection-reset': 'ECONNRESET',
  'message-too-long': 'EMSGSIZE',
  other: 'EIO',
};

/** Of the WIT's `transport-kind`: as in the scheme of the server's address. */
const TRANSPORTS = {
  tcp: 'tcp',
  udp: 'udp',
  'unix-stream': 'unix',
  'unix-datagram': 'unixgram',
};

/** A function of `rfile` or `wfile` whose error is the language's. */
function throwing(call) {
  return (argument) => {
    try {
      return call(argument);
    } catch (error) {
      const { tag, val } = error.payload ?? {};
      throw tag in CODES ? new IOError(CODES[tag], val) : error;
    }
  };
}

const served = new Request({
  read: throwing(rfile.read),
  write: throwing(wfile.write),
  flush: throwing(wfile.flush),
  clientAddress: request.clientAddress,
  serverAddress: request.serverAddress,
  transport: () => TRANSPORTS[request.transport()],
  id: request.id,
  setTimeout: (millis) => request.setTimeout(BigInt(millis)),
  setNoDelay: request.setNodelay,
});

checked(exported);
let handler;

/** Where an error comes from, without the frames of the component's own start. */
function stackOf(error) {
  return String(error?.stack ?? '').replace(/^.*initializer\.js:.*$/gm, '');
}

/** One export of the component: an error has its stack in the log, and its text is what is reported. */
function step(run) {
  return async () => {
    try {
      await run();
    } catch (error) {
      const text = textOf(error);
      console.error(`${text}\n${stackOf(error)}`.trimEnd());
      return { tag: 'err', val: text };
    }
  };
}

export const setup = step(() => {
  handler = newHandler(exported);
  return handler.setup?.(served);
});

export const handle = step(() => handler.handle(served));

export const finish = step(() => handler.finish?.(served));
