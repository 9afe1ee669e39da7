// Two or more runs over each other: losses and speeds, mixtures, shares by key, histories.

import { get, poll, runPath } from "../api.js";
import { chart, colour } from "../chart.js";
import { byKey, smoothed } from "../curves.js";
import { count, empty, h, link, put, section, share, short } from "../dom.js";
import { smoothingField } from "../form.js";
import { foldRamps, historyTable } from "../run/tables.js";
import { stateOf } from "../run_state.js";
import { change, table } from "../table.js";

const MOST = 6; // runs
const POINTS = 200;

export async function show(main, address) {
  const all = await get("runs");
  if (all.length < 2) {
    put(main, h("h1", {}, "Compare runs"), empty("There are fewer than two runs. Start another one, or fork one:", "phasemix runs fork RUN NEW --at-step 100"));
    return {};
  }
  const there = new Set(all.map((run) => run.name));
  let chosen = (address.query.get("runs") ?? "").split(",").filter((name) => there.has(name)).slice(0, MOST);
  const choices = all.map((run) => {
    const box = h("input", { type: "checkbox", value: run.name, checked: chosen.includes(run.name), change: choose });
    return { box, element: h("label", { class: "choice" }, box, ` ${run.name}`) };
  });
  const smooth = smoothingField(address, () => watch.now());
  const losses = chart("Loss over all streams, over steps", { height: 340 });
  const speeds = chart("Tokens a second, over steps", { height: 200 });
  const noLoss = h("p", { class: "quiet" }, "None of them has reported a loss yet.");
  const body = h("div");
  const few = h("p", { class: "quiet" }, "Choose two runs or more.");
  put(main,
    h("p", { class: "crumbs" }, link("#/runs", "Runs")), h("h1", {}, "Compare runs"),
    h("fieldset", { class: "choices" }, h("legend", {}, "Runs"), choices.map((one) => one.element)), few,
    section("Over steps", h("div", { class: "fields toolbar" }, smooth.element), losses.element, speeds.element, noLoss), body);

  function choose() {
    chosen = choices.filter(({ box }) => box.checked).map(({ box }) => box.value).slice(0, MOST);
    for (const { box } of choices) box.checked = chosen.includes(box.value);
    address.set("runs", chosen.join(","));
    watch.now();
  }

  function lines(runs, values, more) {
    return runs.map(({ name, series }, place) => ({
      type: "scatter", mode: "lines", connectgaps: true, name, x: series.steps, y: values(series), line: { color: colour(place), width: 2 }, hovertemplate: `${name}: %{y:.4~g} to step %{x}<extra></extra>`, ...more,
    }));
  }

  async function drawCurves(runs) {
    const has = (what) => runs.some(({ series }) => series[what].some((one) => one !== null));
    noLoss.hidden = has("total_loss");
    losses.element.hidden = !has("total_loss");
    speeds.element.hidden = !has("tokens_per_s");
    const layout = { showlegend: true, legend: { y: -0.16, yanchor: "top" }, xaxis: { tickformat: ",", rangemode: "tozero" } };
    const last = ({ name, series }) => `${name} ${series.total_loss.findLast((one) => one !== null)?.toFixed(3) ?? "not measured"}`;
    if (has("total_loss")) await losses.update(runs.map(last).join(", "), lines(runs, (series) => smoothed(series.total_loss, smooth.weight())), layout);
    if (has("tokens_per_s")) await speeds.update(runs.map(({ name, series }) => `${name} ${short(series.speed_tokens_per_s ?? 0)}`).join(", "), lines(runs, (series) => series.tokens_per_s, { connectgaps: false }), { ...layout, yaxis: { rangemode: "tozero", exponentformat: "B" } });
  }

  const facts = factsTable();
  let drawn = null;
  const watch = poll(async (signal) => {
    const runs = await Promise.all(chosen.map(async (name) => {
      const path = runPath(name);
      const [run, series, history] = await Promise.all([get(path, signal), get(`${path}/series?points=${POINTS}`, signal), get(`${path}/history`, signal)]);
      return { name, run, series, history, keys: byKey(run.shares) };
    }));
    few.hidden = runs.length > 1;
    await drawCurves(runs);
    facts.update(runs);
    const signature = JSON.stringify(runs.map(({ name, run, history }) => [name, run.mixture, run.shares, history.length]));
    if (signature === drawn) return;
    drawn = signature;
    const histories = runs.map(({ name, history }) => {
      const one = historyTable(`History of ${name}`);
      one.update(foldRamps(history).reverse());
      return section(`History of ${name}`, one.element);
    });
    body.replaceChildren(...(runs.length ? [section("What they are", facts.element), section("Shares now", sharesTable(runs)), ...histories] : []));
  }, 3000);
  return watch;
}

function factsTable() {
  return table("What they are", [
    { name: "name", title: "Run", value: (r) => r.name, cell: (r) => ({ text: r.name, href: `#/${runPath(r.name)}` }) },
    { name: "mixture", title: "Mixture", value: (r) => r.run.mixture, cell: (r) => ({ text: r.run.mixture, href: `#/mixtures/${r.run.mixture.split("..").at(-1).replace("@", "/")}` }) },
    { name: "state", title: "State", value: (r) => stateOf(r.run).text, cell: (r) => stateOf(r.run) },
    { name: "steps", title: "Batches", number: true, value: (r) => r.run.end_step, cell: (r) => count(r.run.end_step) },
    { name: "batch", title: "Global batch", number: true, value: (r) => r.run.global_batch, cell: (r) => count(r.run.global_batch) },
    { name: "seed", title: "Seed", number: true, value: (r) => r.run.seed, cell: (r) => String(r.run.seed) },
    { name: "loss", title: "Last loss", number: true, value: (r) => lastLoss(r) ?? Infinity, cell: (r) => lastLoss(r)?.toFixed(3) ?? "" },
    { name: "speed", title: "Tokens/s", number: true, value: (r) => r.series.speed_tokens_per_s ?? 0, cell: (r) => (r.series.speed_tokens_per_s ? short(r.series.speed_tokens_per_s) : "") },
  ], { key: (r) => r.name, quiet: true });
}

const lastLoss = ({ series }) => series.total_loss.findLast((one) => one !== null);

// Shares by key, a column a run, and how far the last one is from the first.
function sharesTable(runs) {
  const keys = [...new Set(runs.flatMap(({ keys: own }) => [...own.keys()]))].map((key) => ({ key, shares: runs.map(({ keys: own }) => own.get(key) ?? 0) }));
  const difference = (row) => row.shares.at(-1) - row.shares[0];
  const rows = table("Shares now, by key", [
    { name: "key", title: "Key", value: (k) => k.key },
    ...runs.map(({ name }, place) => ({ name: `run${place}`, title: name, number: true, value: (k) => k.shares[place], cell: (k) => share(k.shares[place]) })),
    ...(runs.length > 1 ? [{ name: "change", title: `${runs.at(-1).name} − ${runs[0].name}, points`, number: true, value: difference, cell: (k) => change(difference(k)) }] : []),
  ], { key: (k) => k.key, sort: "-run0", quiet: true });
  rows.update(keys);
  return rows.element;
}
