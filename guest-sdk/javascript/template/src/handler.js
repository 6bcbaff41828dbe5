/** Answers a line with a greeting. */
export default class Hello {
  handle(request) {
    console.log(`connect from ${request.clientAddress}`);
    console.log(request.rfile.readLine());
    request.wfile.write('你好');
  }
}
