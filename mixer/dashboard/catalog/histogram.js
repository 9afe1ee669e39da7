// A histogram as an SVG of the page, in its colours. What it shows stands beside it as a table.

import { narrow } from "../chart.js";
import { count, put, short } from "../dom.js";

const HEIGHT = 220;
const ROOM = { left: 48, right: 10, top: 12, bottom: 24 };
let made = 0;

function s(name, attributes, ...children) {
  const found = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") found.addEventListener(key, value);
    else if (value !== null) found.setAttribute(key, value);
  }
  put(found, ...children);
  return found;
}

export const scoreText = (value) => Number(value.toPrecision(3)).toString();
export const binText = (bin) => `${scoreText(bin.low)} to ${scoreText(bin.high)}`;

// bins: { low, high, documents }; `chosen`: the index of the one that is marked, or null; `onBin(index)`: told of one that was clicked.
export function histogram(title, bins, chosen, onBin) {
  const width = narrow() ? 340 : 760;
  const most = Math.max(...bins.map((bin) => bin.documents));
  const step = (width - ROOM.left - ROOM.right) / bins.length;
  const base = HEIGHT - ROOM.bottom;
  const tall = (documents) => (documents ? Math.max(1, (base - ROOM.top) * documents / most) : 0);
  const id = `histogram-${(made += 1)}`;
  const edges = [0, 0.5, 1].map((part) => [part * bins.length, part === 1 ? bins.at(-1).high : bins[Math.floor(part * bins.length)].low]);
  return s("svg", { class: "histogram", role: "img", "aria-labelledby": id, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` },
    s("title", { id }, title),
    s("text", { x: ROOM.left - 6, y: ROOM.top + 4, "text-anchor": "end" }, short(most)),
    s("text", { x: ROOM.left - 6, y: base, "text-anchor": "end" }, "0"),
    s("line", { x1: ROOM.left, x2: width - ROOM.right, y1: base + 0.5, y2: base + 0.5 }),
    ...edges.map(([place, value]) => s("text", { x: ROOM.left + place * step, y: HEIGHT - 6, "text-anchor": place === 0 ? "start" : place === bins.length ? "end" : "middle" }, scoreText(value))),
    ...bins.map((bin, place) => s("g", { class: place === chosen ? "chosen" : null, click: () => onBin(place) },
      s("title", {}, `${binText(bin)}: ${count(bin.documents)} documents`),
      s("rect", { class: "ground", x: ROOM.left + place * step, y: ROOM.top, width: step, height: base - ROOM.top }),
      s("rect", { class: "bar", x: ROOM.left + place * step + 0.5, y: base - tall(bin.documents), width: step - 1, height: tall(bin.documents) }))));
}
