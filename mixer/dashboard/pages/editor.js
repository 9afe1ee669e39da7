// The ratio editor: a slider a component and a slider a key of each. Always holds: the sums stay 1 and pins stay put.

import { h, share } from "../dom.js";
import { changed, digits, pinned, rebalance, settingsOf, within } from "./ratios.js";

const SHOWN = 8; // keys; smaller ones are folded away

// One row: a name, a slider, a number, and a button that holds it.
function row(name, group, { moved, held, hold, fixed = null }) {
  const label = `${name} in ${group}, percent`;
  const slider = h("input", { type: "range", min: 0, max: 100, step: 0.5, "aria-label": label, "data-share": `${group}/${name}` });
  const number = h("input", { type: "number", min: 0, max: 100, step: "any", "aria-label": label, inputmode: "decimal" });
  const button = h("button", { type: "button", class: "hold", click: () => held(button.getAttribute("aria-pressed") !== "true") });
  slider.addEventListener("input", () => moved(slider.valueAsNumber / 100));
  number.addEventListener("change", () => { if (number.value !== "") moved(number.valueAsNumber / 100); });
  for (const one of [slider, number, button]) one.disabled = fixed !== null;
  const element = h("div", { class: "slider", title: fixed }, h("span", { class: "name", title: name }, name), slider, number, button);
  function set(value, isHeld, before) {
    if (Math.abs(slider.valueAsNumber - value * 100) > 0.25 || document.activeElement !== slider) slider.value = value * 100;
    slider.setAttribute("aria-valuetext", share(value));
    const text = (value * 100).toFixed(2);
    if (document.activeElement !== number || Number(number.value) !== digits(value * 100)) number.value = text;
    button.setAttribute("aria-pressed", String(isHeld));
    button.textContent = isHeld ? hold.replace(/(p?)$/, hold === "pin" ? "ned" : "ed") : hold;
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
    element.toggleAttribute("data-changed", Math.abs(value - before) > 5e-5);
  }
  return { element, set };
}

// document: of the version it starts from; weights: component -> Map of key -> natural weight; settings: what is changed.
// `onChange(settings)` is told of every change.
export function editor(document, weights, settings, onChange) {
  const base = changed(document, {});
  let state = changed(document, settings);
  let locked = new Set();
  const rows = new Map();

  function tell() {
    draw();
    onChange(settingsOf(base, state));
  }

  function moveComponent(name, value) {
    const shares = new Map([...state].map(([one, { share: own }]) => [one, own]));
    for (const [one, own] of rebalance(shares, name, value, locked)) state.get(one).share = own;
    tell();
  }

  function moveKey(name, key, value) {
    const component = state.get(name);
    component.pins = pinned(weights.get(name), component.pins, key, value);
    tell();
  }

  function pinKey(name, key, isPinned) {
    if (isPinned) return moveKey(name, key, within(weights.get(name), state.get(name).pins).get(key));
    state.get(name).pins.delete(key);
    return tell();
  }

  function lock(name, isLocked) {
    locked = new Set(locked);
    if (isLocked) locked.add(name);
    else locked.delete(name);
    draw();
  }

  function draw() {
    for (const [name, { share: own, pins }] of state) {
      rows.get(name)?.set(own, locked.has(name), base.get(name).share);
      const before = within(weights.get(name), base.get(name).pins);
      for (const [key, value] of within(weights.get(name), pins)) rows.get(`${name}/${key}`).set(value, pins.has(key), before.get(key));
    }
  }

  function keyGroup(name) {
    const start = within(weights.get(name), base.get(name).pins);
    const keys = [...start.keys()].sort((a, b) => start.get(b) - start.get(a));
    const made = keys.map((key) => {
      const stream = [...base.get(name).pins.keys()].find((one) => one.includes("/") && one.split("/")[1] === key);
      const fixed = stream ? `${stream} is pinned by itself, so its key cannot be` : null;
      const one = row(key, name, { fixed, moved: (value) => moveKey(name, key, value), held: (on) => pinKey(name, key, on), hold: "pin" });
      rows.set(`${name}/${key}`, one);
      return one.element;
    });
    const isOpen = keys.slice(SHOWN).some((key) => state.get(name).pins.has(key));
    const rest = made.length > SHOWN + 1 ? h("details", { open: isOpen }, h("summary", {}, `${made.length - SHOWN} more keys`), made.slice(SHOWN)) : made.slice(SHOWN);
    return h("fieldset", {}, h("legend", {}, `Keys in ${name}`), h("p", { class: "quiet" }, base.get(name).globs), made.slice(0, SHOWN), rest);
  }

  const names = [...state.keys()];
  const components = names.map((name) => {
    const one = row(name, "mixture", { moved: (value) => moveComponent(name, value), held: (on) => lock(name, on), hold: "lock" });
    rows.set(name, one);
    return one.element;
  });
  const all = names.length > 1 ? h("fieldset", {}, h("legend", {}, "Components"), components) : null;
  const element = h("div", { class: "editor" }, all, names.map(keyGroup));
  draw();
  return {
    element,
    set: (given) => { state = changed(document, given); tell(); },
  };
}
