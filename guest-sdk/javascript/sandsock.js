/**
 * Request handlers for sandsock, in JavaScript.
 *
 * A handler is what Python's `socketserver` calls a `StreamRequestHandler`: it reads `rfile`, writes
 * `wfile`, and does not know whether a TCP connection, a Unix stream or a datagram stands behind
 * them. The types, with what each item does, are in `sandsock.d.ts`.
 *
 * | file | concept |
 * |---|---|
 * | `sandsock.js` | the request, what the client sends, what it receives, and errors |
 * | `component.js` | the host of a component: the interfaces of `handler.wit`, and what it exports |
 * | `build.js` | bundles a handler and makes the component |
 * | `testing.js` | a client and a server for unit tests, under Node |
 *
 * Both hosts are an object with the functions `read(len)`, `write(bytes)`, `flush()`,
 * `clientAddress()`, `serverAddress()`, `transport()`, `id()`, `setTimeout(millis)` and
 * `setNoDelay(on)`, where the first three throw an `IOError`.
 */

/** What is asked for of a client that sends little: the host makes room for as much. */
const SMALL = 4096;

/** What is asked for once a client has sent as much as `SMALL`, and the most that one read gives. */
const LARGE = 64 * 1024;

/** Writes are cut into pieces of this size, each copied once; longer than any datagram. */
const PIECE = 256 * 1024;

/** The default limit of a line, in bytes. */
const LINE_LIMIT = 1024 * 1024;

/** The default limit of `readAll`, in bytes. */
const ALL_LIMIT = 8 * 1024 * 1024;

const NEWLINE = 10;
const RETURN = 13;
const NOTHING = new Uint8Array(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

const WORDS = {
  ETIMEDOUT: 'timed out',
  EPIPE: 'broken pipe',
  ECONNRESET: 'connection reset',
  EMSGSIZE: 'message too long',
  EOF: 'end of input',
  EIO: 'input/output error',
};

export class IOError extends Error {
  constructor(code, message = WORDS[code]) {
    super(message);
    this.code = code;
  }
}
// On the prototype, as of the language's own errors: not a property of each error.
Object.defineProperty(IOError.prototype, 'name', { value: 'IOError' });

export class Request {
  #host;

  constructor(host) {
    this.#host = host;
    this.rfile = new RFile(host);
    this.wfile = new WFile(host);
  }

  get clientAddress() {
    return this.#host.clientAddress();
  }

  get serverAddress() {
    return this.#host.serverAddress();
  }

  get transport() {
    return this.#host.transport();
  }

  get id() {
    return this.#host.id();
  }

  setTimeout(millis) {
    if (!(millis >= 0)) throw new RangeError(`not a time in milliseconds: ${millis}`);
    this.#host.setTimeout(Math.min(Math.ceil(millis), Number.MAX_SAFE_INTEGER));
  }

  setNoDelay(on = true) {
    this.#host.setNoDelay(Boolean(on));
  }
}

export class RFile {
  #host;
  // What has been received and not read lies in `#buffer` from `#start` to `#end`. `#buffer` only
  // grows by a new one, so that what was handed out never changes.
  #buffer = NOTHING;
  #start = 0;
  #end = 0;
  #ask = SMALL;

  constructor(host) {
    this.#host = host;
  }

  read(n = LARGE) {
    count(n);
    if (n === 0) return NOTHING;
    if (this.#held === 0) {
      if (n >= SMALL) return this.#host.read(Math.min(n, LARGE));
      this.#receive();
    }
    return this.#take(Math.min(n, this.#held));
  }

  readExactly(n) {
    count(n);
    while (this.#held < n) {
      if (!this.#receive()) {
        throw new IOError('EOF', `end of input after ${this.#held} of ${n} bytes`);
      }
    }
    return this.#take(n);
  }

  readUntil(delimiter = NEWLINE, { limit = LINE_LIMIT } = {}) {
    let searched = 0;
    for (;;) {
      const found = this.#buffer.subarray(this.#start + searched, this.#end).indexOf(delimiter);
      searched = found < 0 ? this.#held : searched + found;
      if (searched > limit) throw new IOError('EMSGSIZE', `more than ${limit} bytes in a line`);
      if (found >= 0) return this.#take(searched + 1);
      if (!this.#receive()) return this.#take(searched);
    }
  }

  readLine(options) {
    const line = this.readUntil(NEWLINE, options);
    let end = line.length;
    if (end === 0) return null;
    if (line[end - 1] === NEWLINE) {
      end -= 1;
      if (end > 0 && line[end - 1] === RETURN) end -= 1;
    }
    return decoder.decode(line.subarray(0, end));
  }

  *lines(options) {
    for (let line; (line = this.readLine(options)) !== null; ) yield line;
  }

  [Symbol.iterator]() {
    return this.lines();
  }

  readAll({ limit = ALL_LIMIT } = {}) {
    do {
      if (this.#held > limit) throw new IOError('EMSGSIZE', `more than ${limit} bytes of input`);
    } while (this.#receive());
    return this.#take(this.#held);
  }

  get #held() {
    return this.#end - this.#start;
  }

  /** Receives what comes next, behind what is held; false at the end of input. */
  #receive() {
    const piece = this.#host.read(this.#ask);
    this.#ask = piece.length < SMALL ? SMALL : LARGE;
    const held = this.#held;
    if (held === 0) {
      this.#buffer = piece;
      this.#start = 0;
      this.#end = piece.length;
      return piece.length > 0;
    }
    if (this.#end + piece.length > this.#buffer.length) {
      // More than is needed: however small the pieces of a line are, its bytes are copied but a few times.
      const larger = new Uint8Array(Math.max(Math.ceil(1.5 * (held + piece.length)), SMALL));
      larger.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = larger;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(piece, this.#end);
    this.#end += piece.length;
    return piece.length > 0;
  }

  /** The next `n` bytes of what is held: all of it as it lies there, a part as a copy. */
  #take(n) {
    const end = this.#start + n;
    if (end < this.#end) {
      const part = this.#buffer.slice(this.#start, end);
      this.#start = end;
      return part;
    }
    const all = this.#buffer.subarray(this.#start, end);
    this.#buffer = NOTHING;
    this.#start = 0;
    this.#end = 0;
    return all;
  }
}

export class WFile {
  #host;

  constructor(host) {
    this.#host = host;
  }

  write(data) {
    const bytes = bytesOf(data);
    for (let at = 0; at < bytes.length; at += PIECE) {
      this.#host.write(bytes.subarray(at, at + PIECE));
    }
  }

  flush() {
    this.#host.flush();
  }
}

/** A text in UTF-8, or the bytes of a typed array, a `DataView` or an `ArrayBuffer`. */
export function bytesOf(data) {
  if (typeof data === 'string') return encoder.encode(data);
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new TypeError(`neither text nor bytes: ${typeof data}`);
}

function count(n) {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`not a number of bytes: ${n}`);
}

/** A new handler of what a handler's file exports by default: of a class an instance, or the object. */
export function newHandler(exported) {
  return typeof exported === 'function' ? new exported() : exported;
}

/** `exported`, where it can be a handler; for a message while a handler is built, not while it serves. */
export function checked(exported) {
  const handler = typeof exported === 'function' ? exported.prototype : exported;
  if (typeof handler?.handle !== 'function') {
    throw new TypeError('the default export is neither a class nor an object with a function `handle`');
  }
  return exported;
}

/** How an error reads in the log: `TypeError: text`, of a plain `Error` its text, then its causes. */
export function textOf(error) {
  const texts = [];
  let cause = error;
  // As many causes as anybody reads: they could go round in a circle.
  do {
    try {
      texts.push(String(cause).replace(/^Error: /, ''));
    } catch {
      texts.push('an error that cannot be shown');
    }
    cause = cause?.cause;
  } while (cause !== undefined && texts.length < 8);
  return texts.join(': ');
}
