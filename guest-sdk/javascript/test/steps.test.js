/** `run` calls the steps as the contract says; a request in memory is as it is given; errors read well. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { IOError, textOf } from '../sandsock.js';
import { InMemoryRequest, run } from '../testing.js';

/** Writes the name of each step, and fails in those that the client names. */
class Steps {
  setup(request) {
    this.failsIn = new TextDecoder().decode(request.rfile.readAll());
    this.step(request, 'setup ');
  }

  async handle(request) {
    await null;
    this.step(request, 'handle ');
  }

  finish(request) {
    this.step(request, 'finish ');
  }

  step(request, name) {
    request.wfile.write(name);
    if (this.failsIn.includes(name)) throw new Error(`in ${name}`);
  }
}

async function served(failsIn, client) {
  const request = new InMemoryRequest(failsIn, client);
  const error = await run(Steps, request).then(() => null, (error) => error.message);
  return [request.writtenText, error, request.datagrams.length];
}

test('the steps run in order on one value', async () => {
  assert.deepEqual(await served(''), ['setup handle finish ', null, 0]);
});

test('after an error of setup nothing runs', async () => {
  assert.deepEqual(await served('setup '), ['setup ', 'in setup ', 0]);
});

test('after an error of handle finish runs', async () => {
  assert.deepEqual(await served('handle '), ['setup handle finish ', 'in handle ', 0]);
});

test('an error of finish is an error, and the first error wins', async () => {
  assert.deepEqual(await served('finish '), ['setup handle finish ', 'in finish ', 0]);
  assert.deepEqual(await served('handle finish '), ['setup handle finish ', 'in handle ', 0]);
});

test('what a datagram client was written is sent even after an error', async () => {
  for (const failsIn of ['', 'setup ', 'handle ']) {
    assert.equal((await served(failsIn, { transport: 'unixgram' }))[2], 1);
  }
});

test('an object is a handler, and only handle is required', async () => {
  const request = new InMemoryRequest();
  await run({ handle: ({ wfile }) => wfile.write('yes') }, request);
  assert.equal(request.writtenText, 'yes');
});

test('what has no handle is refused', async () => {
  for (const none of [undefined, {}, class {}, () => {}]) {
    await assert.rejects(run(none, new InMemoryRequest()), TypeError);
  }
});

test('everything known of a request can be given', () => {
  const usual = new InMemoryRequest();
  const known = ({ clientAddress, serverAddress, transport, id }) => [clientAddress, serverAddress, transport, id];
  assert.deepEqual(known(usual), ['127.0.0.1:4711', '127.0.0.1:9999', 'tcp', 1n]);
  const given = { clientAddress: '', serverAddress: '/run/echo.sock', transport: 'unix', id: 7n };
  assert.deepEqual(known(new InMemoryRequest('', given)), Object.values(given));
});

test('the settings of a connection are taken, a timeout in whole milliseconds', () => {
  const request = new InMemoryRequest();
  request.setTimeout(0.2);
  request.setNoDelay();
  assert.deepEqual([request.timeout, request.noDelay], [1, true]);
  request.setTimeout(Infinity);
  assert.equal(request.timeout, Number.MAX_SAFE_INTEGER);
  for (const none of [-1, NaN]) assert.throws(() => request.setTimeout(none), RangeError);
});

test('an error reads as its kind and text, with what caused it', () => {
  assert.equal(textOf(new TypeError('no')), 'TypeError: no');
  assert.equal(textOf(new Error('no plan', { cause: new IOError('EPIPE') })), 'no plan: IOError: broken pipe');
  assert.equal(textOf('a text'), 'a text');
  assert.equal(textOf(undefined), 'undefined');
  assert.equal(textOf(Object.create(null)), 'an error that cannot be shown');
  const round = new Error('round');
  round.cause = round;
  assert.ok(textOf(round).startsWith('round: round'));
});
