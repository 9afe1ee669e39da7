// One stream: how it grew, the documents in it with text and scores, and which runs draw from it.

import { get, poll, runPath } from "../api.js";
import { chart, timesAxis } from "../chart.js";
import { command, copyable } from "../command.js";
import { h, count, link, put, say, section, short, showFacts } from "../dom.js";
import { field } from "../form.js";
import { passageList } from "../passages.js";
import { table } from "../table.js";

const ROWS = 8; // that are shown at once
const MOST_RUNS = 24; // whose use is asked for

export async function show(main, address) {
  const name = address.words.join("/");
  const about = h("dl", { class: "facts" });
  const growth = growthChart();
  const first = field("From row", { kind: "number", min: 0, step: 1, inputmode: "numeric", placeholder: "0", value: address.query.get("row") ?? "" });
  const said = h("p", { class: "quiet", "aria-live": "polite" });
  const rows = h("div", { class: "rows" });
  const onward = h("div", { class: "buttons" });
  const none = h("p", { class: "quiet" }, "No run draws from this stream.");
  const uses = useTable();
  const verify = copyable(command("streams", "verify", name));
  let stream = null;
  first.input.addEventListener("change", () => showRows(first.input.valueAsNumber || 0));
  put(main,
    h("p", { class: "crumbs" }, link("#/catalog", "Catalog")), h("h1", {}, name), about,
    section("Growth", growth.element),
    section("Documents", h("div", { class: "fields" }, first.element), said, rows, onward),
    section("Runs that draw from it", none, uses.element),
    section("Read everything again", verify.element),
  );

  async function showRows(start) {
    address.set("row", start ? String(start) : null);
    first.input.value = start || "";
    const query = new URLSearchParams({ stream: name, first: start, limit: ROWS });
    try {
      const found = await get(`passages?${query}`);
      const last = Math.min(start + ROWS, stream.samples);
      say(said, found.length ? `Rows ${count(start)} to ${count(last - 1)} of ${count(stream.samples)}.` : `There is no row ${count(start)}; the stream has ${count(stream.samples)}.`);
      rows.replaceChildren(found.length ? passageList(found) : "");
      onward.replaceChildren(
        ...(start > 0 ? [h("button", { type: "button", click: () => showRows(Math.max(0, start - ROWS)) }, "Rows before")] : []),
        ...(start + ROWS < stream.samples ? [h("button", { type: "button", click: () => showRows(start + ROWS) }, "Next rows")] : []),
      );
    } catch (error) {
      say(said, error.message);
      rows.replaceChildren();
    }
  }

  function drawAbout() {
    showFacts(about, [["Kind", stream.kind], ["Key", stream.key], ["Rows", count(stream.samples)], stream.kind === "tokens" && ["Tokens", short(stream.tokens)],
      ["Parts", count(stream.parts)], stream.seq_len && ["Tokens of a row", count(stream.seq_len)], stream.tokenizer && ["Tokenizer", stream.tokenizer.slice(0, 12)]]);
  }

  async function drawUses(signal) {
    const runs = (await get("runs", signal)).filter((run) => name in run.shares).slice(-MOST_RUNS).reverse();
    const pages = await Promise.all(runs.map((run) => get(runPath(run.name), signal)));
    none.hidden = pages.length > 0;
    uses.element.hidden = !pages.length;
    uses.update(pages.map((run) => ({ run, use: run.use.find((one) => one.stream === name) })));
  }

  const watch = poll(async (signal) => {
    const found = (await get("streams", signal)).find((one) => one.name === name);
    if (!found) throw new Error(`stream ${name} does not exist; see the catalog`);
    const isFirst = stream === null;
    stream = found;
    drawAbout();
    if (stream.kind === "tokens") await growth.update(name, signal);
    growth.element.parentElement.hidden = stream.kind !== "tokens";
    if (isFirst) await showRows(Number(address.query.get("row")) || 0);
    await drawUses(signal);
  }, 3000);
  return watch;
}

function useTable() {
  return table("Runs", [
    { name: "run", title: "Run", value: (u) => u.run.name, cell: (u) => ({ text: u.run.name, href: `#/${runPath(u.run.name)}` }) },
    { name: "state", title: "State", value: (u) => u.run.state },
    { name: "share", title: "Share now", number: true, value: (u) => u.run.shares[u.use?.stream] ?? 0, cell: (u) => `${((u.run.shares[u.use?.stream] ?? 0) * 100).toFixed(2)}%` },
    { name: "tokens", title: "Tokens drawn", number: true, value: (u) => (u.use?.realised_samples ?? 0) * u.run.seq_len, cell: (u) => short((u.use?.realised_samples ?? 0) * u.run.seq_len) },
    { name: "passes", title: "Passes", number: true, value: (u) => u.use?.passes ?? 0, cell: (u) => (u.use?.passes ?? 0).toFixed(3) },
  ], { key: (u) => u.run.name, quiet: true });
}

// How the stream has grown.
function growthChart() {
  const made = chart("Growth", { height: 300 });

  async function update(name, signal) {
    const grown = await get(`growth?stream=${encodeURIComponent(name)}`, signal);
    say(made.element.querySelector("figcaption"), `Growth of ${name}`);
    const last = grown.at(-1)?.tokens ?? 0;
    const data = [{ type: "scatter", mode: grown.length > 30 ? "lines" : "lines+markers", line: { shape: "hv", width: 1.6 }, fill: "tozeroy", fillcolor: "rgba(59, 111, 212, 0.12)", marker: { size: 4 },
      x: grown.map((one) => new Date(one.at_s * 1000)), y: grown.map((one) => one.tokens), customdata: grown.map((one) => short(one.tokens)), hovertemplate: "%{x}: %{customdata} tokens<extra></extra>" }];
    return made.update(grown.length ? `${name} has ${short(last)} tokens` : `${name} is empty`, data, { xaxis: grown.length ? timesAxis(data[0].x) : {}, yaxis: { exponentformat: "B", rangemode: "tozero" } });
  }

  return { element: made.element, update };
}
