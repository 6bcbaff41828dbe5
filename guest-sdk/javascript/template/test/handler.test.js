import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InMemoryRequest, run } from '../sandsock/testing.js';
import Hello from '../src/handler.js';

test('greets', async () => {
  const request = new InMemoryRequest('hello,server\n');
  await run(Hello, request);
  assert.equal(request.writtenText, '你好');
});
