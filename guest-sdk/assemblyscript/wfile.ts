/** What the client receives. */

import { IOError, errorOf } from "./errors";
import { wfile_flush, wfile_write } from "./host";

/**
 * What the client receives, unbuffered as Python's `wfile` is.
 *
 * A write sends all of it and is done when the last byte is the system's. For a datagram it is collected
 * until `flush` or the end of the request. Each write is a call of the host: of many small pieces make one.
 *
 * Errors: `BrokenPipe` and `ConnectionReset` when the client has gone, `TimedOut` when it did not read in
 * time, `MessageTooLong` when a reply is longer than a datagram can be. How much was sent before an error is
 * not known.
 */
export class WFile {
  /** Sends `bytes`; `null`, or why that failed. */
  write(bytes: Uint8Array): IOError | null {
    return failure(wfile_write(bytes.dataStart, bytes.length));
  }

  /** Sends `text` as UTF-8; `null`, or why that failed. */
  writeText(text: string): IOError | null {
    const len = <usize>String.UTF8.byteLength(text);
    const buf = heap.alloc(len);
    String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, buf, false, String.UTF8.ErrorMode.REPLACE);
    const result = wfile_write(buf, len);
    heap.free(buf);
    return failure(result);
  }

  /**
   * Sends what was written since the last flush as one datagram; nothing written, nothing sent. Over a stream
   * nothing is held back, and it does nothing. `null`, or why that failed.
   */
  flush(): IOError | null {
    return failure(wfile_flush());
  }
}

function failure(result: i32): IOError | null {
  return result < 0 ? errorOf(result) : null;
}
