// The command that does what a form does, to copy into a terminal or a script.

import { h, say } from "./dom.js";

const PLAIN = /^[\w@%+=:,./-]+$/;

// A word as a shell takes it.
export const quoted = (word) => (PLAIN.test(word) ? word : `'${String(word).replaceAll("'", "'\\''")}'`);

// command("runs", "switch", name, { "at-step": 3, why: undefined }) -> "phasemix runs switch first --at-step 3"; options without a value are left out.
export function command(...words) {
  const said = words.flatMap((word) => (typeof word === "object" ? Object.entries(word).filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) => [`--${name}`, quoted(value)]) : [quoted(word)]));
  return ["phasemix", ...said].join(" ");
}

// A line of code with a button that copies it; `update(text)` changes it.
export function copyable(text = "") {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "copy", "aria-label": "Copy the command", click: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      say(button, "Copied");
    } catch { // a page that is not on loopback or https may not: what is selected can be copied by hand
      getSelection().selectAllChildren(code);
      say(button, "Selected");
    }
    setTimeout(() => say(button, "Copy"), 2000);
  }
  return { element: h("div", { class: "command" }, h("pre", { tabindex: 0 }, code), button), update: (next) => say(code, next) };
}
