// The arithmetic of curves over steps.

import assert from "node:assert/strict";
import { test } from "node:test";

import { byKey, keepOrder, smoothed, timeLeft, windowAt } from "../../mixer/dashboard/curves.js";

const near = (found, wanted) => assert.ok(Math.abs(found - wanted) < 1e-9, `${found} is not ${wanted}`);

test("without a weight a curve stays as it is", () => {
  const values = [3, null, 1];
  assert.equal(smoothed(values, 0), values);
});

test("a smoothed curve is the weighted mean of all points so far, the newest counting most", () => {
  const values = [4, null, 2, undefined, 8];
  const found = smoothed(values, 0.5);
  assert.deepEqual([found[0], found[1], found[3]], [4, null, null]);
  near(found[2], (4 * 0.25 + 2 * 0.5) / 0.75);
  near(found[4], (4 * 0.125 + 2 * 0.25 + 8 * 0.5) / 0.875);
});

test("a level curve stays level from its first point on", () => {
  for (const value of smoothed(Array(50).fill(2.5), 0.95)) near(value, 2.5);
});

test("a point stands for the batches since the point before it", () => {
  const series = { first_step: 10, steps: [14, 18, 20] };
  assert.deepEqual(windowAt(series, 14), { start: 10, end: 14 });
  assert.deepEqual(windowAt(series, 20), { start: 18, end: 20 });
  assert.equal(windowAt(series, 15), null);
});

test("the time that is left is known only with a speed and an end", () => {
  assert.equal(timeLeft(10, 1000, 500), 20);
  assert.equal(timeLeft(-3, 1000, 500), 0);
  for (const [steps, speed] of [[null, 500], [undefined, 500], [10, 0], [10, null]]) assert.equal(timeLeft(steps, 1000, speed), null);
});

test("names keep their places, what is gone leaves, new ones follow", () => {
  assert.deepEqual(keepOrder(["c", "a", "b"], ["a", "b", "d", "c"]), ["c", "a", "b", "d"]);
  assert.deepEqual(keepOrder(["c", "a"], ["a", "e"]), ["a", "e"]);
  assert.deepEqual(keepOrder([], ["b", "a"]), ["b", "a"]);
});

test("shares of streams are summed by key, the largest first", () => {
  const found = byKey({ "raw/go": 0.1, "raw/python": 0.3, "synthetic/python": 0.4, "scored/go/q95": 0.2 });
  assert.deepEqual([...found.keys()], ["python", "go"]);
  near(found.get("python"), 0.7);
  near(found.get("go"), 0.3);
});
