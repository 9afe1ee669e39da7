// Forms: labels, and the API's own words beside what caused them.

import { get } from "./api.js";
import { copyable } from "./command.js";
import { confirm, h, parseTokens } from "./dom.js";

let made = 0;

// { element, input }; `kind`: an input's type, "textarea", or "select" with `options` (elements).
export function field(label, { kind = "text", hint = null, options = [], element = null, ...attributes } = {}) {
  const id = `field-${(made += 1)}`;
  const spare = hint ? h("small", { id: `${id}-hint` }, hint) : null;
  const given = { id, autocomplete: "off", spellcheck: "false", "aria-describedby": hint ? `${id}-hint` : null, ...attributes };
  const input = kind === "select" ? h("select", given, options) : kind === "textarea" ? h("textarea", given) : h("input", { type: kind, ...given });
  return { element: h("div", { class: "field" }, h("label", { for: id }, label), input, spare, element), input };
}

// A form of fields. `submit(values)` acts and returns what to confirm; a field that is empty gives no value.
// `command(values)`: the command that does the same, shown to be copied; null while there is none. `further`: a second button,
// { label, submit }, behind the first one.
export function form(label, fields, submit, { title = null, id = null, tone = "primary", command = null, further = null } = {}) {
  const error = h("p", { class: "error", role: "alert" });
  const first = h("button", { class: tone }, label);
  const second = further && h("button", {}, further.label);
  const shown = command && copyable();
  async function act(event) {
    event.preventDefault();
    if (made.querySelector("[aria-busy]")) return;
    const button = event.submitter ?? first;
    button.setAttribute("aria-busy", "true"); // not disabled: that would take the focus away
    error.replaceChildren();
    fields.forEach(({ input }) => input.removeAttribute("aria-invalid"));
    try {
      confirm((await (button === second ? further.submit : submit)(values())) ?? "");
    } catch (refused) {
      error.textContent = refused.message;
      for (const { input } of fields) {
        if (input.name && new RegExp(`\\b${input.name}\\b`).test(refused.message)) input.setAttribute("aria-invalid", "true");
      }
      if (refused.kind === undefined) console.error(refused);
    }
    button.removeAttribute("aria-busy");
  }
  function values() {
    const given = fields.map(({ input }) => [input.name, input.type === "number" ? input.valueAsNumber : input.value.trim()]);
    return Object.fromEntries(given.filter(([, value]) => value !== "" && !Number.isNaN(value)));
  }
  function drawCommand() {
    const line = command(values());
    shown.element.hidden = line === null;
    shown.update(line ?? "");
  }
  const heading = title && h("h3", {}, title);
  const made = h("form", { submit: act, id, novalidate: null }, heading, h("div", { class: "fields" }, fields.map((one) => one.element)),
    h("div", { class: "buttons" }, first, second), error, shown?.element);
  if (shown) {
    made.addEventListener("input", drawCommand);
    made.addEventListener("change", drawCommand);
    drawCommand();
  }
  return made;
}

// How many tokens are looked ahead. `tokens()`: the number, 0 where nothing is given. Raises: an Error that says how to write it.
export function horizonField(address, placeholder) {
  const made = field("Horizon, tokens", { name: "tokens", value: address.query.get("tokens") ?? "", placeholder, size: 8 });
  made.input.addEventListener("input", () => address.set("tokens", made.input.value.trim()));
  function tokens() {
    const found = made.input.value.trim() ? parseTokens(made.input.value) : 0;
    made.input.toggleAttribute("aria-invalid", found === null);
    if (found === null) throw new Error(`${made.input.value} is not a number of tokens; write it like 12500000 or 12.5B`);
    return found;
  }
  return { ...made, tokens };
}

// How much curves are smoothed, as the address keeps it. `weight()`: 0 (as they are) to below 1.
export function smoothingField(address, changed) {
  const made = field("Smoothing", { kind: "range", min: 0, max: 0.98, step: 0.02, value: address.query.get("smooth") ?? 0 });
  made.input.addEventListener("input", () => { address.set("smooth", made.input.value === "0" ? null : made.input.value); changed(); });
  return { ...made, weight: () => made.input.valueAsNumber };
}

// What stands where somebody who may only read would find a form.
export function readOnly(what) {
  return h("p", { class: "quiet readonly" }, `You may read here; to ${what}, give a token of the role write (top of the page).`);
}

// A select of every version of every mixture, the newest first.
export async function versionField(label, chosen, attributes = {}) {
  const mixtures = await get("mixtures");
  const group = ({ name, versions }) => h("optgroup", { label: name }, Array.from({ length: versions }, (_, place) => {
    const reference = `${name}@${versions - place}`;
    return h("option", { value: reference, selected: reference === chosen }, reference);
  }));
  return field(label, { kind: "select", name: "mixture", required: true, options: mixtures.map(group), ...attributes });
}
