// Mixtures: the list; a version with its ratios to edit, its preview, the versions and their differences.

import { get, named, poll, post, runPath } from "../api.js";
import { command } from "../command.js";
import { announce, empty, h, link, put, say, section, share, when } from "../dom.js";
import { editor } from "./editor.js";
import { field, form, horizonField, readOnly } from "../form.js";
import { preview } from "./preview.js";
import { assignments, changed, grouped } from "./ratios.js";
import { showNew } from "./new_mixture.js";
import { isDone } from "../run_state.js";
import { change, table } from "../table.js";

const addressOf = (reference) => `#/mixtures/${reference.replace("@", "/")}`;
const versionOf = (reference) => Number(reference.split("@")[1]);
const WAIT_MS = 150;
const FEW = 4; // runs whose switch stands beside the title

export async function show(main, address, writes) {
  if (!address.words.length) return showAll(main, writes);
  return address.words[0] === "new" && address.words.length === 1 ? showNew(main, address, writes) : showOne(main, address, writes);
}

async function showAll(main, writes) {
  const body = h("div");
  put(main, h("h1", {}, "Mixtures"), h("p", { class: "lead" }, "Named recipes for shares over streams. A version never changes."),
    writes ? h("p", { class: "buttons" }, h("a", { href: "#/mixtures/new", class: "primary" }, "New mixture")) : "", body);
  const rows = table("Mixtures", [
    { name: "name", title: "Mixture", value: (m) => m.name, cell: (m) => ({ text: m.name, href: addressOf(m.mixture) }) },
    { name: "newest", title: "Newest version", value: (m) => m.mixture },
    { name: "versions", title: "Versions", number: true, value: (m) => m.versions },
  ], { key: (m) => m.name, quiet: true });
  const nothing = empty("No mixtures yet. Write one, then apply it; docs/mixtures.md has every key:", "phasemix mixtures apply general.toml");
  return poll(async (signal) => {
    const found = await get("mixtures", signal);
    const wanted = found.length ? rows.element : nothing;
    if (!wanted.isConnected) body.replaceChildren(wanted);
    rows.update(found);
  });
}

async function showOne(main, address, writes) {
  const [name, asked] = address.words;
  let { versions } = await get(`mixtures/${named(name)}`);
  const version = asked ?? String(versions.length);
  const [{ mixture, toml, document }, runs] = await Promise.all([get(`mixtures/${named(name, version)}`), get("runs")]);
  let settings = settingsIn(address.query.get("set"));
  const started = { tokens: null, found: null };
  const ends = new AbortController();
  let timer = null;

  const made = preview({ get: () => address.query.get("sort"), set: (sort) => address.set("sort", sort) }, () => bars.input.value);
  const base = changed(document, {});
  const pins = new Map([...base].map(([component, one]) => [component, one.pins]));
  const weights = await naturalWeights(mixture, base, pins);
  const ratios = editor(document, weights, settings, edited);
  const error = h("p", { class: "error", role: "alert" });
  const conflict = h("div", { class: "notice", hidden: true, role: "status" });
  const horizon = horizonField(address, "50B");
  const open = runs.filter((run) => !isDone(run));
  const onRun = field("Pools of", { kind: "select", name: "run", options: [h("option", { value: "" }, "a fresh start"),
    ...runs.map((run) => h("option", { value: run.name, selected: run.name === address.query.get("run") }, `run ${run.name}`))] });
  const bars = field("Chart by", { kind: "select", options: ["key", "stream"].map((one) => h("option", { selected: one === address.query.get("by") }, one)) });
  const reset = h("button", { type: "button", click: () => ratios.set({}) }, "Undo all changes");
  const applied = writes ? applyForm() : readOnly("apply a version");
  horizon.input.addEventListener("input", later);
  onRun.input.addEventListener("change", () => { address.set("run", onRun.input.value); later(); });

  bars.input.addEventListener("change", () => { address.set("by", bars.input.value); later(); });

  function edited(given) {
    settings = given;
    address.set("set", Object.keys(settings).length ? JSON.stringify(settings) : null);
    later();
  }

  function later() {
    clearTimeout(timer);
    drawButtons();
    timer = setTimeout(look, WAIT_MS);
  }

  function drawButtons() {
    const isChanged = Object.keys(settings).length > 0;
    reset.disabled = !isChanged;
    if (writes) applied.querySelectorAll(".buttons button").forEach((one) => { one.disabled = !isChanged; });
    if (writes) applied.dispatchEvent(new Event("input"));
  }

  async function look() {
    const sent = settings;
    try {
      const asked = { mixture, tokens: horizon.tokens(), ...(onRun.input.value ? { run: onRun.input.value } : {}) };
      const key = JSON.stringify(asked);
      if (started.key !== key) Object.assign(started, { found: await post("mixtures/preview", asked, ends.signal), key });
      const found = Object.keys(sent).length ? await post("mixtures/preview", { ...asked, settings: sent }, ends.signal) : started.found;
      if (sent !== settings || ends.signal.aborted) return;
      say(error, "");
      made.update(found, started.found);
      announce(found.refusals.length ? `${found.refusals.length} caps forbid this` : "preview is up to date");
    } catch (refused) {
      if (!ends.signal.aborted) say(error, refused.message);
    }
  }

  // Applies what is changed, and where the page came from a run, switches that run to it with the same click.
  function applyForm() {
    const why = field("Why", { name: "why", placeholder: "less Python, as in the ablation", maxlength: 1000 });
    const run = open.find((one) => one.name === address.query.get("run"));
    let seen = versions.length; // when the page was opened, or when a newer one was last refused over: a notice may be too young to be read
    async function apply(values) {
      const found = await get(`mixtures/${named(name)}`);
      if (found.versions.length > seen) {
        versions = found.versions;
        seen = versions.length;
        drawConflict();
        throw Object.assign(new Error(`${versions.at(-1).mixture} was applied meanwhile. Nothing of yours is lost; choose above, or apply again.`), { kind: "Conflict" });
      }
      const { mixture: after } = await post("mixtures", { mixture, settings, ...values });
      return after;
    }
    const commanded = (values) => (Object.keys(settings).length ? command("mixtures", "edit", mixture, ...assignments(settings), "--yes", values) : null);
    const applyOnly = async (values) => {
      const after = await apply(values);
      location.hash = `${addressOf(after)}${kept()}`;
      return `${after} is applied`;
    };
    if (!run) return form("Apply as a new version", [why], applyOnly, { command: commanded });
    return form(`Apply and switch ${run.name} to it`, [why], async (values) => {
      const after = await apply(values);
      const { from_step: step } = await post(`${runPath(run.name)}/switch`, { mixture: after, ...values });
      location.hash = `#/${runPath(run.name)}`;
      return `${after} is applied and holds from step ${step} of ${run.name}`;
    }, { further: { label: "Apply as a new version", submit: applyOnly }, command: commanded });
  }

  // What the page was asked to show of a version, for the next one.
  function kept() {
    const query = new URLSearchParams([...address.query].filter(([key]) => ["tokens", "run", "by", "sort"].includes(key)));
    return query.size ? `?${query}` : "";
  }

  function drawConflict() {
    const newest = versions.at(-1);
    const isNewer = versionOf(newest.mixture) > Number(version);
    conflict.hidden = !isNewer;
    if (!isNewer) return;
    const query = new URLSearchParams(address.query);
    const said = [newest.by && `by ${newest.by}`, newest.why && `“${newest.why}”`].filter(Boolean).join(", ");
    conflict.replaceChildren(h("p", {}, `${newest.mixture} is newer than ${mixture}, from which this page starts${said ? ` (${said})` : ""}. A version applied here builds on ${mixture}.`),
      h("p", { class: "buttons" }, link(`${addressOf(newest.mixture)}${query.size ? `?${query}` : ""}`, Object.keys(settings).length ? `Move your changes to ${newest.mixture}` : `Go to ${newest.mixture}`)));
  }

  const switches = open.map((run) => link(`#/${runPath(run.name)}?switch=${encodeURIComponent(mixture)}`, `Switch ${run.name} to it`));
  const about = versions.find((one) => one.mixture === mixture) ?? {};
  const history = versionTable(mixture);
  const compare = await comparison(address, mixture, () => versions, ends.signal);
  put(main,
    h("p", { class: "crumbs" }, link("#/mixtures", "Mixtures")), h("h1", {}, mixture),
    h("p", { class: "lead" }, [about.why, about.by && `by ${about.by}`, when(about.at_s)].filter(Boolean).join(" · ")),
    h("p", { class: "buttons" }, writes ? link(`#/runs/new?mixture=${encodeURIComponent(mixture)}`, `Start a run with ${mixture}`) : null,
      writes ? switches.slice(0, FEW) : null),
    writes && switches.length > FEW ? h("details", {}, h("summary", {}, `Switch one of ${switches.length - FEW} other runs`), h("p", { class: "buttons" }, switches.slice(FEW))) : null,
    conflict,
    h("div", { class: "workbench" },
      section("Ratios", ratios.element, h("div", { class: "buttons" }, reset)),
      section("Preview", h("div", { class: "fields" }, horizon.element, onRun.element, bars.element), error, made.totals, made.refusals, made.chart, applied, made.keys)),
    section("Streams", made.streams),
    section("Versions", history.element, compare),
    section("As a file", h("pre", { class: "file", tabindex: 0 }, h("code", {}, toml))),
  );
  drawButtons();
  look();
  const watch = poll(async (signal) => {
    const found = await get(`mixtures/${named(name)}`, signal);
    history.update([...found.versions].reverse());
    if (found.versions.length !== versions.length || conflict.childElementCount === 0) {
      versions = found.versions;
      drawConflict();
    }
  }, 3000);
  return { stop: () => { watch.stop(); ends.abort(); clearTimeout(timer); } };
}

// The changes that an address carries; one that was cut or mistyped carries none.
function settingsIn(text) {
  try {
    return Object(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
}

// What the keys of each component weigh without any pin, as shares of it: a preview with all pins away.
async function naturalWeights(mixture, base, pins) {
  const away = {};
  for (const [name, one] of base) {
    for (const key of one.pins.keys()) away[`${name}.pin.${key}`] = null;
    if (base.size > 1) away[`${name}.share`] = 1 / base.size; // a component of share 0 has weights, too
  }
  const found = await post("mixtures/preview", { mixture, settings: away });
  const weights = grouped(found.streams, pins, (one) => one.share);
  for (const name of base.keys()) if (!weights.has(name)) weights.set(name, new Map());
  return weights;
}

function versionTable(mixture) {
  return table("Versions", [
    { name: "version", title: "Version", cell: (v) => ({ text: v.mixture, href: addressOf(v.mixture) }) },
    { name: "why", title: "Why", prose: true, cell: (v) => v.why ?? "" },
    { name: "by", title: "Who", cell: (v) => v.by ?? "" },
    { name: "at", title: "When", cell: (v) => when(v.at_s) },
  ], { key: (v) => v.mixture, chosen: (v) => v.mixture === mixture, quiet: true });
}

// Another version to compare with, and the difference in resolved shares.
async function comparison(address, mixture, versions, signal) {
  const others = versions().map((one) => one.mixture).filter((one) => one !== mixture).reverse();
  if (!others.length) return null;
  const chosen = address.query.get("compare");
  const choice = field("Compare with", { kind: "select", options: [h("option", { value: "" }, "none"), ...others.map((one) => h("option", { selected: one === chosen }, one))] });
  const place = h("div", { "aria-live": "polite" });
  async function draw() {
    address.set("compare", choice.input.value);
    if (!choice.input.value) return place.replaceChildren();
    const query = new URLSearchParams({ before: choice.input.value, after: mixture });
    const found = await get(`difference?${query}`, signal);
    const rows = table(`From ${choice.input.value} to ${mixture}`, [
      { name: "stream", title: "Stream", value: (s) => s.stream },
      { name: "before", title: choice.input.value, number: true, value: (s) => s.before, cell: (s) => share(s.before) },
      { name: "after", title: mixture, number: true, value: (s) => s.after, cell: (s) => share(s.after) },
      { name: "change", title: "Change, points", number: true, value: (s) => s.after - s.before, cell: (s) => change(s.after - s.before) },
    ], { key: (s) => s.stream, sort: "-change" });
    rows.update(found);
    return place.replaceChildren(found.length ? rows.element : h("p", { class: "quiet" }, "The resolved shares are the same."));
  }
  choice.input.addEventListener("change", () => draw().catch((error) => place.replaceChildren(h("p", { class: "error" }, error.message))));
  if (chosen) await draw();
  return h("div", {}, h("div", { class: "fields" }, choice.element), place);
}
