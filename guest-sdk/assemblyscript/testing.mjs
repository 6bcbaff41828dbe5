/**
 * A client and a server for unit tests of a handler, for Node: the client is in memory, and the server calls
 * the steps of the built file as the host does.
 *
 *     import { load } from "../sandsock/testing.mjs";
 *
 *     const handler = load("build/hello.wasm");
 *     assert.equal(handler.serve({ sends: "hello,server\n" }).text, "你好");
 */

import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";

/** Errnos of WASI preview 1, as a client fails. */
const ERRNO = { "timed-out": 73, "connection-reset": 15, "broken-pipe": 64, other: 29 };
const MESSAGE_TOO_LONG = 35;
const NOT_SUPPORTED = 52;

/** As the module ABI numbers them. */
const TRANSPORTS = ["tcp", "udp", "unix", "unixgram"];

/** The longest UDP datagram over IPv4: 65,535 less the headers of IP and UDP. */
const LONGEST_DATAGRAM = 65_507;

/** Loads a built handler from a file. */
export function load(file) {
  const module = new WebAssembly.Module(readFileSync(file));
  return {
    /**
     * Serves a client with a fresh instance: `setup`, `handle`, `finish`; no more after an error of `setup` or
     * a trap, but `finish` after an error of `handle`.
     *
     * What the client does, all of it optional:
     *
     * - `sends`: a string, or bytes; over a transport of datagrams, one packet. Then it ends its side.
     * - `pieces`: what it sends comes in pieces of at most so many bytes, as over a slow line.
     * - `thenReadFails`: after that each read fails, in place of the end of input: `"timed-out"` for a client
     *   that falls silent, `"connection-reset"` for one that vanishes.
     * - `takes`: it takes so many bytes, and what is written beyond them fails.
     * - `writeFails`: how that fails: `"broken-pipe"` (if nothing is said) for a client that has gone,
     *   `"timed-out"` for one that does not read.
     * - `transport`: `"tcp"`, `"udp"`, `"unix"` or `"unixgram"`.
     * - `client`, `server`: the addresses; `id`: the request's number.
     *
     * What came of it:
     *
     * - `outcome`: `"ok"`; `"error"`, a step returned one; `"trap"`, the instance ended.
     * - `received`: all that was written, a `Buffer`; `text`: the same, as a string.
     * - `datagrams`: those that were sent, each a `Buffer`.
     * - `log`: the lines that were printed, errors and a trap among them.
     */
    serve(client = {}) {
      return serve(module, client);
    },
  };
}

function serve(module, client) {
  const sends = Buffer.from(client.sends ?? "");
  const pieces = client.pieces ?? Infinity;
  const takes = client.takes ?? Infinity;
  const transport = TRANSPORTS.indexOf(client.transport ?? "tcp");
  if (transport < 0) throw new RangeError(`no such transport: ${client.transport}`);
  const thenReadFails = errno(client.thenReadFails);
  const writeFails = errno(client.writeFails ?? "broken-pipe");
  const isDatagram = transport % 2 === 1;
  const isUnix = transport >= 2;
  const addresses = {
    client: client.client ?? (isUnix ? "" : "127.0.0.1:4711"),
    server: client.server ?? (isUnix ? "/run/handler.sock" : "127.0.0.1:9999"),
  };

  let sent = 0;
  let received = Buffer.alloc(0);
  let flushed = 0;
  const datagrams = [];
  const output = { 1: [], 2: [] };
  const log = [];

  const memory = (start, length) =>
    Buffer.from(instance.exports.memory.buffer, start >>> 0, length >>> 0);
  const copyText = (text) => (start, length) => {
    const bytes = Buffer.from(text);
    bytes.copy(memory(start, length));
    return bytes.length;
  };
  const flush = () => {
    if (isDatagram && received.length > flushed) {
      datagrams.push(received.subarray(flushed));
      flushed = received.length;
    }
    return 0;
  };
  const wasi = {
    fd_write(fd, list, count, written) {
      let total = 0;
      for (let i = 0; i < count; i++) {
        const piece = memory(list + 8 * i, 8);
        const bytes = memory(piece.readUInt32LE(0), piece.readUInt32LE(4));
        for (const byte of bytes) {
          if (byte !== 0x0a) {
            output[fd].push(byte);
          } else {
            log.push(Buffer.from(output[fd].splice(0)).toString());
          }
        }
        total += bytes.length;
      }
      memory(written, 4).writeUInt32LE(total);
      return 0;
    },
    random_get(start, length) {
      randomFillSync(memory(start, length));
      return 0;
    },
  };
  const imports = {
    rfile: {
      read(start, length) {
        if (sent === sends.length && thenReadFails) return -thenReadFails;
        const count = Math.min(length >>> 0, pieces, sends.length - sent);
        sends.copy(memory(start, count), 0, sent, sent + count);
        sent += count;
        return count;
      },
    },
    wfile: {
      write(start, length) {
        const bytes = memory(start, length);
        if (isDatagram && received.length - flushed + bytes.length > LONGEST_DATAGRAM) return -MESSAGE_TOO_LONG;
        const fits = Math.min(bytes.length, takes - received.length);
        received = Buffer.concat([received, bytes.subarray(0, fits)]);
        return fits < bytes.length ? -writeFails : bytes.length;
      },
      flush,
    },
    request: {
      client_address: copyText(addresses.client),
      server_address: copyText(addresses.server),
      transport: () => transport,
      id: () => BigInt(client.id ?? 1),
      // Time does not pass for a client in memory.
      set_timeout: () => 0,
      set_nodelay: () => 0,
    },
    // Of WASI there is what the SDK uses; a handler that calls anything else is told that it is not supported.
    wasi_snapshot_preview1: new Proxy(wasi, { get: (of, name) => of[name] ?? (() => NOT_SUPPORTED) }),
  };

  let instance;
  let outcome = "ok";
  try {
    instance = new WebAssembly.Instance(module, imports);
    const { setup, handle, finish } = instance.exports;
    const steps = setup?.() ? ["setup"] : [handle(), finish?.()];
    if (steps.some(Boolean)) outcome = "error";
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
    outcome = "trap";
    log.push(`trap: ${error.message}`);
  }
  // Of a datagram that was not flushed nothing is sent after a trap.
  if (outcome !== "trap") flush();
  return { outcome, received, datagrams, log, text: received.toString() };
}

function errno(name) {
  if (name === undefined) return 0;
  if (!(name in ERRNO)) throw new RangeError(`no such failure: ${name}`);
  return ERRNO[name];
}
