// A new mixture: from a template that fits the catalog, edited as text, previewed while one writes, applied.

import { get, post } from "../api.js";
import { empty, h, link, put, say, section } from "../dom.js";
import { field, form, horizonField, readOnly } from "../form.js";
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
  const horizon = horizonField(address, "one pass");
  const text = field("The mixture, in TOML", { kind: "textarea", name: "toml", required: true, value: wanted?.toml ?? "" });
  const about = h("p", { class: "quiet" }, wanted?.about ?? "");
  const why = field("Why", { name: "why", placeholder: "the first try", maxlength: 1000 });
  const error = h("p", { class: "error", role: "alert" });
  const shown = preview({ get: () => null, set: () => {} }, () => "key");
  choice.input.addEventListener("change", () => {
    const chosen = made.find((one) => one.name === choice.input.value);
    address.set("template", chosen.name);
    text.input.value = chosen.toml;
    say(about, chosen.about);
    look();
  });
  text.input.addEventListener("input", later);
  horizon.input.addEventListener("input", later);
  const applying = form("Apply", [text, why], async (values) => {
    const { mixture } = await post("mixtures", values);
    location.hash = `#/mixtures/${mixture.replace("@", "/")}`;
    return `${mixture} is applied`;
  });
  put(main, h("div", { class: "workbench" },
    section("Text", h("div", { class: "fields" }, choice.element), about, applying),
    section("Preview", h("div", { class: "fields" }, horizon.element), error, shown.totals, shown.refusals, shown.chart, shown.keys)), section("Streams", shown.streams));

  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  }

  async function look() {
    const mine = asked = text.input.value;
    try {
      const found = await post("mixtures/preview", { toml: mine, tokens: horizon.tokens() });
      if (mine !== asked) return;
      shown.update(found, found);
      say(error, "");
    } catch (refused) {
      if (mine === asked) say(error, refused.message);
    }
  }

  await look();
  return {};
}
