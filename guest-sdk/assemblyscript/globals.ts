/**
 * What AssemblyScript's own `console`, `throw`, `assert` and `Math.random` come to here.
 *
 * The compiler would import them of a browser. `asconfig.json` names those of this file in their place
 * (`use`).
 */

import { fd_write, random_get } from "./host";

/** The server's log: a line is one event. */
export namespace console {
  /** A line of standard output. */
  export function log(text: string): void {
    print(1, text);
  }

  /** The same. */
  export function info(text: string): void {
    print(1, text);
  }

  /** A line of standard error. */
  export function error(text: string): void {
    print(2, text);
  }

  /** The same. */
  export function warn(text: string): void {
    print(2, text);
  }
}

/** What `throw` and a failed `assert` come to: the text is logged, and the instance ends. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const text = message === null ? "abort" : message;
  const where = file === null ? "" : file;
  console.error(text + " (" + where + ":" + line.toString() + ":" + column.toString() + ")");
  unreachable();
}

/** The seed of `Math.random`. */
export function seed(): f64 {
  const random = heap.alloc(8);
  random_get(random, 8);
  const bits = load<u64>(random);
  heap.free(random);
  return reinterpret<f64>(bits);
}

/** Two numbers of WASI's `ciovec`, and the count of bytes that were written. */
const HEAD: usize = 12;

/** Writes a line. A log that cannot be written leaves nobody to tell. */
function print(fd: i32, text: string): void {
  const len = <usize>String.UTF8.byteLength(text) + 1;
  const piece = heap.alloc(HEAD + len);
  String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, piece + HEAD, false, String.UTF8.ErrorMode.REPLACE);
  store<u8>(piece + HEAD + len - 1, 0x0a);
  for (let done: usize = 0; done < len; done += load<u32>(piece, 8)) {
    store<u32>(piece, <u32>(piece + HEAD + done));
    store<u32>(piece, <u32>(len - done), 4);
    if (fd_write(fd, piece, 1, piece + 8) != 0 || load<u32>(piece, 8) == 0) break;
  }
  heap.free(piece);
}
