// The steps, and what a client receives, on the conformance handler.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "../testing.mjs";

const handler = load(new URL("../build/conformance.wasm", import.meta.url));
const orders = [
  ["", "empty\n"],
  ["hello\nbob\n", "hello, bob\n"],
  ["hello\nbob", "hello, bob\n"],
  ["echo\na\0b\n", "a\0b\n"],
  ["lines\nadd 2 -40\nadd 1\nquit\nadd 1 1\n", "-38\nerror: what is `add 1`?\nbye\n"],
  ["mixed\nabcline\nrest\nmore", "[abc][line][rest\nmore]"],
  ["timeout 100\nabc\n", "got abc\n"],
  ["steps\n", "handle\nfinish\n"],
];

for (const [sends, text] of orders) {
  test(`${JSON.stringify(sends)} over any transport`, () => {
    for (const transport of ["tcp", "udp", "unix", "unixgram"]) {
      for (const pieces of [1, undefined]) {
        const served = handler.serve({ sends, transport, pieces });
        assert.equal(served.outcome, "ok");
        assert.equal(served.text, text);
        const isDatagram = transport === "udp" || transport === "unixgram";
        assert.deepEqual(served.datagrams.map(String), isDatagram ? [text] : []);
      }
    }
  });
}

test("an error of handle is logged, and finish runs", () => {
  const { outcome, text, log } = handler.serve({ sends: "fail so and so\n" });
  assert.deepEqual({ outcome, text, log }, { outcome: "error", text: "before\nfinish\n", log: ["so and so"] });
});

test("after an error of setup nothing runs", () => {
  const { outcome, text, log } = handler.serve({ sends: "refuse\n" });
  assert.deepEqual({ outcome, text, log }, { outcome: "error", text: "", log: ["refused in setup"] });
});

test("after a trap nothing runs, and of a datagram nothing is sent", () => {
  const { outcome, text, log, datagrams } = handler.serve({ sends: "crash so and so\n", transport: "udp" });
  assert.equal(outcome, "trap");
  assert.equal(text, "before\n");
  assert.match(log[0], /^so and so \(conformance\/index\.ts:\d+:\d+\)$/);
  assert.deepEqual(datagrams, []);
});

test("a flush sends what was written since the last one", () => {
  const { datagrams } = handler.serve({ sends: "datagrams\n", transport: "unixgram" });
  assert.deepEqual(datagrams.map(String), ["one", "two"]);
});

test("a reply longer than a datagram is an error that says so", () => {
  const { outcome, log } = handler.serve({ sends: "pour\n", transport: "udp" });
  assert.equal(outcome, "error");
  assert.deepEqual(log, ["message too long for a datagram"]);
});

test("a client that has gone took what it took", () => {
  const gone = handler.serve({ sends: "pour\n", takes: 100_000 });
  assert.deepEqual(gone.log, ["broken pipe"]);
  assert.equal(gone.received.length, 100_000);
  const slow = handler.serve({ sends: "pour\n", takes: 4, writeFails: "timed-out" });
  assert.deepEqual(slow.log, ["timed out"]);
});

test("a timeout is the language's own error", () => {
  assert.equal(handler.serve({ sends: "timeout 9\nhal", thenReadFails: "timed-out" }).text, "timed out\n");
});

test("everything known of a request can be given", () => {
  const about = (client) => handler.serve({ sends: "about\n", ...client }).text;
  assert.equal(about({}), "127.0.0.1:4711\n127.0.0.1:9999\ntcp\n1\n");
  assert.equal(about({ transport: "unix" }), "\n/run/handler.sock\nunix\n1\n");
  const path = "/" + "ü".repeat(200);
  assert.equal(about({ transport: "unixgram", client: path, server: "/s", id: 7 }), `${path}\n/s\nunixgram\n7\n`);
});

test("text is UTF-8 both ways, and each byte that is none becomes U+FFFD", () => {
  const printed = (bytes) => handler.serve({ sends: Buffer.concat([Buffer.from("print "), bytes]) }).log[0];
  for (const text of ["你好", "\0é\u07ff\u0800\ud7ff\ue000\uffff", "\u{10000}😀\u{10ffff}", "x".repeat(10_000)]) {
    assert.equal(printed(Buffer.from(text)), text);
  }
  let seed = 1;
  const random = (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const likely = [0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff, 0x90, 0xa0];
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(Array.from({ length: random(12) }, () => likely[random(likely.length)]));
    assert.equal(printed(bytes), decoded(bytes), bytes.toString("hex"));
  }
});

function decoded(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const size = [1, 2, 3, 4].find((size) => {
      const part = bytes.subarray(at, at + size);
      return part.length === size && Buffer.from(part.toString()).equals(part) && [...part.toString()].length === 1;
    });
    text += size ? bytes.subarray(at, at + size).toString() : "\ufffd";
    at += size ?? 1;
  }
  return text;
}
