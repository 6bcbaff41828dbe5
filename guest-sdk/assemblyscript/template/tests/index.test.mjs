import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "../sandsock/testing.mjs";

const handler = load(new URL("../build/{{name}}.wasm", import.meta.url));

test("greets", () => {
  const served = handler.serve({ sends: "hello,server\n" });
  assert.equal(served.outcome, "ok");
  assert.equal(served.text, "你好");
});
