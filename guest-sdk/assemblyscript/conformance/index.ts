/** The handler that every SDK of sandsock is held to, in AssemblyScript. */

import { ErrorKind, Handler, Request, serve, textOf } from "../index";
export { setup, handle, finish } from "../index";

/** The longest line that is read. */
const LIMIT = 1 << 20;

class Conformance extends Handler {
  private line: string = "";
  private isEmpty: bool = false;

  setup(request: Request): Error | null {
    const line = request.rfile.readLine(LIMIT);
    if (line === null) {
      this.isEmpty = true;
      return request.rfile.error;
    }
    if (line == "refuse") return new Error("refused in setup");
    this.line = line;
    return null;
  }

  handle(request: Request): Error | null {
    const wfile = request.wfile;
    const line = this.line;
    if (this.isEmpty) return wfile.writeText("empty\n");
    if (line == "hello") {
      const name = request.rfile.readLineBytes(LIMIT);
      if (request.rfile.error) return request.rfile.error;
      return wfile.write(joined(encoded("hello, "), name, encoded("\n")));
    }
    if (line == "echo") return echo(request);
    if (line == "lines") return lines(request);
    if (line == "mixed") return mixed(request);
    if (line.startsWith("timeout ")) return timeout(request, <u32>parseInt(line.substring(8)));
    if (line == "datagrams") return datagrams(request);
    if (line == "about") {
      return wfile.writeText(
        request.clientAddress + "\n" + request.serverAddress + "\n" +
        request.scheme + "\n" + request.id.toString() + "\n",
      );
    }
    if (line == "random") return wfile.writeText(Math.random().toString() + "\n");
    if (line.startsWith("print ")) {
      console.log(line.substring(6));
      return wfile.writeText("printed\n");
    }
    if (line == "pour") {
      const piece = new Uint8Array(64 * 1024).fill(0x78);
      while (true) {
        const error = wfile.write(piece);
        if (error) return error;
      }
    }
    if (line == "steps") return wfile.writeText("handle\n");
    if (line.startsWith("fail ")) {
      const error = wfile.writeText("before\n");
      return error ? error : new Error(line.substring(5));
    }
    if (line.startsWith("crash ")) {
      const error = wfile.writeText("before\n");
      if (error) return error;
      throw new Error(line.substring(6));
    }
    return new Error("no such order: " + line);
  }

  finish(request: Request): Error | null {
    const line = this.line;
    if (line == "steps" || line.startsWith("fail") || line.startsWith("crash")) {
      return request.wfile.writeText("finish\n");
    }
    return null;
  }
}

function echo(request: Request): Error | null {
  const buffer = new Uint8Array(64 * 1024);
  while (true) {
    const count = request.rfile.read(buffer);
    if (count <= 0) return request.rfile.error;
    const error = request.wfile.write(buffer.subarray(0, count));
    if (error) return error;
  }
}

function lines(request: Request): Error | null {
  while (true) {
    const line = request.rfile.readLineBytes(LIMIT);
    if (line === null) return request.rfile.error;
    const text = textOf(line);
    if (text == "quit") return request.wfile.writeText("bye\n");
    const words = text.split(" ");
    const sums = words.length == 3 && words[0] == "add" && isWhole(words[1]) && isWhole(words[2]);
    const error = sums
      ? request.wfile.writeText((I64.parseInt(words[1]) + I64.parseInt(words[2])).toString() + "\n")
      : request.wfile.write(joined(encoded("error: what is `"), line, encoded("`?\n")));
    if (error) return error;
  }
}

function isWhole(text: string): bool {
  const first = text.startsWith("-") ? 1 : 0;
  for (let i = first; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return false;
  }
  return text.length > first;
}

function mixed(request: Request): Error | null {
  const rfile = request.rfile;
  const three = rfile.readExactly(3);
  if (three === null) return rfile.error;
  const line = rfile.readLineBytes(LIMIT);
  if (rfile.error) return rfile.error;
  const rest = rfile.readAll(16 << 20);
  if (rest === null) return rfile.error;
  const head = joined(joined(encoded("["), three, encoded("][")), line, encoded("]["));
  return request.wfile.write(joined(head, rest, encoded("]")));
}

function timeout(request: Request, millis: u32): Error | null {
  request.setTimeout(millis);
  const line = request.rfile.readLineBytes(LIMIT);
  const error = request.rfile.error;
  if (error) {
    return error.kind == ErrorKind.TimedOut ? request.wfile.writeText("timed out\n") : error;
  }
  return request.wfile.write(joined(encoded("got "), line, encoded("\n")));
}

function datagrams(request: Request): Error | null {
  let error = request.wfile.writeText("one");
  if (!error) error = request.wfile.flush();
  if (!error) error = request.wfile.writeText("two");
  if (!error) error = request.wfile.flush();
  return error;
}

/** `a`, `b` and `c`, one after the other; `null` is nothing. */
function joined(a: Uint8Array, b: Uint8Array | null, c: Uint8Array): Uint8Array {
  const middle = b === null ? new Uint8Array(0) : b;
  const bytes = new Uint8Array(a.length + middle.length + c.length);
  bytes.set(a);
  bytes.set(middle, a.length);
  bytes.set(c, a.length + middle.length);
  return bytes;
}

function encoded(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

serve(new Conformance());
