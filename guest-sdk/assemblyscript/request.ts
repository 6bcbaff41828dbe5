/** What is known of the request. */

import * as host from "./host";
import { RFile } from "./rfile";
import { decode } from "./utf8";
import { WFile } from "./wfile";

/** What carries a request, as the module ABI numbers them. */
export enum Transport {
  Tcp,
  Udp,
  UnixStream,
  UnixDatagram,
}

/** The request that a `Handler` serves. */
export class Request {
  /** What the client sends. */
  readonly rfile: RFile = new RFile();

  /** What the client receives. */
  readonly wfile: WFile = new WFile();

  /** The client: `127.0.0.1:4711`, `[::1]:4711`, a path, or empty for an unnamed peer. */
  get clientAddress(): string {
    return text(host.client_address);
  }

  /** The address that the request came to, written in the same way. */
  get serverAddress(): string {
    return text(host.server_address);
  }

  /** What carries the request. */
  get transport(): Transport {
    return host.transport();
  }

  /** The scheme of the server's address: `tcp`, `udp`, `unix` or `unixgram`. */
  get scheme(): string {
    switch (this.transport) {
      case Transport.Tcp:
        return "tcp";
      case Transport.Udp:
        return "udp";
      case Transport.UnixStream:
        return "unix";
      default:
        return "unixgram";
    }
  }

  /** Whether `rfile` is one packet and `wfile` sends packets. */
  get isDatagram(): bool {
    const transport = this.transport;
    return transport == Transport.Udp || transport == Transport.UnixDatagram;
  }

  /** The request's number, as in the log. */
  get id(): u64 {
    return host.id();
  }

  /**
   * Python's `timeout`, in milliseconds: the longest that each later read and write waits without a byte
   * moving. It is never beyond what the operator allows; 0 is the operator's.
   */
  setTimeout(millis: u32): void {
    host.set_timeout(millis);
  }

  /** Python's `disable_nagle_algorithm`; where the transport has none, nothing. */
  setNodelay(on: bool): void {
    host.set_nodelay(on ? 1 : 0);
  }
}

/** A text of the host, which returns its full length and copies what fits. */
function text(copy: (buf: usize, len: usize) => i32): string {
  // Room for the longest path of a Unix socket (108 bytes), so that one call is enough.
  let room: usize = 112;
  let buf = heap.alloc(room);
  let len = <usize>max(copy(buf, room), 0);
  if (len > room) {
    buf = heap.realloc(buf, len);
    room = len;
    len = min(<usize>max(copy(buf, room), 0), room);
  }
  const address = decode(buf, len);
  heap.free(buf);
  return address;
}
