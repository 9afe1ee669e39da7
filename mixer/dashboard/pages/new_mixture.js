// A new mixture: from a template that fits the catalog, edited as text, previewed while one writes, applied.

import { get, post } from "../api.js";
import { confirm, empty, h, link, parseTokens, put, say, section } from "../dom.js";
import { field, readOnly } from "../form.js";
import { preview } from "./preview.js";
import { templates } from "./templates.js";

const WAIT_MS = 400;

export async function showNew(main, address, writes) {
  put(main, h("p", { class: "crumbs" }, link("#/mixtures", "Mixtures")), h("h1", {}, "New mixture"));
  if (!writes) return put(main, readOnly("apply a mixture"));
  const streams = (await get("streams")).filter((one) => one.kind === "tokens" && one.samples > 0);
  if (!streams.length) return put(main, empty("A mixture needs streams. Bring in source files first:", "phasemix corpus ingest FOLDER --into raw"));
  const made = templates(streams);
  const wanted = made.find((one) => one.name === address.query.get("template") && !one.missing) ?? made.find((one) => !one.missing);
  let timer = null;
  let asked = null;
  const choice = field("Template", { kind: "select", options: made.map((one) => h("option", { value: one.name, selected: one === wanted, disabled: Boolean(one.missing) }, one.missing ? `${one.title} (needs ${one.missing})` : one.title)) });
  const horizon = field("Horizon, tokens", { value: address.query.get("tokens") ?? "", placeholder: "one pass" });
  const text = h("textarea", { id: "mixture-text", spellcheck: "false", value: wanted?.toml ?? "" });
  const about = h("p", { class: "quiet" }, wanted?.about ?? "");
  const why = field("Why", { name: "why", placeholder: "the first try", maxlength: 1000 });
  const error = h("p", { class: "error", role: "alert" });
  const refusal = h("p", { class: "error", role: "alert" });
  const apply = h("button", { class: "primary" }, "Apply");
  const shown = preview({ get: () => null, set: () => {} }, () => "key");
  choice.input.addEventListener("change", () => {
    const chosen = made.find((one) => one.name === choice.input.value);
    address.set("template", chosen.name);
    text.value = chosen.toml;
    say(about, chosen.about);
    look();
  });
  text.addEventListener("input", later);
  horizon.input.addEventListener("input", () => { address.set("tokens", horizon.input.value.trim()); later(); });
  const applying = h("form", { submit: act }, h("div", { class: "fields" }, why.element), h("div", { class: "buttons" }, apply), refusal);
  put(main, h("div", { class: "workbench" },
    section("Text", h("div", { class: "fields" }, choice.element), about, h("label", { for: "mixture-text" }, "The mixture, in TOML"), text, applying),
    section("Preview", h("div", { class: "fields" }, horizon.element), error, shown.totals, shown.refusals, shown.chart, shown.keys)), section("Streams", shown.streams));

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  }

  async function look() {
    const tokens = horizon.input.value.trim() ? parseTokens(horizon.input.value) : 0;
    horizon.input.toggleAttribute("aria-invalid", tokens === null);
    if (tokens === null) return say(error, `${horizon.input.value} is no number of tokens; write it like 12500000 or 12.5B`);
    const mine = asked = text.value;
    try {
      const found = await post("mixtures/preview", { toml: mine, tokens });
      if (mine !== asked) return undefined;
      shown.update(found, found);
      return say(error, "");
    } catch (refused) {
      if (mine === asked) say(error, refused.message);
      return undefined;
    }
  }

  async function act(event) {
    event.preventDefault();
    say(refusal, "");
    try {
      const { mixture } = await post("mixtures", { toml: text.value, ...(why.input.value.trim() ? { why: why.input.value.trim() } : {}) });
      location.hash = `#/mixtures/${mixture.replace("@", "/")}`;
      confirm(`${mixture} is applied`);
    } catch (refused) {
      say(refusal, refused.message);
    }
  }

  await look();
  return {};
}
