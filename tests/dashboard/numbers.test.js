// The forms in which the pages show numbers, and read them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { count, duration, parseTokens, points, share, short, when } from "../../mixer/dashboard/dom.js";

function shows(form, cases) {
  for (const [value, text] of cases) assert.equal(form(value), text, `${form.name || "form"}(${value})`);
}

test("counts and shares have all their digits", () => {
  shows(count, [[0, "0"], [999, "999"], [1234567, "1,234,567"]]);
  shows(share, [[0, "0.00%"], [0.5, "50.00%"], [0.123456, "12.35%"], [1, "100.00%"]]);
});

test("a change of a share has a sign, also where it rounds to nothing", () => {
  shows(points, [[0, "±0.00"], [0.00004, "±0.00"], [-0.00004, "±0.00"], [0.15, "+15.00"], [-0.15, "−15.00"], [1, "+100.00"]]);
});

test("a short number has three digits and the suffix that they belong to", () => {
  shows(short, [
    [0, "0"], [12, "12"], [999, "999"], [999.6, "1K"], [1000, "1K"], [1234, "1.23K"], [999_499, "999K"], [999_500, "1M"],
    [12_345_678_901, "12.3B"], [4e14, "400T"],
  ]);
});

test("what is shown short is read again within a half of its last digit", () => {
  for (let value = 1; value < 1e15; value = Math.ceil(value * 1.37)) {
    const again = parseTokens(short(value));
    assert.ok(Math.abs(again - value) <= value * 0.005 + 0.5, `${value} -> ${short(value)} -> ${again}`);
  }
});

test("tokens are read with suffixes, commas and spaces", () => {
  shows(parseTokens, [
    ["50B", 50e9], ["12.5M", 12_500_000], ["40960", 40960], ["40,960", 40960], ["40_960", 40960], [" 1.36 m ", 1_360_000],
    ["2T", 2e12], ["0", 0],
  ]);
});

test("what is no number of tokens is null, never a guess", () => {
  shows(parseTokens, ["", "B", "-5", "1e9", "5 x", "5MM", "1.2.3", "NaN", "<b>5</b>"].map((text) => [text, null]));
});

test("a duration is said in the largest unit that it fills", () => {
  shows(duration, [[0, "0 s"], [0.25, "0.25 s"], [59, "59 s"], [60, "1 min"], [90, "1.5 min"], [3600, "1 h"], [86400, "1 d"]]);
});

test("a time that is not known is no text", () => {
  shows(when, [[null, ""], [undefined, ""], [0, ""]]);
  assert.match(when(1_700_000_000), /^Nov 1[45], 2023, \d{1,2}:\d{2}\s[AP]M$/);
});
