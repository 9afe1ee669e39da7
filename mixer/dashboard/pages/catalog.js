// The catalog: its streams, their tokens by key, and how documents score.

import { get, poll } from "../api.js";
import { scoreSection } from "../catalog/scores.js";
import { chart, cut, namesAxis, narrow } from "../chart.js";
import { count, empty, h, put, say, section, short } from "../dom.js";
import { field } from "../form.js";
import { table } from "../table.js";

const GROUPS = 6; // of streams that the chart tells apart
const REST = "other groups";
const groupOf = (stream) => stream.name.split("/")[0];

export async function show(main, address) {
  let streams = [];
  let drawn = null;
  const summary = h("p", { class: "lead" });
  const filter = field("Filter", { kind: "search", value: address.query.get("filter") ?? "", placeholder: "name or key" });
  const rows = table("Streams", [
    { name: "stream", title: "Stream", value: (s) => s.name, cell: (s) => ({ text: s.name, href: `#/streams/${s.name}` }) },
    { name: "key", title: "Key", value: (s) => s.key },
    { name: "tokens", title: "Tokens", number: true, value: (s) => s.tokens, cell: (s) => count(s.tokens) },
    { name: "samples", title: "Samples", number: true, value: (s) => s.samples, cell: (s) => count(s.samples) },
    { name: "parts", title: "Parts", number: true, value: (s) => s.parts, cell: (s) => count(s.parts) },
  ], { key: (s) => s.name, sort: address.query.get("sort") ?? "", onSort: (sort) => address.set("sort", sort) });
  const keys = chart("Tokens by key", { height: 300 });
  const scores = scoreSection(address);
  const body = h("div");
  put(main, h("h1", {}, "Catalog"), summary, body);
  filter.input.addEventListener("input", () => { address.set("filter", filter.input.value); drawTable(); });
  filter.input.name = "filter";

  function drawTable() {
    const words = filter.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = streams.filter((s) => words.every((word) => s.name.includes(word) || s.key.includes(word)));
    rows.update(kept, kept.length === streams.length ? `${count(streams.length)} streams` : `${count(kept.length)} of ${count(streams.length)} streams`);
  }

  function drawKeys() {
    const sums = new Map();
    const sizes = new Map();
    for (const s of streams) {
      sums.set(s.key, (sums.get(s.key) ?? 0) + s.tokens);
      sizes.set(groupOf(s), (sizes.get(groupOf(s)) ?? 0) + s.tokens);
    }
    const kept = sizes.size > GROUPS ? [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, GROUPS - 1) : [...sizes.keys()];
    const groups = sizes.size > GROUPS ? [...kept, REST] : kept;
    const order = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a));
    const tokensOf = (group) => {
      const found = new Map(order.map((key) => [key, 0]));
      for (const s of streams) if (group === (kept.includes(groupOf(s)) ? groupOf(s) : REST)) found.set(s.key, found.get(s.key) + s.tokens);
      return { y: [...found.values()], customdata: [...found.values()].map(short) };
    };
    const data = groups.map((group) => ({ type: "bar", name: cut(group), x: order, ...tokensOf(group), hovertemplate: "%{x}: %{customdata} tokens" }));
    const said = order.slice(0, 5).map((key) => `${key} ${short(sums.get(key))}`).join(", ");
    return keys.update(`the most: ${said}`, data, { barmode: "stack", legend: { traceorder: "normal" }, showlegend: groups.length > 1 && !(narrow() && groups.length > 4), xaxis: namesAxis(order), yaxis: { exponentformat: "B" } });
  }

  return poll(async (signal) => {
    const found = await get("streams", signal);
    if (found === drawn) return;
    drawn = streams = found;
    const tokens = streams.reduce((sum, one) => sum + one.tokens, 0);
    say(summary, streams.length ? `${count(streams.length)} streams, ${short(tokens)} tokens` : "");
    if (!streams.length) {
      body.replaceChildren(empty("No streams yet. Bring in source files, or publish what is packed already:",
        "phasemix corpus ingest FOLDER --into raw", "phasemix streams publish raw/python DIR"));
      return;
    }
    if (!rows.element.isConnected) body.replaceChildren(keys.element, scores.element, section("Streams", h("div", { class: "fields" }, filter.element), rows.element));
    drawTable();
    await drawKeys();
    performance.mark("drawn");
    await scores.update(streams);
  }, 3000);
}
