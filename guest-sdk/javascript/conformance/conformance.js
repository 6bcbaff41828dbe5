/** What every SDK is held to: see `guest-sdk/conformance/README.md`. */

const POUR = 'x'.repeat(64 * 1024);

const decoder = new TextDecoder();

/** A line as bytes, without its end. */
function readLine(rfile) {
  const line = rfile.readUntil();
  const end = line.at(-1) !== 10 ? line.length : line.at(-2) === 13 ? line.length - 2 : line.length - 1;
  return line.subarray(0, end);
}

export default class Conformance {
  setup(request) {
    const first = request.rfile.readUntil();
    this.empty = first.length === 0;
    this.line = decoder.decode(first).replace(/\r?\n$/, '');
    if (this.line === 'refuse') throw new Error('refused in setup');
  }

  handle(request) {
    const { rfile, wfile } = request;
    const space = this.line.indexOf(' ');
    const order = space < 0 ? this.line : this.line.slice(0, space);
    const text = space < 0 ? '' : this.line.slice(space + 1);
    if (this.empty) return wfile.write('empty\n');
    switch (order) {
      case 'hello': {
        const line = readLine(rfile);
        wfile.write('hello, ');
        wfile.write(line);
        wfile.write('\n');
        break;
      }
      case 'echo':
        for (let bytes; (bytes = rfile.read()).length > 0; ) wfile.write(bytes);
        break;
      case 'lines':
        for (const line of rfile) {
          const sum = /^add (-?\d+) (-?\d+)$/.exec(line);
          if (sum) {
            wfile.write(`${BigInt(sum[1]) + BigInt(sum[2])}\n`);
          } else if (line === 'quit') {
            return wfile.write('bye\n');
          } else {
            wfile.write(`error: what is \`${line}\`?\n`);
          }
        }
        break;
      case 'mixed':
        for (const part of [rfile.readExactly(3), readLine(rfile), rfile.readAll({ limit: Infinity })]) {
          wfile.write('[');
          wfile.write(part);
          wfile.write(']');
        }
        break;
      case 'timeout':
        request.setTimeout(Number(text));
        try {
          wfile.write(`got ${rfile.readLine() ?? ''}\n`);
        } catch (error) {
          if (error.code !== 'ETIMEDOUT') throw error;
          wfile.write('timed out\n');
        }
        break;
      case 'datagrams':
        wfile.write('one');
        wfile.flush();
        wfile.write('two');
        wfile.flush();
        break;
      case 'about':
        wfile.write(
          `${request.clientAddress}\n${request.serverAddress}\n${request.transport}\n${request.id}\n`,
        );
        break;
      case 'random':
        wfile.write(`${Math.random()}\n`);
        break;
      case 'print':
        console.log(text);
        wfile.write('printed\n');
        break;
      case 'pour':
        for (;;) wfile.write(POUR);
      case 'steps':
        wfile.write('handle\n');
        break;
      case 'fail':
        wfile.write('before\n');
        throw new Error(text);
      case 'crash':
        wfile.write('before\n');
        throw new TypeError(text);
      default:
        throw new Error(`no such order: ${this.line}`);
    }
  }

  finish(request) {
    if (this.line === 'steps' || /^(fail|crash)/.test(this.line)) request.wfile.write('finish\n');
  }
}
