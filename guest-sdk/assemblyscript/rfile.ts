/** What the client sends. */

import { ErrorKind, IOError, errorOf } from "./errors";
import { rfile_read } from "./host";
import { decode } from "./utf8";

/** What a client that sends little fits into. From this size on `read` goes past an empty buffer. */
const SMALL: usize = 4096;

/**
 * What the client sends, buffered in the guest as Python's `rfile` is.
 *
 * AssemblyScript has no exceptions that could be caught: what a method cannot return is `null` (`read`: -1),
 * and `error` says why. At the end of input that is `null`, too:
 *
 *     const line = request.rfile.readLine(8192);
 *     if (line === null) return request.rfile.error;
 *
 * A call that fails takes nothing from the input: after a timeout it may be made again.
 *
 * Errors: `TimedOut` when no byte came in time, `ConnectionReset` when the client ended the connection by
 * force, `LimitExceeded` and `UnexpectedEnd` as the methods say.
 */
export class RFile {
  /** Why the last call failed; `null` if it did not, or found the end of input. */
  error: IOError | null = null;

  /** What was received ahead of the handler's reads lies in `buffer`, from `start` to `end`. */
  private buffer: usize = 0;
  private size: usize = 0;
  private start: usize = 0;
  private end: usize = 0;

  /**
   * Reads up to as many bytes as `into` has room for, as soon as one is there, and returns their number. 0 is
   * the end of input, which for a datagram is the end of the packet; -1 is an error.
   */
  read(into: Uint8Array): i32 {
    this.error = null;
    const room = <usize>into.length;
    if (room == 0) return 0;
    if (this.start == this.end) {
      if (room >= SMALL) return this.check(rfile_read(into.dataStart, room));
      const count = this.receive();
      if (count <= 0) return count;
    }
    const count = min(room, this.end - this.start);
    memory.copy(into.dataStart, this.buffer + this.start, count);
    this.start += count;
    return <i32>count;
  }

  /**
   * Reads a line and returns it without its end, `\n` or `\r\n`; bytes that are not UTF-8 become U+FFFD. The
   * last line may have no end. `null` is the end of input or an error: `LimitExceeded` for a line of more than
   * `limit` bytes, its end included.
   */
  readLine(limit: u32): string | null {
    const len = this.line(limit);
    if (len < 0) return null;
    const text = decode(this.buffer + this.start, this.withoutEnd(len));
    this.start += len;
    return text;
  }

  /** As `readLine`, but the bytes as they are. */
  readLineBytes(limit: u32): Uint8Array | null {
    const len = this.line(limit);
    if (len < 0) return null;
    const bytes = this.copy(this.withoutEnd(len));
    this.start += len;
    return bytes;
  }

  /** Reads `count` bytes; `null` is an error: `UnexpectedEnd` if the input has fewer. */
  readExactly(count: u32): Uint8Array | null {
    this.error = null;
    while (this.end - this.start < count) {
      const more = this.receive();
      if (more < 0) return null;
      if (more == 0) {
        this.error = new IOError(ErrorKind.UnexpectedEnd, "the input ended too early");
        return null;
      }
    }
    const bytes = this.copy(count);
    this.start += count;
    return bytes;
  }

  /** Reads all until the end of input; `null` is an error: `LimitExceeded` if that is more than `limit` bytes. */
  readAll(limit: u32): Uint8Array | null {
    this.error = null;
    for (let more = 1; more != 0; ) {
      if (this.end - this.start > limit) return this.exceeded("input");
      more = this.receive();
      if (more < 0) return null;
    }
    const bytes = this.copy(this.end - this.start);
    this.start = this.end;
    return bytes;
  }

  /** The length of the next line, which is in the buffer then, with its end; or -1. */
  private line(limit: usize): isize {
    this.error = null;
    let searched: usize = 0;
    while (true) {
      const held = this.end - this.start;
      const until = min(held, limit);
      for (; searched < until; searched++) {
        if (load<u8>(this.buffer + this.start + searched) == 0x0a) return searched + 1;
      }
      if (held > limit) {
        this.exceeded("line");
        return -1;
      }
      const more = this.receive();
      if (more < 0) return -1;
      if (more == 0) return held == 0 ? -1 : held;
    }
  }

  /** The first `len` bytes of what is held, which are a line: how many they are without its end. */
  private withoutEnd(len: usize): usize {
    const line = this.buffer + this.start;
    if (load<u8>(line + len - 1) != 0x0a) return len;
    return len > 1 && load<u8>(line + len - 2) == 0x0d ? len - 2 : len - 1;
  }

  /** The first `len` bytes of what is held. */
  private copy(len: usize): Uint8Array {
    const bytes = new Uint8Array(<i32>len);
    memory.copy(bytes.dataStart, this.buffer + this.start, len);
    return bytes;
  }

  /** Receives more behind what is held; the count, 0 at the end of input, or -1. */
  private receive(): i32 {
    const held = this.end - this.start;
    if (held == 0 || this.end == this.size) {
      // To the front: an empty buffer is used from its start, and a full one has its room there.
      memory.copy(this.buffer, this.buffer + this.start, held);
      this.start = 0;
      this.end = held;
    }
    if (this.end == this.size) {
      this.size = max(this.size << 1, SMALL);
      this.buffer = this.buffer == 0 ? heap.alloc(this.size) : heap.realloc(this.buffer, this.size);
    }
    const count = this.check(rfile_read(this.buffer + this.end, this.size - this.end));
    if (count > 0) this.end += count;
    return count;
  }

  private check(result: i32): i32 {
    if (result >= 0) return result;
    this.error = errorOf(result);
    return -1;
  }

  private exceeded(what: string): Uint8Array | null {
    this.error = new IOError(ErrorKind.LimitExceeded, what + " too long");
    return null;
  }
}
