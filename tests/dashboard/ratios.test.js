// The arithmetic of the ratio editor: sums stay 1, what is held stays put, an edit is the settings that lead to it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { changed, grouped, pinned, rebalance, settingsOf, within } from "../../mixer/dashboard/pages/ratios.js";

const WORLDS = 2000;
const sum = (values) => [...values].reduce((all, one) => all + one, 0);
const near = (found, wanted, most = 1e-9) => assert.ok(Math.abs(found - wanted) <= most, `${found} is not ${wanted}`);

// Numbers from 0 up to 1, the same in every run (a linear congruential generator).
function numbersFrom(seed) {
  let state = seed;
  return () => (state = (state * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32;
}

// Shares of two to eight names, zeros among them, with one that is moved, where to, and those that are fixed.
function world(next) {
  const names = Array.from({ length: 2 + Math.floor(next() * 7) }, (_, place) => `c${place}`);
  const weights = names.map(() => (next() < 0.2 ? 0 : Math.floor(next() * 1000)));
  weights[0] += 1;
  const shares = new Map(names.map((name, place) => [name, weights[place] / sum(weights)]));
  const moved = names[Math.floor(next() * names.length)];
  const fixed = new Set(names.filter((name) => name !== moved && next() < 0.3));
  return { shares, moved, fixed, value: [0, 1, next()][Math.floor(next() * 3)] };
}

test("a slider keeps the sum, what is fixed, and the proportions of the others", () => {
  const next = numbersFrom(17);
  for (let place = 0; place < WORLDS; place += 1) {
    const { shares, moved, fixed, value } = world(next);
    const after = rebalance(shares, moved, value, fixed);
    near(sum(after.values()), 1);
    assert.ok([...after.values()].every((one) => one >= 0 && one <= 1 + 1e-12));
    for (const name of fixed) assert.equal(after.get(name), shares.get(name));
    const free = [...shares.keys()].filter((name) => name !== moved && !fixed.has(name));
    const held = sum([...fixed].map((name) => shares.get(name)));
    near(after.get(moved), free.length ? Math.min(value, 1 - held) : 1 - held, 1e-6);
    const [before, left] = [shares, after].map((of) => sum(free.map((name) => of.get(name))));
    for (const name of free) near(after.get(name), before > 0 ? (left * shares.get(name)) / before : left / free.length, 1e-5);
  }
});

test("a slider leaves the shares that it was given as they are", () => {
  const shares = new Map([["a", 0.5], ["b", 0.5]]);
  rebalance(shares, "a", 0.9);
  assert.deepEqual([...shares.values()], [0.5, 0.5]);
});

test("a pin goes as far as the other pins leave room", () => {
  const weights = new Map([["python", 5], ["java", 3], ["go", 2]]);
  assert.deepEqual([...pinned(weights, new Map([["java", 0.4]]), "python", 0.9)], [["java", 0.4], ["python", 0.6]]);
  assert.deepEqual([...pinned(weights, new Map([["java", 0.4]]), "python", -1)], [["java", 0.4], ["python", 0]]);
});

test("when all keys are pinned, the one that is moved takes the whole that is left", () => {
  const weights = new Map([["python", 5], ["java", 5]]);
  near(pinned(weights, new Map([["java", 0.3]]), "python", 0.1).get("python"), 0.7);
});

test("keys without a pin share what the pins leave by their natural weight", () => {
  const weights = new Map([["python", 6], ["java", 3], ["go", 1]]);
  const found = within(weights, new Map([["python", 0.2]]));
  near(found.get("python"), 0.2);
  near(found.get("java"), 0.6);
  near(found.get("go"), 0.2);
  const empty = within(new Map([["python", 0], ["java", 0]]), new Map([["python", 1]]));
  assert.deepEqual([...empty], [["python", 1], ["java", 0]]);
});

test("streams are grouped by component and key; a pinned stream stands for itself", () => {
  const streams = [
    { component: "raw", stream: "raw/python", key: "python", tokens: 10 },
    { component: "raw", stream: "raw/python/more", key: "python", tokens: 5 },
    { component: "raw", stream: "raw/go", key: "go", tokens: 1 },
    { component: "made", stream: "made/go", key: "go", tokens: 2 },
  ];
  const found = grouped(streams, new Map([["raw", new Map([["raw/python/more", 0.1]])]]), (one) => one.tokens);
  assert.deepEqual([...found.get("raw")], [["python", 10], ["raw/python/more", 5], ["go", 1]]);
  assert.deepEqual([...found.get("made")], [["go", 2]]);
});

const DOCUMENT = {
  component: [
    { streams: ["raw/*", "more/*"], share: 0.4, pin: { python: 0.5, go: 0.1 } },
    { name: "a.b", streams: "scored/*", share: 0.6 },
  ],
};

test("settings change shares and pins of the component that they name, also where names have dots", () => {
  const found = changed(DOCUMENT, { "raw.share": 0.3, "a.b.share": 0.7, "raw.pin.python": 0.4, "raw.pin.go": null, "a.b.pin.c.d": 0.2 });
  assert.deepEqual([...found.keys()], ["raw", "a.b"]);
  assert.equal(found.get("raw").share, 0.3);
  assert.deepEqual([...found.get("raw").pins], [["python", 0.4]]);
  assert.equal(found.get("raw").globs, "raw/*, more/*");
  assert.deepEqual([found.get("a.b").share, [...found.get("a.b").pins]], [0.7, [["c.d", 0.2]]]);
});

test("settings of a component that is not there change nothing", () => {
  assert.deepEqual(changed(DOCUMENT, { "none.share": 1 }), changed(DOCUMENT, {}));
});

test("the settings of an edit lead to it again", () => {
  const settings = { "raw.share": 0.3, "a.b.share": 0.7, "raw.pin.python": null, "raw.pin.java": 0.2 };
  const before = changed(DOCUMENT, {});
  assert.deepEqual(settingsOf(before, changed(DOCUMENT, settings)), settings);
  assert.deepEqual(settingsOf(before, before), {});
});
