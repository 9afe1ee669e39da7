// The generator pool: workers, queue, rates by reason, its size, and the files it wrote.

import { get, poll, post } from "../api.js";
import { command } from "../command.js";
import { chart, colour, timesAxis } from "../chart.js";
import { arrange, count, duration, empty, h, put, say, section, share, short, showFacts, when } from "../dom.js";
import { field, form, readOnly } from "../form.js";
import { table } from "../table.js";

const KEPT = 900; // points of the chart: what this page has seen since it was opened
const TOKEN_CLASS = /^[a-z][a-z0-9]{0,3}$/;

export async function show(main, address, writes) {
  const seen = []; // { at, accepted, rejected: { reason: n } } a minute
  const cards = h("dl", { class: "facts figures" });
  const label = h("p", { class: "lead" });
  const wanted = field("Wanted workers", { kind: "number", name: "workers", min: 0, max: 1024, step: 1, inputmode: "numeric", required: true });
  const scale = writes ? h("div", { class: "card inline" }, form("Scale", [wanted], async (values) => {
    const { wanted: now } = await post("pool", values);
    await watch.now();
    return `${now} workers are wanted`;
  }, { command: ({ workers: number }) => (number === undefined ? null : command("generators", "scale", String(number))) })) : readOnly("scale the pool");
  const orders = orderTable();
  const ordered = section("Orders", orders.element, writes ? orderForms(() => watch.now()) : null);
  let takesOrders = true; // a service without the generators' package does not
  const rates = chart("Files a minute, since this page was opened");
  const workers = workerTable();
  const reasons = table("Rejected, by reason", [
    { name: "reason", title: "Reason", value: (r) => r.reason },
    { name: "rate", title: "A minute", number: true, value: (r) => r.rate, cell: (r) => r.rate.toFixed(1) },
    { name: "total", title: "In all", number: true, value: (r) => r.total, cell: (r) => count(r.total) },
  ], { key: (r) => r.reason, sort: "-total" });
  const nothing = empty("No pool is known: nothing has reported in the last 30 s. Start one, and give it work:",
    "phasemix up --workers 2", "phasemix generators seed --from 'scored/*' --files 1000 --language python");
  const supply = supplyTable();
  const hungry = runTable();
  const recipes = recipeTable();
  const live = h("div", {}, rates.element, supply.element, hungry.element, recipes.element, h("div", { class: "columns" }, workers.element, reasons.element));
  const pool = h("div");
  const verdict = field("Show", { kind: "select", options: ["accepted", "rejected"].map((one) => h("option", { selected: one === address.query.get("verdict") }, one)) });
  const files = h("div", { class: "files" });
  let filesShown = null;
  let isNew = true;
  verdict.input.addEventListener("change", () => { address.set("verdict", verdict.input.value); watch.now(); });
  put(main, h("h1", {}, "Generators"), label, cards, scale, pool, ordered, section("Files", h("div", { class: "fields" }, verdict.element), files));

  function drawPool({ wanted: want, state, rates: now }) {
    if (isNew && document.activeElement !== wanted.input) wanted.input.value = want;
    isNew = false;
    const rejected = Object.entries(now?.rejected_per_min ?? {});
    const rows = [["Workers", state ? `${count(state.workers.length)} of ${count(want)} wanted` : `${count(want)} wanted`]];
    if (state) {
      rows.push(["Waiting", count(state.queue_waiting)], ["Running", count(state.queue_running)], ["Unpublished", count(state.unpublished)], ["Dead", count(state.dead)], ["Accepted", count(state.accepted)],
        ["Accepted a minute", now.accepted_per_min.toFixed(1)], ["Rejected a minute", rejected.reduce((sum, [, rate]) => sum + rate, 0).toFixed(1)]);
    }
    showFacts(cards, rows);
    say(label, state ? [`Engine: ${state.engine_label}`, state.says].filter(Boolean).join(". ") : "");
    if (!state) return pool.replaceChildren(nothing);
    if (!live.isConnected) pool.replaceChildren(live);
    supply.element.hidden = !state.supply.length;
    supply.update(state.supply);
    hungry.element.hidden = !state.runs.length;
    hungry.update(state.runs);
    recipes.element.hidden = !state.recipes.length;
    recipes.update(state.recipes);
    workers.update(state.workers);
    const why = Object.entries(state.rejected).map(([reason, total]) => ({ reason, total, rate: now.rejected_per_min[reason] ?? 0 }));
    reasons.update(why, why.length ? "Rejected, by reason" : "Rejected: none so far");
    seen.push({ at: new Date(), accepted: now.accepted_per_min, rejected: now.rejected_per_min });
    if (seen.length > KEPT) seen.shift();
    return drawRates();
  }

  function drawRates() {
    const names = [...new Set(seen.flatMap((one) => Object.keys(one.rejected)))];
    const line = { type: "scatter", mode: seen.length > 20 ? "lines" : "lines+markers", x: seen.map((one) => one.at), hovertemplate: "%{y:.1f} a minute at %{x|%X}" };
    const data = [{ ...line, name: "accepted", y: seen.map((one) => one.accepted), line: { color: colour(2), width: 2 } },
      ...names.map((name, place) => ({ ...line, name, y: seen.map((one) => one.rejected[name] ?? 0), line: { color: colour(place + 3), width: 1.5, dash: ["dash", "dot", "dashdot", "longdash"][place % 4] } }))];
    return rates.update(data.map((one) => `${one.name} ${one.y.at(-1).toFixed(1)}`).join(", "), data, { showlegend: true, xaxis: timesAxis(line.x), yaxis: { rangemode: "tozero" } });
  }

  async function drawOrders(signal) {
    if (!takesOrders) return;
    const found = await get("pool/orders", signal).catch((error) => {
      takesOrders = error.status !== 404;
      if (takesOrders) throw error;
      return [];
    });
    ordered.hidden = !takesOrders;
    orders.element.hidden = !found.length;
    orders.update(found);
  }

  async function drawFiles(signal) {
    const found = await get(`pool/files?verdict=${verdict.input.value}&limit=20`, signal);
    if (found === filesShown) return;
    filesShown = found;
    const nothing = verdict.input.value === "accepted" ? "No file is published yet." : "No file was rejected lately; the last 200 are kept.";
    const there = new Map([...files.querySelectorAll(`details[data-verdict="${verdict.input.value}"]`)].map((one) => [one.dataset.id, one]));
    const newest = found.map((file) => there.get(file.id) ?? drawFile(file));
    const lookedAt = [...there.values()].filter((one) => one.open && !newest.includes(one));
    arrange(files, newest.length ? [...newest, ...lookedAt] : [h("p", { class: "empty" }, nothing)]);
  }

  const watch = poll(async (signal) => {
    const [found] = await Promise.all([get("pool", signal), drawFiles(signal), drawOrders(signal)]);
    await drawPool(found);
  });
  return watch;
}

function orderTable() {
  return table("Orders of files", [
    { name: "order", title: "Order", number: true, value: (o) => o.order, cell: (o) => count(o.order) },
    { name: "glob", title: "Seed documents", value: (o) => o.from },
    { name: "language", title: "Language", value: (o) => o.language ?? "every", cell: (o) => o.language ?? "every" },
    { name: "files", title: "Wanted", number: true, value: (o) => o.files, cell: (o) => count(o.files) },
    { name: "published", title: "Published", number: true, value: (o) => o.published / o.files, cell: (o) => ({ text: count(o.published), meter: Math.min(1, o.published / o.files) }) },
  ], { key: (o) => String(o.order), sort: "-order", quiet: true });
}

function orderForms(changed) {
  const fields = [field("Seed documents", { name: "from", value: "scored/*", required: true, hint: "a glob over streams" }),
    field("Files", { kind: "number", name: "files", min: 1, step: 1, inputmode: "numeric", required: true }),
    field("Language", { name: "language", hint: "optional: of this one alone" })];
  const seeding = form("Order files", fields, async (values) => {
    const made = await post("pool/orders", values);
    await changed();
    return `order ${made.order}: ${count(made.files)} files from ${made.from}`;
  }, { title: "Order synthetic files", command: (values) => (values.from && values.files ? command("generators", "seed", values) : null) });
  const draining = form("Drain", [], async () => {
    const { waiting, running, unpublished } = await post("pool/drain", {});
    await changed();
    return `no more jobs are planned; ${count(waiting + running)} are on their way and ${count(unpublished)} files are to be published, then the pool is scaled to 0`;
  }, { tone: null, command: () => command("generators", "drain") });
  return h("div", { class: "actions" }, h("div", { class: "card" }, seeding), h("div", { class: "card" }, h("h3", {}, "Drain the pool"), h("p", { class: "quiet" }, "Plans no more jobs, waits until what is on its way is published, and scales to 0. Scaling it ends that."), draining));
}

function workerTable() {
  return table("Workers", [
    { name: "name", title: "Worker", value: (w) => w.name },
    { name: "engine", title: "Engine", value: (w) => w.engine },
    { name: "running", title: "Running", number: true, value: (w) => w.running, cell: (w) => count(w.running) },
    { name: "accepted", title: "Accepted", number: true, value: (w) => w.accepted, cell: (w) => count(w.accepted) },
    { name: "rejected", title: "Rejected", number: true, value: (w) => w.rejected, cell: (w) => count(w.rejected) },
    { name: "rate", title: "Tokens/s", number: true, value: (w) => w.tokens_per_s, cell: (w) => short(w.tokens_per_s) },
    { name: "says", title: "Waits for", value: (w) => w.says },
  ], { key: (w) => w.name });
}

function supplyTable() {
  return table("Tokens that live runs demand", [
    { name: "language", title: "Language", value: (s) => s.language },
    { name: "missing", title: "Missing", number: true, value: (s) => s.missing_tokens, cell: (s) => short(s.missing_tokens) },
    { name: "published", title: "Published", number: true, value: (s) => s.published_tokens, cell: (s) => short(s.published_tokens) },
    { name: "rate", title: "A minute", number: true, value: (s) => s.tokens_per_min, cell: (s) => short(s.tokens_per_min) },
    { name: "left", title: "Time to the goal", number: true, value: (s) => s.time_left_s ?? Infinity, cell: (s) => (s.time_left_s === null ? "not known" : duration(s.time_left_s)) },
  ], { key: (s) => s.language });
}

function runTable() {
  return table("Runs that draw more than is published", [
    { name: "run", title: "Run", value: (r) => r.run, cell: (r) => ({ text: r.run, href: `#/runs/${encodeURIComponent(r.run)}` }) },
    { name: "language", title: "Language", value: (r) => r.language },
    { name: "left", title: "Tokens left", number: true, value: (r) => r.left_tokens, cell: (r) => short(r.left_tokens) },
    { name: "drawn", title: "Drawn a minute", number: true, value: (r) => r.drawn_per_min, cell: (r) => short(r.drawn_per_min) },
    { name: "starves", title: "Starves in", number: true, value: (r) => r.starves_in_s ?? Infinity, cell: (r) => (r.starves_in_s === null ? "never" : duration(r.starves_in_s)) },
  ], { key: (r) => `${r.run} ${r.language}`, sort: "starves" });
}

function recipeTable() {
  const files = (r) => (r.ended ? r.accepted / r.ended : null);
  return table("What recipes give", [
    { name: "recipe", title: "Recipe", value: (r) => r.recipe },
    { name: "language", title: "Language", value: (r) => r.language },
    { name: "ended", title: "Jobs ended", number: true, value: (r) => r.ended, cell: (r) => count(r.ended) },
    { name: "yield", title: "With a file", number: true, value: (r) => files(r) ?? -1, cell: (r) => (r.ended ? { text: share(files(r)), meter: files(r) } : "not known") },
    { name: "published", title: "Tokens published", number: true, value: (r) => r.published_tokens, cell: (r) => short(r.published_tokens) },
    { name: "cost", title: "Written for each", number: true, value: (r) => r.written_per_token ?? -1, cell: (r) => (r.written_per_token === null ? "not known" : r.written_per_token.toFixed(2)) },
  ], { key: (r) => `${r.recipe} ${r.language}`, sort: "recipe" });
}

function ago(at_s) {
  const seconds = Date.now() / 1000 - at_s;
  return seconds < 60 ? "just now" : `${duration(seconds < 3600 ? seconds - (seconds % 60) : seconds)} ago`;
}

function measures(values) {
  const words = { min: "at least", least: "at least", max: "at most" };
  const side = (name) => (name.split("_")[0] in words ? name.split("_")[0] : null);
  const rows = Object.entries(values).filter(([name]) => !side(name)).map(([name, value]) => {
    const limit = Object.keys(words).find((one) => `${one}_${name}` in values);
    return h("li", {}, `${name.replaceAll("_", " ")} ${value}${limit ? ` (${words[limit]} ${values[`${limit}_${name}`]})` : ""}`);
  });
  return rows.length ? h("ul", { class: "quiet", "aria-label": "What the gates measured" }, ...rows) : null;
}

function drawFile(file) {
  const spans = () => file.tokens.map(([kind, text]) => (TOKEN_CLASS.test(kind) ? h("span", { class: `t-${kind}` }, text) : text));
  const code = h("code");
  const fill = () => { if (!code.childNodes.length) code.append(...spans()); };
  const about = [file.id.slice(0, 8), `${file.text.trimEnd().split("\n").length} lines`, file.reason && file.reason.replaceAll("_", " "), file.at_s && ago(file.at_s)].filter(Boolean).join(" · ");
  return h("details", { "data-id": file.id, "data-verdict": file.verdict, toggle: fill },
    h("summary", {}, h("span", { class: "badge", "data-tone": file.verdict === "accepted" ? "more" : "bad" }, file.verdict), ` ${file.language} `, h("span", { class: "quiet" }, about)),
    h("p", { class: "quiet" }, [`id ${file.id}`, `seed document ${file.seed}`, file.recipe, file.model, when(file.at_s)].filter(Boolean).join(" · ")),
    measures(file.values),
    h("pre", { class: "file", tabindex: 0 }, code));
}
