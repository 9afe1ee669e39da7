// Mixtures to begin with: whole for every catalog, and what a catalog lacks is said.

import assert from "node:assert/strict";
import { test } from "node:test";

import { templates } from "../../mixer/dashboard/pages/templates.js";

const stream = (name, tokens = 100, length = 256) => ({ name, key: name.split("/")[1], tokens, seq_len: length });
const shares = (toml) => [...toml.matchAll(/^share = (.*)$/gm)].map(([, value]) => Number(value));
const named = (found, name) => found.find((one) => one.name === name);

test("the shares of each template sum to 1, however many groups of streams there are", () => {
  for (let groups = 1; groups <= 40; groups += 1) {
    const streams = Array.from({ length: groups }, (_, place) => stream(`kind${place}/python`));
    for (const { name, toml } of templates(streams)) {
      const sum = shares(toml).reduce((all, one) => all + one, 0);
      assert.ok(Math.abs(sum - 1) < 1e-9, `${name} of ${groups} groups sums to ${sum}`);
      assert.ok(shares(toml).every((one) => one > 0 && one <= 1));
    }
  }
});

test("a template says which streams it would need", () => {
  const found = templates([stream("raw/go")]);
  assert.equal(named(found, "general").missing, null);
  assert.equal(named(found, "python").missing, "raw/python");
  assert.equal(named(found, "continued").missing, "scored/*");
  assert.equal(named(found, "enhanced").missing, "synthetic/* and scored/*");
  assert.equal(named(found, "equal").missing, "two groups of streams");
});

test("a catalog with everything lacks nothing, and Python is pinned only where it is", () => {
  const found = templates(["raw/python", "scored/go", "synthetic/python"].map((name) => stream(name)));
  assert.deepEqual(found.map((one) => one.missing), [null, null, null, null, null]);
  assert.equal(named(found, "enhanced").toml.split("pin = { python = 0.5 }").length, 2);
});

test("a mixture has the length of most tokens, and streams of another length are not in it", () => {
  const found = templates([stream("raw/go", 100, 256), stream("raw/python", 900, 2048), stream("scored/go", 50, 256)]);
  assert.match(named(found, "general").toml, /^seq_len = 2048$/m);
  assert.equal(named(found, "continued").missing, "scored/*");
});
