/** Reads in the way that the first line says, with small limits, and tells what came. */

import { Handler, IOError, RFile, Request, serve } from "../index";
export { setup, handle, finish } from "../index";

class Reader extends Handler {
  handle(request: Request): Error | null {
    const rfile = request.rfile;
    const order = rfile.readLine(100);
    if (order === null) return rfile.error;
    if (order == "lines") return this.lines(request);
    if (order == "threes") return this.pieces(request, (rfile) => rfile.readExactly(3));
    if (order == "all") return this.pieces(request, (rfile) => rfile.readAll(10));
    if (order == "reads") return this.reads(request);
    if (order == "random") return request.wfile.writeText(Math.random().toString());
    if (order == "nested") return request.wfile.writeText(deep(i32.MAX_VALUE).toString());
    if (order == "index") return request.wfile.writeText(new Uint8Array(3)[order.length].toString());
    assert(order == "many", "an order that nobody knows");
    return this.many(request);
  }

  private lines(request: Request): Error | null {
    const rfile = request.rfile;
    while (true) {
      const line = rfile.readLine(6);
      if (line !== null) {
        request.wfile.writeText("[" + line + "]");
        continue;
      }
      const error = rfile.error;
      if (error === null) return null;
      request.wfile.writeText("<" + error.message + ">");
      // Nothing was taken by the call that failed.
      const held = rfile.readExactly(3);
      if (held === null) return rfile.error;
      request.wfile.write(held);
    }
  }

  private pieces(request: Request, next: (rfile: RFile) => Uint8Array | null): Error | null {
    while (true) {
      const piece = next(request.rfile);
      if (piece === null) return request.rfile.error;
      request.wfile.writeText("[");
      request.wfile.write(piece);
      request.wfile.writeText("]");
      if (piece.length == 0) return null;
    }
  }

  private reads(request: Request): Error | null {
    const sizes: i32[] = [1, 5000, 10, 4096, 4095, 20000];
    for (let i = 0; ; i = (i + 1) % sizes.length) {
      const piece = new Uint8Array(sizes[i]);
      const count = request.rfile.read(piece);
      if (count <= 0) return request.rfile.error;
      const error: IOError | null = request.wfile.write(piece.subarray(0, count));
      if (error) return error;
    }
    return null;
  }

  private many(request: Request): Error | null {
    let count = 0;
    while (request.rfile.readLine(1000) !== null) count++;
    return request.wfile.writeText(count.toString() + " lines, " + (memory.size() < 40).toString());
  }
}

function deep(n: i32): i32 {
  return n == 0 ? 0 : deep(n - 1) + (n & 1);
}

serve(new Reader());
