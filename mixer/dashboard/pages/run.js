// One run: target and realised shares, losses, passes, its history, and what can be done with it.

import { get, named, poll, post } from "../api.js";
import { chart, colour, cut, narrow } from "../chart.js";
import { count, h, link, points, put, say, section, share, short, when } from "../dom.js";
import { field, form, readOnly, versionField } from "../form.js";
import { stateOf } from "../run_state.js";
import { table } from "../table.js";

const PHASES = ["general", "continued", "enhanced"];
const steps = { legend: { y: -0.16, yanchor: "top" }, xaxis: { rangemode: "tozero", tickformat: "," } };
const MARKED = 6; // switches that are named
const LINES = 8; // shown; the next are a click in the legend away
const MOST = 24; // what a chart can still tell apart; the table has all

export async function showRun(main, address, name, writes) {
  const path = `runs/${named(name)}`;
  let run = await get(path);
  let drawn = null; // the series
  const state = h("span", { class: "badge" });
  const facts = h("dl", { class: "facts" });
  const by = field("Lines by", { kind: "select", options: ["key", "stream", "component"].map((one) => h("option", { selected: one === address.query.get("by") }, one)) });
  const shares = chart("Target (dashed) and realised share, over steps", { height: 340, tall: 60 });
  const losses = chart("Loss, over steps", { height: 260, tall: 60 });
  const noLoss = h("p", { class: "quiet" }, "No losses yet: the trainer's callback reports them for every stream.");
  const none = h("p", { class: "quiet" }, "Nothing is drawn yet. The first batch that a trainer asks for writes the first segment.");
  const uses = useTable(() => run);
  const history = historyTable();
  const train = h("code");
  by.input.addEventListener("change", () => { address.set("by", by.input.value); watch.now(); });

  const actions = writes ? await actionsOf(name, address, () => run, () => watch.now()) : readOnly("steer this run");
  put(main,
    h("p", { class: "crumbs" }, link("#/runs", "Runs")), h("h1", {}, name, " ", state), facts,
    section("Shares over steps", h("div", { class: "fields" }, by.element), none, shares.element, losses.element, noLoss),
    section("Streams", uses.element),
    section("Steer", actions),
    section("History", history.element),
    section("Train it", h("pre", { tabindex: 0 }, train), h("p", { class: "quiet" }, "PHASE is general, continued or enhanced; --resume goes on after a crash with the same batches.")),
  );

  function drawFacts() {
    const { text, tone } = stateOf(run);
    say(state, text);
    state.setAttribute("data-tone", tone);
    const steps = count(run.end_step) + (run.num_steps ? ` of ${count(run.num_steps)}` : "");
    const rows = [
      ["Mixture", link(`#/mixtures/${run.mixture.replace("@", "/")}`, run.mixture)],
      ["Batches", steps], ["Tokens", short(run.end_step * run.global_batch * run.seq_len)],
      ["Global batch", `${count(run.global_batch)} × ${count(run.seq_len)}`], ["Seed", String(run.seed)], ["Policy", run.policy],
      run.parent && [run.fork ? "Fork of" : "Parent", h("span", {}, link(`#/runs/${named(run.parent)}`, run.parent), ` at ${count(run.parent_step ?? 0)}`)],
      run.skipped?.length && ["Skipped", run.skipped.map(([start, batches]) => `${count(start)} to ${count(start + batches - 1)}`).join(", ")],
    ].filter(Boolean);
    const said = rows.map(([word, value]) => word + (value.textContent ?? value)).join();
    if (facts.dataset.said !== said) facts.replaceChildren(...rows.map(([word, value]) => h("div", {}, h("dt", {}, word), h("dd", {}, value))));
    facts.dataset.said = said;
    const base = run.mixture.split("@")[0];
    const settings = ["seed", "global_batch", "seq_len"].map((key) => `--set batch.${key}=${run[key]}`).join(" ");
    say(train, `phasemix train ${PHASES.includes(base) ? base : "PHASE"} --mixture ${run.mixture} --run ${name} --resume \\\n  ${settings}`);
  }

  async function refresh(signal) {
    const [found, series, events] = await Promise.all([get(path, signal), get(`${path}/series?points=100&by=${by.input.value}`, signal), get(`${path}/history`, signal)]);
    run = found;
    drawFacts();
    uses.update(run.use);
    history.update(foldRamps(events).reverse());
    const hasSteps = series.steps.length > 0;
    const hasLoss = series.loss.some((row) => row.some((one) => one !== null));
    none.hidden = hasSteps;
    shares.element.hidden = !hasSteps;
    losses.element.hidden = !hasLoss;
    noLoss.hidden = hasLoss || !hasSteps;
    if (series === drawn) return;
    drawn = series;
    if (hasSteps) await drawShares(shares, series);
    if (hasLoss) await drawLosses(losses, series);
  }

  const watch = poll(refresh);
  return watch;
}

// Groups by their share at the end, the largest first, each with its column and colour; beyond the first few hidden.
function groupsOf({ groups, target }) {
  const most = (column) => Math.max(target.at(-1)[column], target[0][column]);
  const order = groups.map((name, column) => ({ name, column })).sort((a, b) => most(b.column) - most(a.column));
  return order.slice(0, MOST).map((one, place) => ({ ...one, color: colour(place), visible: place < LINES ? true : "legendonly", showlegend: place < LINES || !narrow() }));
}

function marks(events) {
  const line = (step) => ({ type: "line", x0: step, x1: step, yref: "paper", y0: 0, y1: 1, line: { width: 1, dash: "dot", color: "#888" } });
  const text = ({ step, mixture }) => ({ x: step, yref: "paper", y: 1, yanchor: "bottom", text: mixture, showarrow: false, font: { size: 11 } });
  const shown = events.filter(({ event }) => ["switched", "skipped", "dry"].includes(event));
  const switches = shown.filter(({ event }) => event === "switched").slice(-MARKED);
  return { shapes: shown.map(({ step }) => line(step)), annotations: switches.map(text), margin: { l: 8, r: 12, t: 28, b: 8 } };
}

function drawShares(place, series) {
  const groups = groupsOf(series);
  const mode = series.steps.length > 20 ? "lines" : "lines+markers";
  const trace = ({ name, column, color, visible, showlegend }, rows, more) => ({ type: "scatter", name: cut(name), legendgroup: name, visible, showlegend, x: series.steps, y: rows.map((row) => row[column]), ...more, line: { color, width: 1.6, ...more.line } });
  const data = groups.flatMap((one) => [
    trace(one, series.target, { mode: "lines", showlegend: false, meta: "target", hovertemplate: `${one.name}, target %{y:.2%} to step %{x}<extra></extra>`, line: { dash: "dash", shape: "vh" } }),
    trace(one, series.realised, { mode, meta: "realised", marker: { size: 5, color: one.color }, hovertemplate: `${one.name}, realised %{y:.2%} to step %{x}<extra></extra>` }),
  ]);
  const said = groups.slice(0, 5).map(({ name, column }) => `${name} target ${share(series.target.at(-1)[column])}, realised ${share(series.realised.at(-1)[column])}`).join("; ");
  return place.update(said, data, { ...marks(series.events), yaxis: { tickformat: ".2~%", rangemode: "tozero" }, ...steps });
}

function drawLosses(place, series) {
  const data = groupsOf(series).map(({ name, column, color, visible, showlegend }) => ({
    type: "scatter", mode: "lines", connectgaps: true, name: cut(name), visible, showlegend, x: series.steps, y: series.loss.map((row) => row[column]),
    line: { color, width: 1.6 }, hovertemplate: `${name}: %{y:.3f} at step %{x}<extra></extra>`,
  }));
  const said = data.slice(0, 5).map((one) => `${one.name} ${one.y.findLast((value) => value !== null)?.toFixed(3) ?? "not measured"}`).join(", ");
  return place.update(said, data, { ...marks(series.events), ...steps });
}

function useTable(run) {
  const drawn = () => Math.max(1, run().use.reduce((sum, one) => sum + one.realised_samples, 0));
  const off = (u) => (u.realised_samples - u.target_samples) / drawn();
  return table("Target and realised by stream", [
    { name: "stream", title: "Stream", value: (u) => u.stream, cell: (u) => ({ text: u.stream, href: `#/catalog?stream=${encodeURIComponent(u.stream)}` }) },
    { name: "now", title: "Share now", number: true, value: (u) => run().shares[u.stream] ?? 0, cell: (u) => ({ text: share(run().shares[u.stream] ?? 0), meter: run().shares[u.stream] ?? 0 }) },
    { name: "target", title: "Target so far", number: true, value: (u) => u.target_samples, cell: (u) => share(u.target_samples / drawn()) },
    { name: "realised", title: "Realised", number: true, value: (u) => u.realised_samples, cell: (u) => share(u.realised_samples / drawn()) },
    { name: "off", title: "Off, points", number: true, value: off, cell: (u) => points(off(u)) },
    { name: "tokens", title: "Tokens", number: true, value: (u) => u.realised_samples, cell: (u) => count(u.realised_samples * run().seq_len) },
    { name: "passes", title: "Passes", number: true, value: (u) => u.passes, cell: (u) => u.passes.toFixed(3) },
  ], { key: (u) => u.stream, sort: "-now" });
}

// Keys whose shares an event changed, the largest change first; all of them where nothing was before.
function changedKeys(before, after) {
  if (!after) return "";
  const moved = (key) => Math.abs((after[key] ?? 0) - (before?.[key] ?? 0));
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after)])].filter((key) => moved(key) >= 0.00005).sort((a, b) => moved(b) - moved(a));
  const said = (key) => (before ? `${key} ${share(before[key] ?? 0)} → ${share(after[key] ?? 0)}` : `${key} ${share(after[key])}`);
  return keys.map(said).join(", ") || "as before";
}

// The steps of a ramp from one mixture to another as one event.
function foldRamps(events) {
  const folded = [];
  for (const event of events) {
    const last = folded.at(-1);
    const ends = event.mixture === last?.mixture?.split("..")[1];
    if (last?.event === "ramped" && event.event === "switched" && event.by === last.by && (ends || event.mixture === last.mixture)) {
      folded[folded.length - 1] = { ...last, keys: event.keys, why: `until step ${count(event.step)}${ends ? "" : `; ${event.why}`}` };
    } else folded.push(event.event === "switched" && event.mixture?.includes("..") ? { ...event, event: "ramped" } : event);
  }
  return folded;
}

function historyTable() {
  return table("History", [
    { name: "step", title: "Step", number: true, cell: (e) => count(e.step) },
    { name: "event", title: "Event", cell: (e) => e.event },
    { name: "mixture", title: "Mixture", cell: (e) => (e.mixture ? { text: e.mixture, href: `#/mixtures/${e.mixture.split("..").at(-1).replace("@", "/")}` } : "") },
    { name: "shares", title: "Shares by key", prose: true, cell: (e) => changedKeys(e.keys_before, e.keys) },
    { name: "why", title: "Why", prose: true, cell: (e) => e.why ?? "" },
    { name: "by", title: "Who", cell: (e) => e.by ?? "" },
    { name: "at", title: "When", cell: (e) => when(e.at_s) },
  ], { key: (e) => JSON.stringify([e.run, e.step, e.event, e.mixture, e.at_s, e.why]), quiet: true });
}

async function actionsOf(name, address, run, changed) {
  const path = `runs/${named(name)}`;
  const why = () => field("Why", { name: "why", hint: "optional; stands in the history" });
  const whole = (label, key, more) => field(label, { kind: "number", name: key, min: 0, step: 1, inputmode: "numeric", ...more });
  const act = (verb, said) => async (values) => {
    const answer = await post(`${path}/${verb}`, values);
    await changed();
    return said(answer, values);
  };
  const folded = (title, ...forms) => h("details", {}, h("summary", {}, title), forms);
  const version = await versionField("Mixture", address.query.get("switch") ?? run().mixture);
  const switching = form("Switch", [version, whole("At step", "at_step", { hint: "default: the next boundary" }), why()],
    act("switch", (answer, values) => `${values.mixture} holds from step ${count(answer.from_step)}`), { title: "Switch the mixture", id: "switch" });
  const forking = form("Fork", [field("Name", { name: "name", required: true }), whole("At step", "at_step"), whole("Seed", "seed", { placeholder: String(run().seed) }),
    whole("Global batch", "global_batch", { placeholder: String(run().global_batch) }), whole("Skip batches", "skip", { placeholder: "0" }),
    whole("Steps in all", "num_steps", { min: 1, placeholder: run().num_steps ? String(run().num_steps) : "no limit" }), why()], async (values) => {
    const made = await post(`${path}/fork`, values);
    location.hash = `#/runs/${named(made.name)}`;
    return `run ${made.name} forks from ${name}`;
  });
  const skipping = form("Skip", [whole("First batch", "start_step"), whole("Batches", "batches", { min: 1 }), why()], act("skip", () => "these batches are left out"));
  const pausing = form("Pause", [why()], act("pause", () => `${name} is paused`));
  const resuming = form("Resume", [why()], act("resume", () => `${name} goes on`));
  const ending = form("End for good", [why()], act("end", () => `${name} has ended`));
  const note = field("Note", { name: "text", required: true, maxlength: 1000 });
  const noting = form("Write down", [note], act("notes", () => { note.input.value = ""; return "the note is in the history"; }));
  if (run().ended) return h("div", { class: "actions" }, h("div", { class: "card" }, folded("Write a note", noting), folded("Fork at a step", forking)));
  return h("div", { class: "actions" }, h("div", { class: "card" }, switching),
    h("div", { class: "card" }, folded("Write a note", noting), folded("Pause or resume", pausing, resuming), folded("Fork at a step", forking), folded("Skip batches", skipping), folded("End the run", ending)));
}
