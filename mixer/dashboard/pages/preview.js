// What a mixture would give: shares by key and stream beside those it started from, passes, what runs dry, what caps forbid.

import { chart, colour, namesAxis } from "../chart.js";
import { count, duration, h, share, short } from "../dom.js";
import { change, table } from "../table.js";

const BARS = 24; // of a chart; the tables have all
const FIRST = 3; // refusals; the others are folded away
const byName = (rows, name) => new Map((rows ?? []).map((row) => [row[name], row]));
const passesOf = (one) => ({ text: one.tokens ? one.passes.toFixed(2) : "", tone: one.max_passes && one.passes > one.max_passes ? "bad" : null });

// `by()`: what the chart shows, "key" or "stream".
export function preview(tableQuery, by) {
  const totals = h("p", { class: "lead figures" });
  const refusals = h("div", { class: "refusals", "aria-live": "polite" });
  const shares = chart("Resolved shares", { height: 260 });
  let before = new Map();
  let best = null;
  let horizon = 0;
  const difference = (row, name) => row.share - (before[name].get(row[name])?.share ?? 0);
  const common = (name) => [
    { name: "share", title: "Share", number: true, value: (s) => s.share, cell: (s) => ({ text: share(s.share), meter: s.share }) },
    { name: "change", title: "Change, points", number: true, value: (s) => difference(s, name), cell: (s) => change(difference(s, name)) },
    { name: "tokens", title: "Tokens", number: true, value: (s) => s.tokens, cell: (s) => (s.tokens ? short(s.tokens) : "") },
    { name: "unique", title: "Unique", number: true, value: (s) => s.unique_tokens, cell: (s) => short(s.unique_tokens) },
    { name: "passes", title: "Passes", number: true, value: (s) => s.passes, cell: passesOf },
  ];
  const keys = table("Shares by key", [{ name: "key", title: "Key", value: (k) => k.key }, ...common("key")],
    { key: (k) => k.key, sort: "-share" });
  const streams = table("Shares by stream", [
    { name: "stream", title: "Stream", value: (s) => s.stream, cell: (s) => ({ text: s.stream, href: `#/streams/${s.stream}` }) },
    ...common("stream"),
    { name: "cap", title: "Cap", number: true, value: (s) => s.max_passes, cell: (s) => s.max_passes ?? "" },
    { name: "growth", title: "Growth, tokens/s", number: true, value: (s) => s.growth_tokens_per_s, cell: (s) => (s.growth_tokens_per_s ? short(s.growth_tokens_per_s) : "") },
    { name: "dry", title: "Runs dry", number: true, value: (s) => s.dry_at_tokens, cell: dryCell },
    { name: "best", title: "Best feasible", number: true, value: (s) => best?.[s.stream] ?? s.share, cell: (s) => (best ? share(best[s.stream] ?? 0) : "") },
  ], { key: (s) => s.stream, sort: tableQuery.get() ?? "-share", onSort: tableQuery.set });

  function dryCell(one) {
    if (one.dry_at_tokens === null || one.dry_at_tokens === undefined) return "";
    const time = one.dry_in_s === null || one.dry_in_s === undefined ? "" : `, in ${duration(one.dry_in_s)}`;
    return { text: `after ${short(one.dry_at_tokens)}${time}`, tone: one.dry_at_tokens <= horizon ? "bad" : "same" };
  }

  function drawTotals(found) {
    const components = found.components.map((one) => `${one.name} ${share(one.share)}`).join(" · ");
    const drawn = found.components.reduce((sum, one) => sum + one.tokens, 0); // less than the horizon where the run ends before
    const passes = found.unique_tokens ? `, ${(drawn / found.unique_tokens).toFixed(2)} passes on average` : "";
    const figures = found.tokens ? `${short(found.tokens)} tokens from ${short(found.unique_tokens)} unique: ${short(found.repeated_tokens)} repeated${passes}` : "";
    totals.replaceChildren(h("span", {}, components), ...(figures ? [h("span", {}, figures)] : []));
  }

  function drawRefusals({ refusals: said, feasible, tokens, ends, ends_at_tokens: endsAt, dries }) {
    const drying = dries.length > 0 && h("ul", {}, dries.slice(0, FIRST).map((one) => h("li", {}, `${one}.`)));
    const ending = ends && h("p", {}, `After ${short(endsAt)} tokens: ${ends}.`);
    const limit = feasible && h("p", {}, `All caps hold for at most ${short(feasible.tokens)} (${count(feasible.tokens)}) tokens; the best feasible shares at ${short(tokens)} stand in the table of streams.`);
    refusals.replaceChildren(...(said.length ? [
      h("p", { class: "error" }, said.length === 1 ? "A cap forbids this:" : `${said.length} caps forbid this:`),
      h("ul", {}, said.slice(0, FIRST).map((one) => h("li", {}, one.said))),
      ...(said.length > FIRST ? [h("details", {}, h("summary", {}, `${said.length - FIRST} more`), h("ul", {}, said.slice(FIRST).map((one) => h("li", {}, one.said))))] : []),
    ] : []), ...[drying, ending, limit].filter(Boolean));
  }

  // `started`: the preview of the version it started from; the same object when nothing is changed.
  function update(found, started) {
    before = { key: byName(started.keys, "key"), stream: byName(started.streams, "stream") };
    horizon = found.tokens;
    best = found.feasible?.shares ?? null;
    drawTotals(found);
    drawRefusals(found);
    keys.update(found.keys);
    streams.update(found.streams);
    const isLong = by() === "stream"; // names so long lie
    const first = (one) => before[by()].get(one[by()])?.share ?? one.share; // as they were: bars stay where they are while ratios are moved
    const order = [...(isLong ? found.streams : found.keys)].sort((a, b) => first(b) - first(a)).slice(0, isLong ? 12 : BARS);
    const names = order.map((one) => one[by()]);
    const bars = (values, more) => ({ type: "bar", ...(isLong ? { orientation: "h", x: values, y: names } : { x: names, y: values }), hovertemplate: isLong ? "%{y}: %{x:.2%}" : "%{x}: %{y:.2%}", ...more });
    const now = bars(order.map((one) => one.share), { name: found === started ? found.mixture : "as edited", marker: { color: colour(0) } });
    const then = bars(names.map((name) => before[by()].get(name)?.share ?? 0), { name: started.mixture, marker: { color: colour(9), opacity: 0.55 } });
    const shown = { tickformat: ".2~%", rangemode: "tozero" };
    const axes = isLong ? { xaxis: { ...shown, showgrid: true }, yaxis: { ...namesAxis(names), autorange: "reversed", showgrid: false } } : { yaxis: shown, xaxis: namesAxis(names) };
    const said = order.slice(0, 5).map((one) => `${one[by()]} ${share(one.share)}`).join(", ");
    shares.update(said, found === started ? [now] : [then, now], { ...axes, showlegend: found !== started });
  }

  return { totals, refusals, chart: shares.element, keys: keys.element, streams: streams.element, update };
}
