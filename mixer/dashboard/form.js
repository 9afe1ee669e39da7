// Forms: labels, and the API's own words beside what caused them.

import { get } from "./api.js";
import { copyable } from "./command.js";
import { confirm, h } from "./dom.js";

let made = 0;

// { element, input, said }; `kind`: an input's type, or "select" with `options` (elements).
export function field(label, { kind = "text", hint = null, options = [], element = null, ...attributes } = {}) {
  const id = `field-${(made += 1)}`;
  const spare = hint ? h("small", { id: `${id}-hint` }, hint) : null;
  const given = { id, autocomplete: "off", spellcheck: "false", "aria-describedby": hint ? `${id}-hint` : null, ...attributes };
  const input = kind === "select" ? h("select", given, options) : h("input", { type: kind, ...given });
  return { element: h("div", { class: "field" }, h("label", { for: id }, label), input, spare, element), input };
}

// A form of fields. `submit(values)` acts and returns what to confirm; a field that is empty gives no value.
// `command(values)`: the command that does the same, shown to be copied; null while there is none.
export function form(label, fields, submit, { title = null, id = null, tone = "primary", command = null } = {}) {
  const error = h("p", { class: "error", role: "alert" });
  const button = h("button", { class: tone }, label);
  const shown = command && copyable();
  async function act(event) {
    event.preventDefault();
    if (button.hasAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true"); // not disabled: that would take the focus away
    error.replaceChildren();
    fields.forEach(({ input }) => input.removeAttribute("aria-invalid"));
    try {
      confirm((await submit(values())) ?? "");
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
    h("div", { class: "buttons" }, button), error, shown?.element);
  if (shown) {
    made.addEventListener("input", drawCommand);
    made.addEventListener("change", drawCommand);
    drawCommand();
  }
  return made;
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
