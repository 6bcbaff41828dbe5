// Reading: the buffer loses nothing, doubles nothing, and hides no error.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "../testing.mjs";

const reader = load(new URL("../build/reader.wasm", import.meta.url));

for (const pieces of [1, 2, 3, 5, undefined]) {
  const inPieces = `in pieces of ${pieces ?? "any size"}`;

  test(`lines come one by one, ${inPieces}`, () => {
    const { text, outcome } = reader.serve({ sends: "lines\none\r\ntwo\n\n\r\nfour", pieces });
    assert.equal(text, "[one][two][][][four]");
    assert.equal(outcome, "ok");
  });

  test(`a line has a limit, and a call that fails takes nothing, ${inPieces}`, () => {
    const { text } = reader.serve({ sends: "lines\n12345\n123456\n\n123456", pieces });
    assert.equal(text, "[12345]<line too long>123[456][][123456]");
  });

  test(`exactly so many bytes, or an error, ${inPieces}`, () => {
    const { text, log } = reader.serve({ sends: "threes\nabcde\ng", pieces });
    assert.equal(text, "[abc][de\n]");
    assert.deepEqual(log, ["the input ended too early"]);
  });

  test(`all of the input, or an error, ${inPieces}`, () => {
    assert.equal(reader.serve({ sends: "all\n0123456789", pieces }).text, "[0123456789][]");
    assert.deepEqual(reader.serve({ sends: "all\n0123456789a", pieces }).log, ["input too long"]);
  });
}

test("small and large reads may be mixed", () => {
  const input = Buffer.alloc(100_000, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
  for (const pieces of [1, 1000, 4096, 70_000]) {
    const { received } = reader.serve({ sends: Buffer.concat([Buffer.from("reads\n"), input]), pieces });
    assert.ok(received.equals(input), `in pieces of ${pieces}`);
  }
});

test("a timeout is an error, and what came before it is still to be read", () => {
  const { text, log, outcome } = reader.serve({ sends: "lines\none\ntwo", thenReadFails: "timed-out" });
  assert.equal(text, "[one]<timed out>two<timed out>");
  assert.deepEqual(log, ["timed out"]);
  assert.equal(outcome, "error");
});

test("a client that vanishes is an error", () => {
  assert.deepEqual(reader.serve({ thenReadFails: "connection-reset" }).log, ["connection reset"]);
});

test("many lines do not fill the memory", () => {
  const line = "x".repeat(99) + "\n";
  assert.equal(reader.serve({ sends: "many\n" + line.repeat(300_000) }).text, "300000 lines, true");
});

test("a line without end costs no more memory than its limit", () => {
  assert.equal(reader.serve({ sends: "many\n" + "x".repeat(20_000_000) }).text, "0 lines, true");
});

test("random numbers differ from request to request", () => {
  const random = () => reader.serve({ sends: "random\n" }).text;
  assert.match(random(), /^0\.\d+/);
  assert.notEqual(random(), random());
});

test("what is thrown ends the instance, with its text and place in the log", () => {
  for (const [order, text] of [["index", "Index out of range"], ["bogus", "an order that nobody knows"]]) {
    const { outcome, log } = reader.serve({ sends: `${order}\n` });
    assert.equal(outcome, "trap");
    assert.match(log[0], new RegExp(`^${text} \\(.*\\.ts:\\d+:\\d+\\)$`));
  }
});

test("a recursion without end ends the instance", () => {
  assert.equal(reader.serve({ sends: "nested\n" }).outcome, "trap");
});
