// The command that a form shows is what a shell understands.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { command, quoted } from "../../mixer/dashboard/command.js";

test("options without a value are left out, numbers stay", () => {
  const given = { "at-step": 3, why: undefined, mixture: "", by: "operator" };
  assert.equal(command("runs", "switch", "first", given), "phasemix runs switch first --at-step 3 --by operator");
});

test("words of this product need no quotes", () => {
  for (const word of ["code@3", "raw/python", "synthetic=40%", "s3://bucket/root", "a.b-c_d", "1e-3"]) assert.equal(quoted(word), word);
});

test("a shell reads every word as it was", () => {
  const words = ["it's", "two words", "$HOME `id` $(id)", "a;b&c|d>e", "*", "scored/*", "\"", "\\", "", "'''", "line\nline", "--", "é"];
  for (const word of words) {
    assert.equal(execFileSync("/bin/sh", ["-c", `printf %s ${quoted(word)}`], { encoding: "utf8" }), word);
  }
});
