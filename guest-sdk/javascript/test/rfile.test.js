/** Reading: the buffer loses nothing, doubles nothing, and hides no error. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InMemoryRequest } from '../testing.js';

const bytes = (length) => Uint8Array.from({ length }, (_, i) => i % 251);
const text = (bytes) => new TextDecoder().decode(bytes);
const rfile = (input, client) => new InMemoryRequest(input, client).rfile;

test('lines come one by one however the client cuts them', () => {
  for (const pieces of [1, 2, 3, 5, 100]) {
    assert.deepEqual([...rfile('one\r\nzwölf\n\nfour', { pieces })], ['one', 'zwölf', '', 'four']);
  }
});

test('a line is null at the end of input, and stays so', () => {
  const input = rfile('a\n');
  assert.deepEqual([input.readLine(), input.readLine(), input.readLine()], ['a', null, null]);
  assert.equal(input.read().length, 0);
  assert.equal(input.readAll().length, 0);
});

test('small and large reads may be mixed', () => {
  const input = bytes(50_000);
  for (const pieces of [1, 1000, 4096, 70_000]) {
    const reader = rfile(input, { pieces });
    const parts = [reader.read(1), reader.read(5000), reader.readExactly(300), reader.readUntil(7), reader.read(0)];
    for (let part; (part = reader.read(9)).length > 0 && parts.length < 100; ) parts.push(part);
    const back = Buffer.concat([...parts, reader.readAll()]);
    const lost = input.length - back.length;
    assert.ok(lost >= 0 && lost <= 9);
    if (parts.length < 100) assert.deepEqual(Uint8Array.from(back), input);
  }
});

test('a read returns as soon as a byte is there', () => {
  const input = rfile('abc', { pieces: 1 });
  assert.equal(input.read(3).length, 1);
  assert.equal(input.read().length, 1);
});

test('what was read does not change by what is read later', () => {
  const input = rfile('ab\ncd\nef\n', { pieces: 4 });
  const parts = [input.readUntil(), input.readUntil(), input.readUntil()];
  assert.deepEqual(parts.map(text), ['ab\n', 'cd\n', 'ef\n']);
});

test('a line without end is an error at its limit, and can still be read', () => {
  for (const pieces of [1, 7, 10_000]) {
    const input = rfile('x'.repeat(9000), { pieces });
    assert.throws(() => input.readLine({ limit: 100 }), { name: 'IOError', code: 'EMSGSIZE' });
    assert.equal(input.readAll().length, 9000);
  }
});

test('a limit counts the bytes before the end of the line', () => {
  assert.equal(rfile('abc\n').readLine({ limit: 3 }), 'abc');
  assert.throws(() => rfile('abcd\n').readLine({ limit: 3 }), { code: 'EMSGSIZE' });
  assert.throws(() => [...rfile('ok\nabcd\n').lines({ limit: 3 })], { code: 'EMSGSIZE' });
});

test('a limit of all input is an error beyond it', () => {
  assert.equal(rfile('abc').readAll({ limit: 3 }).length, 3);
  assert.throws(() => rfile('abcd').readAll({ limit: 3 }), { code: 'EMSGSIZE' });
});

test('exactly is exactly, or an error that loses nothing', () => {
  const input = rfile('abcdef', { pieces: 2 });
  assert.equal(text(input.readExactly(3)), 'abc');
  assert.throws(() => input.readExactly(4), { code: 'EOF', message: 'end of input after 3 of 4 bytes' });
  assert.equal(text(input.readAll()), 'def');
});

test('what came before an error can be read', () => {
  const input = rfile('half a li', { readFails: 'ETIMEDOUT' });
  assert.throws(() => input.readLine(), { code: 'ETIMEDOUT', message: 'timed out' });
  assert.equal(text(input.read()), 'half a li');
  assert.throws(() => input.read(), { code: 'ETIMEDOUT' });
});

test('a count that is none is an error', () => {
  for (const n of [-1, 1.5, NaN, Infinity]) assert.throws(() => rfile('').read(n), RangeError);
});
