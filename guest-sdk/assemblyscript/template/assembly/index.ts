/** A request handler for sandsock. */

import { Handler, Request, serve } from "../sandsock";
export { setup, handle, finish } from "../sandsock";

/** Answers a line with a greeting. */
class Hello extends Handler {
  handle(request: Request): Error | null {
    console.log("connect from " + request.clientAddress);
    const line = request.rfile.readLine(8192);
    if (line === null) return request.rfile.error;
    console.log(line);
    return request.wfile.writeText("你好");
  }
}

serve(new Hello());
