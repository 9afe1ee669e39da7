// A run's state, as the service says it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isDone, stateOf } from "../../mixer/dashboard/run_state.js";

test("a run that is open or complete says so in one word", () => {
  assert.deepEqual(stateOf({ state: "open" }), { text: "open", tone: "more" });
  assert.deepEqual(stateOf({ state: "complete" }), { text: "complete", tone: "same" });
});

test("a run that is paused or ended says why", () => {
  assert.deepEqual(stateOf({ state: "paused", paused: "paused by operator" }), { text: "paused by operator", tone: "bad" });
  assert.deepEqual(stateOf({ state: "ended", ended: "raw/go is dry" }), { text: "ended: raw/go is dry", tone: "same" });
});

test("only what ended or is complete is done", () => {
  assert.deepEqual(["open", "paused", "ended", "complete"].filter((state) => isDone({ state })), ["ended", "complete"]);
});
