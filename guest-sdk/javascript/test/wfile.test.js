/** Writing: at once over a stream, datagram by datagram otherwise. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InMemoryRequest } from '../testing.js';

const texts = (datagrams) => datagrams.map((bytes) => new TextDecoder().decode(bytes));

test('a stream receives each write without a flush', () => {
  const request = new InMemoryRequest();
  request.wfile.write('1-');
  request.wfile.write(Uint8Array.of(0x32, 0x2d));
  request.wfile.write(new DataView(Uint8Array.of(0, 0x33, 0).buffer, 1, 1));
  request.wfile.write(Uint8Array.of(0x21).buffer);
  assert.equal(request.writtenText, '1-2-3!');
  request.wfile.flush();
  assert.deepEqual(request.datagrams, []);
});

test('a flush sends what was written since the last one', () => {
  for (const transport of ['udp', 'unixgram']) {
    const request = new InMemoryRequest('', { transport });
    request.wfile.flush();
    request.wfile.write('one');
    request.wfile.write(' and');
    assert.deepEqual(request.datagrams, []);
    request.wfile.flush();
    request.wfile.write('two');
    request.wfile.flush();
    request.wfile.flush();
    assert.deepEqual(texts(request.datagrams), ['one and', 'two']);
  }
});

test('a reply longer than a datagram is an error that says so', () => {
  const request = new InMemoryRequest('', { transport: 'udp' });
  request.wfile.write('x'.repeat(65_507));
  assert.throws(() => request.wfile.write('x'), { code: 'EMSGSIZE', message: 'message too long' });
  request.wfile.flush();
  assert.equal(request.datagrams[0].length, 65_507);
});

test('of a reply longer than a datagram nothing is sent, however long it is', () => {
  const request = new InMemoryRequest('', { transport: 'udp' });
  assert.throws(() => request.wfile.write(new Uint8Array(1_000_000)), { code: 'EMSGSIZE' });
  request.wfile.flush();
  assert.deepEqual(request.datagrams, []);
});

test('a long write is written whole', () => {
  const request = new InMemoryRequest();
  const long = Uint8Array.from({ length: 1_000_001 }, (_, i) => i % 251);
  request.wfile.write(long);
  assert.deepEqual(request.written, long);
});

test('a client that has gone took what it took', () => {
  const request = new InMemoryRequest('', { writeFails: 'EPIPE', writeFailsAfter: 4 });
  request.wfile.write('abc');
  assert.throws(() => request.wfile.write('def'), { name: 'IOError', code: 'EPIPE' });
  assert.equal(request.writtenText, 'abcd');
});

test('what is neither text nor bytes is an error', () => {
  for (const data of [1, null, undefined, [1, 2], {}]) {
    assert.throws(() => new InMemoryRequest().wfile.write(data), TypeError);
  }
});
