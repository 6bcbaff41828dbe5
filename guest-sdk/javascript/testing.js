/** A client and a server for unit tests, under Node. The types, with what each item does, are in `testing.d.ts`. */

import { IOError, Request, bytesOf, checked, newHandler } from './sandsock.js';

/** The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP. */
const LONGEST_DATAGRAM = 65_507;

export class InMemoryRequest extends Request {
  #host;

  constructor(input = '', options = {}) {
    const host = new InMemoryHost(bytesOf(input), options);
    super(host);
    this.#host = host;
  }

  get written() {
    return joined(this.#host.writes);
  }

  get writtenText() {
    return new TextDecoder().decode(this.written);
  }

  get datagrams() {
    return this.#host.datagrams;
  }

  get timeout() {
    return this.#host.timeout;
  }

  get noDelay() {
    return this.#host.noDelay;
  }
}

export async function run(exported, request) {
  try {
    const handler = newHandler(checked(exported));
    await handler.setup?.(request);
    const errors = [];
    for (const step of ['handle', 'finish']) {
      try {
        await handler[step]?.(request);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  } finally {
    request.wfile.flush();
  }
}

class InMemoryHost {
  timeout = 0;
  noDelay = false;
  writes = [];
  datagrams = [];
  #collected = [];
  #unread;
  #options;

  constructor(input, options) {
    this.#unread = input.slice();
    this.#options = {
      clientAddress: '127.0.0.1:4711',
      serverAddress: '127.0.0.1:9999',
      transport: 'tcp',
      id: 1n,
      pieces: Infinity,
      readFails: undefined,
      writeFails: undefined,
      writeFailsAfter: 0,
      ...options,
    };
  }

  read(len) {
    const { pieces, readFails } = this.#options;
    if (this.#unread.length === 0 && readFails) throw new IOError(readFails);
    const piece = this.#unread.slice(0, Math.min(len, pieces));
    this.#unread = this.#unread.subarray(piece.length);
    return piece;
  }

  write(bytes) {
    const { writeFails, writeFailsAfter } = this.#options;
    if (this.#isDatagram && joined(this.#collected).length + bytes.length > LONGEST_DATAGRAM) {
      throw new IOError('EMSGSIZE');
    }
    const room = writeFails ? writeFailsAfter - joined(this.writes).length : Infinity;
    const taken = bytes.slice(0, Math.min(bytes.length, room));
    this.writes.push(taken);
    this.#collected.push(taken);
    if (taken.length < bytes.length) throw new IOError(writeFails);
  }

  flush() {
    const datagram = joined(this.#collected);
    this.#collected = [];
    if (this.#isDatagram && datagram.length > 0) this.datagrams.push(datagram);
  }

  clientAddress() {
    return this.#options.clientAddress;
  }

  serverAddress() {
    return this.#options.serverAddress;
  }

  transport() {
    return this.#options.transport;
  }

  id() {
    return this.#options.id;
  }

  /** Time does not pass for a client in memory. */
  setTimeout(millis) {
    this.timeout = millis;
  }

  setNoDelay(on) {
    this.noDelay = on;
  }

  get #isDatagram() {
    return ['udp', 'unixgram'].includes(this.#options.transport);
  }
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
