import type { Handler, Request } from '../sandsock/sandsock.js';

/** Answers a line with a greeting. */
export default class Hello implements Handler {
  handle(request: Request) {
    console.log(`connect from ${request.clientAddress}`);
    console.log(request.rfile.readLine());
    request.wfile.write('你好');
  }
}
