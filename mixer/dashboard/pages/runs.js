// Runs: the list, and a form that starts one.

import { get, named, poll, post } from "../api.js";
import { command } from "../command.js";
import { count, empty, h, link, put } from "../dom.js";
import { field, form, readOnly, versionField } from "../form.js";
import { showRun } from "./run.js";
import { stateOf } from "../run_state.js";
import { table } from "../table.js";

const STARTING = "phasemix runs create first --mixture general@1 --seed 17 --global-batch 512";

export async function show(main, address, writes) {
  const [name] = address.words;
  if (name === "new") return showNew(main, address, writes);
  return name ? showRun(main, address, name, writes) : showAll(main, address, writes);
}

async function showAll(main, address, writes) {
  const body = h("div");
  const compare = link("#/compare", "Compare runs");
  const isArchive = address.query.get("archived") === "true";
  const other = isArchive ? link("#/runs", "Runs that are not archived") : link("#/runs?archived=true", "Archived runs");
  const start = h("p", { class: "buttons" }, writes ? h("a", { href: "#/runs/new", class: "primary" }, "Start a run") : null, compare, other);
  put(main, h("h1", {}, isArchive ? "Archived runs" : "Runs"), h("p", { class: "lead" }, "A mixture, a seed and a batch: one exact order of samples, written into a ledger."), start, body);
  const rows = table("Runs", [
    { name: "name", title: "Run", value: (r) => r.name, cell: (r) => ({ text: r.name, href: `#/runs/${named(r.name)}` }) },
    { name: "mixture", title: "Mixture", value: (r) => r.mixture, cell: (r) => ({ text: r.mixture, href: `#/mixtures/${r.mixture.replace("@", "/")}` }) },
    { name: "state", title: "State", value: (r) => stateOf(r).text, cell: stateOf },
    { name: "steps", title: "Batches", number: true, value: (r) => r.end_step, cell: (r) => progress(r) },
    { name: "batch", title: "Global batch", number: true, value: (r) => r.global_batch, cell: (r) => count(r.global_batch) },
    { name: "seed", title: "Seed", number: true, value: (r) => r.seed, cell: (r) => String(r.seed) },
    { name: "parent", title: "Parent", cell: (r) => (r.parent ? { text: r.parent, href: `#/runs/${named(r.parent)}` } : "") },
  ], { key: (r) => r.name, quiet: true });
  const nothing = isArchive ? empty("No run is archived.") : empty("No runs yet. Start one here, or with:", STARTING);
  return poll(async (signal) => {
    const found = await get(isArchive ? "runs?archived=true" : "runs", signal);
    const wanted = found.length ? rows.element : nothing;
    if (!wanted.isConnected) body.replaceChildren(wanted);
    rows.update(found);
  });
}

function progress(run) {
  if (!run.num_steps) return count(run.end_step);
  return { text: `${count(run.end_step)} of ${count(run.num_steps)}`, meter: Math.min(1, run.end_step / run.num_steps) };
}

async function showNew(main, address, writes) {
  put(main, h("p", { class: "crumbs" }, link("#/runs", "Runs")), h("h1", {}, "Start a run"));
  if (!writes) return put(main, readOnly("start a run"));
  const [mixtures, runs] = await Promise.all([get("mixtures"), get("runs")]);
  if (!mixtures.length) return put(main, empty("A run needs a mixture. Apply one first:", "phasemix mixtures apply general.toml"));
  const mixture = await versionField("Mixture", address.query.get("mixture"));
  const whole = (label, name, more) => field(label, { kind: "number", name, min: 0, step: 1, inputmode: "numeric", ...more });
  const parents = [h("option", { value: "" }, "none"), ...runs.map((run) => h("option", {}, run.name))];
  const fields = [
    field("Name", { name: "name", required: true, placeholder: "first", hint: "one word of a-z, 0-9 and ._-" }),
    mixture,
    whole("Seed", "seed", { value: 17 }),
    whole("Global batch", "global_batch", { value: 512, hint: "samples of one step" }),
    whole("Steps", "num_steps", { hint: "optional; what caps cannot keep is refused now" }),
    field("Why", { name: "why", hint: "optional" }),
  ];
  const more = [
    field("Parent", { kind: "select", name: "parent", options: parents, hint: "go on where it has brought the streams" }),
    whole("Parent step", "parent_step", { hint: "default: all its batches" }),
    whole("Canonical nodes", "canonical_nodes", { placeholder: "1" }),
    whole("Segment batches", "segment_batches", { placeholder: "32", hint: "a switch takes effect so often" }),
    whole("Write ahead", "write_ahead", { placeholder: "256", hint: "batches past the ledger's end" }),
  ];
  const made = form("Start", [...fields, ...more], async (values) => {
    const run = await post("runs", values);
    location.hash = `#/runs/${named(run.name)}`;
    return `run ${run.name} is created on ${run.mixture}; its first step is ${run.end_step}`;
  }, { command: ({ name, ...values }) => (name ? command("runs", "create", name, Object.fromEntries(Object.entries(values).map(([key, value]) => [key.replaceAll("_", "-"), value]))) : null) });
  const rest = h("details", {}, h("summary", {}, "More settings"), h("div", { class: "fields" }, more.map((one) => one.element)));
  made.querySelector(".fields").after(rest);
  put(main, h("div", { class: "card narrow" }, made));
  return {};
}
