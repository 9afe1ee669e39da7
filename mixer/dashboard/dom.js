// Elements and the forms of numbers. Always holds: data enters the page as text, never as markup.

const SHOWN_MS = 20_000;
const YEAR_S = 365.25 * 86_400;
let hiding = null; // the timer of what was confirmed last

// h("p", { class: "quiet" }, "text", node): null attributes and children are left out; functions become listeners.
export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "value") made.value = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  put(made, ...children);
  return made;
}

// Appends children; null and undefined are none.
export function put(parent, ...children) {
  parent.append(...children.flat().filter((child) => child !== null && child !== undefined));
}

export function link(address, text) {
  return h("a", { href: address }, text);
}

// Changes what an element says only where it says something else, so that nothing is read out twice or loses its focus.
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// Makes these the children, in their order; those that stay where they are keep focus and scrolling.
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let next = parent.firstChild;
  for (const element of elements) {
    if (element === next) next = next.nextSibling;
    else parent.insertBefore(element, next);
  }
}

// Tells readers of the screen what changed; what was confirmed stays while it is seen.
export function announce(text) {
  const place = document.querySelector("#said");
  if (place.classList.contains("unseen")) say(place, text);
}

// Says to everybody what was done, until it is clicked away or so long has passed.
export function confirm(text) {
  const place = document.querySelector("#said");
  say(place, text);
  place.classList.toggle("unseen", !text);
  clearTimeout(hiding);
  hiding = setTimeout(() => place.classList.add("unseen"), SHOWN_MS);
}

const whole = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const day = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export const count = (value) => whole.format(value);
export const share = (value) => percent.format(value);

export function points(value) {
  const shown = (value * 100).toFixed(2);
  return Number(shown) === 0 ? "±0.00" : value > 0 ? `+${shown}` : shown.replace("-", "−");
}

// 12.3B of 12,345,678,901
export function short(value) {
  for (const [suffix, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["K", 1e3]]) {
    if (value >= size * 0.9995) return three.format(value / size) + suffix;
  }
  return three.format(value);
}

// Tokens of "50B", "12.5M" or "40960"; null where it is none.
export function parseTokens(text) {
  const found = /^([0-9]+(?:\.[0-9]+)?) *([KMBT]?)$/i.exec(text.trim().replaceAll(",", "").replaceAll("_", ""));
  return found && Math.round(Number(found[1]) * { "": 1, K: 1e3, M: 1e6, B: 1e9, T: 1e12 }[found[2].toUpperCase()]);
}

export function when(at_s) {
  return at_s ? day.format(new Date(at_s * 1000)) : "";
}

export function duration(seconds) {
  if (seconds >= 100 * YEAR_S) return "over 100 years";
  if (seconds >= 2 * YEAR_S) return `${three.format(seconds / YEAR_S)} years`;
  for (const [word, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${three.format(seconds / size)} ${word}`;
  }
  return `${three.format(seconds)} s`;
}

// Words with their values, [word, text or node] each; what is false is left out. Changes only where something else is said.
export function showFacts(place, rows) {
  const kept = rows.filter(Boolean);
  const said = JSON.stringify(kept.map(([word, value]) => [word, value.textContent ?? value]));
  if (place.dataset.said === said) return;
  place.replaceChildren(...kept.map(([word, value]) => h("div", {}, h("dt", {}, word), h("dd", {}, value))));
  place.dataset.said = said;
}

// What is there to do when there is nothing to show yet: a sentence, and the command that comes next.
export function empty(text, ...commands) {
  return h("div", { class: "empty" }, h("p", {}, text), ...commands.map((line) => h("pre", { tabindex: 0 }, h("code", {}, line))));
}

export function section(title, ...children) {
  const id = `title-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), ...children);
}
