// One run: its curves, the documents of its batches, its streams, its history, and what can be done with it.

import { get, poll, post, runPath } from "../api.js";
import { command, copyable } from "../command.js";
import { timeLeft, windowAt } from "../curves.js";
import { count, duration, h, link, put, say, section, short, showFacts } from "../dom.js";
import { field, readOnly, smoothingField } from "../form.js";
import { actionsOf } from "../run/actions.js";
import { batchPanel } from "../run/batch.js";
import { charts } from "../run/charts.js";
import { evaluationRows, evaluationTable, foldRamps, historyTable, useTable } from "../run/tables.js";
import { stateOf } from "../run_state.js";

const PHASES = ["general", "continued", "enhanced"];
const POINTS = 200;

export async function showRun(main, address, name, writes) {
  const path = runPath(name);
  let run = await get(path);
  let series = null;
  let dry = new Map(); // stream -> { tokens, seconds, isSoon }
  let dryAt = null; // what it was asked for
  const state = h("span", { class: "badge" });
  const facts = h("dl", { class: "facts" });
  const by = field("Lines by", { kind: "select", options: ["key", "stream", "component"].map((one) => h("option", { selected: one === address.query.get("by") }, one)) });
  const smooth = smoothingField(address, () => drawCurves());
  const from = field("From step", { kind: "number", min: 0, step: 1, inputmode: "numeric", placeholder: "0", value: address.query.get("from") ?? "" });
  const to = field("To step", { kind: "number", min: 1, step: 1, inputmode: "numeric", placeholder: "the last", value: address.query.get("to") ?? "" });
  const whole = h("button", { type: "button", click: () => mark(null, null) }, "Whole run");
  const curves = charts({ onPoint: (step) => { const found = windowAt(series, step); if (found) batches.showPoint(found); }, onRange: mark });
  const noLoss = h("p", { class: "quiet" }, "No losses yet: the trainer's callback reports them for every stream.");
  const none = h("p", { class: "quiet" }, "Nothing is drawn yet. The first batch that a trainer asks for writes the first segment.");
  const uses = useTable(() => run, () => dry);
  const evaluations = evaluationTable();
  const measured = section("Evaluations", evaluations.element);
  measured.hidden = true;
  const history = historyTable();
  const train = copyable();
  by.input.addEventListener("change", () => { address.set("by", by.input.value); watch.now(); });
  from.input.addEventListener("change", () => mark(from.input.valueAsNumber, to.input.valueAsNumber));
  to.input.addEventListener("change", () => mark(from.input.valueAsNumber, to.input.valueAsNumber));

  const actions = writes ? await actionsOf(name, address, () => run, () => watch.now()) : { element: readOnly("steer this run"), propose: null };
  const batches = batchPanel(name, address, actions.propose);
  const edit = writes && !run.ended && !run.mixture.includes("..") ? link(`#/mixtures/${run.mixture.replace("@", "/")}?run=${encodeURIComponent(name)}`, "Change its ratios") : null;
  const compare = link(`#/compare?runs=${encodeURIComponent(run.parent ? `${run.parent},${name}` : name)}`, run.parent ? `Compare with ${run.parent}` : "Compare with another run");
  put(main,
    h("p", { class: "crumbs" }, link("#/runs", "Runs")), h("h1", {}, name, " ", state), facts,
    h("p", { class: "buttons" }, edit, compare),
    section("Over steps", h("div", { class: "fields toolbar" }, by.element, smooth.element, from.element, to.element, whole), none, curves.elements, noLoss),
    batches.element,
    section("Streams", uses.element),
    measured,
    section("Steer", actions.element),
    section("History", history.element),
    section("Train it", train.element, h("p", { class: "quiet" }, "PHASE is general, continued or enhanced; --resume goes on after a crash with the same batches.")),
  );

  // The stretch of steps that is looked at: [start, end], or all where nothing is said.
  function mark(start, end) {
    const low = Number.isFinite(start) ? Math.max(0, Math.floor(start)) : null;
    const high = Number.isFinite(end) ? Math.ceil(end) : null;
    from.input.value = low ?? "";
    to.input.value = high ?? "";
    address.set("from", low === null ? null : String(low));
    address.set("to", high === null ? null : String(high));
    watch.now();
  }

  function range() {
    const low = from.input.value === "" ? null : from.input.valueAsNumber;
    const high = to.input.value === "" ? null : to.input.valueAsNumber;
    return low === null && high === null ? null : { start: low ?? 0, end: high ?? run.end_step };
  }

  function drawFacts() {
    const { text, tone } = stateOf(run);
    say(state, text);
    state.setAttribute("data-tone", tone);
    const batchTokens = run.global_batch * run.seq_len;
    const trained = series?.trained_step ?? null;
    const left = timeLeft(run.num_steps ? run.num_steps - (trained ?? run.end_step) : null, batchTokens, series?.speed_tokens_per_s);
    showFacts(facts, [
      ["Mixture", link(`#/mixtures/${run.mixture.replace("@", "/")}`, run.mixture)],
      ["Batches", count(run.end_step) + (run.num_steps ? ` of ${count(run.num_steps)}` : "")], ["Tokens", short(run.end_step * batchTokens)],
      trained !== null && ["Trained", `${count(trained)} batches`],
      series?.speed_tokens_per_s && ["Tokens a second", short(series.speed_tokens_per_s)],
      left !== null && !["ended", "complete"].includes(run.state) && ["Time to the end", duration(left)],
      ["Global batch", `${count(run.global_batch)} × ${count(run.seq_len)}`], ["Seed", String(run.seed)], ["Policy", run.policy],
      run.parent && [run.fork ? "Fork of" : "Parent", h("span", {}, link(`#/${runPath(run.parent)}`, run.parent), ` at ${count(run.parent_step ?? 0)}`)],
      run.skipped?.length && ["Skipped", run.skipped.map(([start, batches]) => `${count(start)} to ${count(start + batches - 1)}`).join(", ")],
    ]);
    const base = run.mixture.split("@")[0];
    const settings = ["seed", "global_batch", "seq_len"].map((key) => `--set batch.${key}=${run[key]}`).join(" ");
    train.update(`${command("train", PHASES.includes(base) ? base : "PHASE", "--mixture", run.mixture, "--run", name)} --resume ${settings}`);
  }

  async function drawCurves() {
    if (!series) return;
    const hasSteps = series.steps.length > 0;
    none.hidden = hasSteps || range() !== null;
    noLoss.hidden = !hasSteps || series.total_loss.some((one) => one !== null);
    whole.hidden = range() === null;
    curves.elements.forEach((one) => { one.hidden = !hasSteps; });
    if (hasSteps) await curves.update(series, range(), smooth.weight());
  }

  // When each stream comes to its cap, as things go on; asked again only when the run has gone on.
  async function drawDry(signal) {
    const key = `${run.end_step} ${run.mixture} ${series.speed_tokens_per_s}`;
    if (key === dryAt || run.ended || run.mixture.includes("..")) return;
    dryAt = key;
    const found = await post("mixtures/preview", { mixture: run.mixture, run: name, tokens: 0 }, signal).catch(() => null);
    if (!found) return;
    const left = run.num_steps ? (run.num_steps - run.end_step) * run.global_batch * run.seq_len : 0;
    const speed = series.speed_tokens_per_s;
    dry = new Map(found.streams.filter((one) => one.dry_at_tokens !== null).map((one) => [one.stream, {
      tokens: one.dry_at_tokens, seconds: one.dry_in_s ?? (speed ? one.dry_at_tokens / speed : null), isSoon: one.dry_at_tokens <= left,
    }]));
    uses.update(run.use);
  }

  async function refresh(signal) {
    const stretch = range();
    const query = new URLSearchParams({ points: POINTS, by: by.input.value, ...(stretch ?? {}) });
    const asked = [path, `${path}/series?${query}`, `${path}/history`, `${path}/evaluations`];
    const [found, drawn, events, evaluated] = await Promise.all(asked.map((one) => get(one, signal)));
    const isNew = drawn !== series;
    [run, series] = [found, drawn];
    drawFacts();
    uses.update(run.use);
    measured.hidden = evaluated.length === 0;
    evaluations.update(evaluationRows(evaluated));
    history.update(foldRamps(events).reverse());
    if (isNew) await drawCurves();
    await drawDry(signal);
  }

  const watch = poll(refresh);
  return watch;
}
