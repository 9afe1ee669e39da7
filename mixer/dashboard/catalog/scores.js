// How the documents of a language score in a set of tiers, and those documents, opened one by one. Always holds: nothing is
// asked for before a language was chosen, and no text before its document is opened.

import { get } from "../api.js";
import { count, h, say, section } from "../dom.js";
import { field } from "../form.js";
import { passageList } from "../passages.js";
import { table } from "../table.js";
import { binText, histogram, scoreText } from "./histogram.js";

const SETS = /^scored(@|$)/;
const ROWS = 8; // documents that are listed at once
const wordsOf = (stream) => stream.name.split("/");

// { element, update(streams) }
export function scoreSection(address) {
  const which = field("Scores of", { kind: "select", name: "scores" });
  const show = field("Show", { kind: "select", name: "show" });
  const said = h("p", { class: "quiet", "aria-live": "polite" });
  const place = h("figure", { hidden: true });
  const tiers = tierTable();
  const bins = binTable();
  const listed = h("p", { class: "quiet", "aria-live": "polite" });
  const rows = h("div", { class: "rows" });
  const onward = h("div", { class: "buttons" });
  const found = h("div", { hidden: true }, place,
    h("details", {}, h("summary", {}, "The histogram as a table"), bins.element),
    h("details", {}, h("summary", {}, "Its tiers"), tiers.element),
    h("h3", {}, "Documents"), h("div", { class: "fields" }, show.element), listed, rows, onward);
  const element = section("Scores", h("div", { class: "fields" }, which.element), said, found);
  element.hidden = true;
  let options = "";
  let scores = null; // the histogram that is shown
  let asked = 0;
  which.input.addEventListener("change", () => { address.set("scores", which.input.value); address.set("show", null); load(); });
  show.input.addEventListener("change", () => { address.set("show", show.input.value); drawHistogram(); list(0); });

  function query(more = {}) {
    const [set, key] = which.input.value.split("/");
    return new URLSearchParams({ set, key, ...more });
  }

  function drawOptions(streams) {
    const sets = new Map();
    for (const stream of streams) {
      const [set, key] = wordsOf(stream);
      if (SETS.test(set) && stream.kind === "tokens") sets.set(set, (sets.get(set) ?? new Set()).add(key));
    }
    element.hidden = !sets.size;
    const now = JSON.stringify([...sets].map(([set, keys]) => [set, ...keys]));
    if (now === options) return;
    options = now;
    const chosen = address.query.get("scores") ?? "";
    which.input.replaceChildren(h("option", { value: "" }, "choose a language"), ...[...sets].map(([set, keys]) =>
      h("optgroup", { label: set }, [...keys].sort().map((key) => h("option", { value: `${set}/${key}` }, key)))));
    which.input.value = chosen;
    if (which.input.selectedIndex < 0) which.input.value = "";
  }

  async function load() {
    const mine = (asked += 1);
    if (!which.input.value) {
      found.hidden = true;
      scores = null;
      say(said, "");
      return;
    }
    if (!scores) say(said, "Reading the scores.");
    try {
      const answer = await get(`scores?${query()}`);
      if (mine !== asked || answer === scores) return;
      scores = answer;
      draw();
    } catch (error) {
      if (mine !== asked) return;
      found.hidden = true;
      scores = null;
      say(said, error.message);
    }
  }

  function draw() {
    const { documents, parts, parts_read: read } = scores;
    const whole = read === parts;
    say(said, !documents ? `No document of ${which.input.value} has a score in the ${count(read)} parts that were read.`
      : `${whole ? "" : "About "}${count(documents)} documents${whole ? "" : `, estimated from ${count(read)} of ${count(parts)} parts; documents are listed from those alone`}.`);
    found.hidden = !documents;
    if (!documents) return;
    show.input.replaceChildren(h("option", { value: "best" }, "the best"), h("option", { value: "worst" }, "the worst"),
      h("optgroup", { label: "with a score of" }, scores.bins.map((bin, index) => h("option", { value: index }, `${binText(bin)} (${count(bin.documents)})`))));
    show.input.value = address.query.get("show") ?? "best";
    if (show.input.selectedIndex < 0) show.input.value = "best";
    bins.update(scores.bins);
    tiers.update(scores.tiers);
    drawHistogram();
    list(0);
  }

  function drawHistogram() {
    const title = `Scores of ${which.input.value}`;
    const most = scores.bins.reduce((best, bin) => (bin.documents > best.documents ? bin : best));
    place.hidden = false;
    place.replaceChildren(h("figcaption", {}, title), histogram(`${title}: ${count(scores.documents)} documents from ${scoreText(scores.bins[0].low)} to ${scoreText(scores.bins.at(-1).high)}, the most, ${count(most.documents)}, from ${binText(most)}`,
      scores.bins, binOf(), (index) => { show.input.value = index; show.input.dispatchEvent(new Event("change")); }));
  }

  function binOf() {
    const index = Number.parseInt(show.input.value, 10);
    return Number.isNaN(index) ? null : index;
  }

  async function list(first) {
    const mine = asked;
    const index = binOf();
    const bin = index === null ? {} : { low: scores.bins[index].low, ...(index < scores.bins.length - 1 ? { high: scores.bins[index].high } : {}) };
    const order = show.input.value === "worst" ? "worst" : "best";
    const chosen = show.input.value;
    try {
      const page = await get(`scored?${query({ order, first, limit: ROWS, ...bin })}`);
      if (mine !== asked || chosen !== show.input.value) return;
      say(listed, page.length ? `Documents ${count(first + 1)} to ${count(first + page.length)}. Open one to read it.` : "There are no more documents.");
      rows.replaceChildren(page.length ? passageList(page, read) : "");
      onward.replaceChildren(
        ...(first > 0 ? [h("button", { type: "button", click: () => list(Math.max(0, first - ROWS)) }, "Documents before")] : []),
        ...(page.length === ROWS ? [h("button", { type: "button", click: () => list(first + ROWS) }, "Next documents")] : []),
      );
    } catch (error) {
      if (mine === asked) say(listed, error.message);
    }
  }

  // A document with the text that its rows have of it.
  async function read(one) {
    const rows = await get(`document?${new URLSearchParams({ stream: one.stream, part: one.part, document: one.document })}`);
    const text = rows.some((row) => row.text === null) ? null : rows.map((row) => row.text).join("");
    return { ...one, text, is_redacted: rows.some((row) => row.is_redacted) };
  }

  function update(streams) {
    drawOptions(streams);
    return load();
  }

  return { element, update };
}

function binTable() {
  return table("Documents by score", [
    { name: "score", title: "Score", value: (b) => b.low, cell: binText },
    { name: "documents", title: "Documents", number: true, value: (b) => b.documents, cell: (b) => count(b.documents) },
  ], { key: (b) => b.low });
}

function tierTable() {
  return table("Tiers", [
    { name: "stream", title: "Stream", value: (t) => t.stream, cell: (t) => ({ text: t.stream, href: `#/streams/${t.stream}` }) },
    { name: "documents", title: "Documents", number: true, value: (t) => t.documents, cell: (t) => count(t.documents) },
    { name: "low", title: "From score", number: true, value: (t) => t.low, cell: (t) => (t.low === null ? "" : scoreText(t.low)) },
    { name: "high", title: "To score", number: true, value: (t) => t.high, cell: (t) => (t.high === null ? "" : scoreText(t.high)) },
    { name: "parts", title: "Parts read", number: true, value: (t) => t.parts_read, cell: (t) => `${count(t.parts_read)} of ${count(t.parts)}` },
  ], { key: (t) => t.stream, sort: "-low" });
}
