// A table whose rows are kept while they stay, so that an update moves neither focus nor scrolling.

import { arrange, h, points } from "./dom.js";

// What a cell may be: a text, or { text, href, meter, tone }; meter: 0 to 1, drawn beside its text.
function fill(place, cell) {
  const { text, href, meter, tone } = typeof cell === "object" && cell !== null ? cell : { text: cell };
  const shown = String(text ?? "");
  const said = href ? h("a", { href }, shown) : shown;
  place.replaceChildren(...(meter === undefined ? [said] : [h("meter", { max: 1, value: meter, "aria-hidden": "true" }), h("span", { class: "measure" }, said)]));
  if (tone) place.setAttribute("data-tone", tone);
  else place.removeAttribute("data-tone");
}

// A cell that says by how many points a share differs, and in which direction by its tone.
export function change(value) {
  return { text: points(value), tone: Math.abs(value) < 5e-5 ? "same" : value > 0 ? "more" : "less" };
}

function ordered(rows, columns, sort) {
  const column = columns.find((one) => one.name === sort.replace("-", ""));
  if (!column) return rows;
  const sign = sort.startsWith("-") ? -1 : 1;
  const keyed = rows.map((row) => [column.value(row) ?? -Infinity, row]);
  return keyed.sort(([a], [b]) => sign * (typeof a === "string" ? a.localeCompare(b) : a - b)).map(([, row]) => row);
}

// columns: { name, title, value: row => what it is sorted by, cell: row => see above (default: value), number, prose }
// settings: { key: row => its identity, sort, onSort, chosen: row => whether it is the chosen one }
export function table(caption, columns, { key, sort = "", onSort = () => {}, chosen = () => false, quiet = false }) {
  const lines = new Map();
  const body = h("tbody");
  const heads = columns.map((column) => {
    const button = h("button", { type: "button", click: () => order(column) }, column.title);
    return h("th", { scope: "col", class: column.number ? "number" : null }, column.value ? button : column.title);
  });
  const said = h("caption", { class: quiet ? "unseen" : null }, caption);
  const made = h("table", {}, said, h("thead", {}, h("tr", {}, heads)), body);
  let shown = [];

  function order(column) {
    const first = column.number ? `-${column.name}` : column.name;
    const other = column.number ? column.name : `-${column.name}`;
    sort = sort === first ? other : first;
    onSort(sort);
    update(shown);
  }

  function line(row, identity) {
    if (!lines.has(identity)) {
      const cells = columns.map((column, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: column.number ? "number" : column.prose ? "prose" : null }));
      lines.set(identity, { element: h("tr", {}, cells), cells, said: [] });
    }
    const { element, cells, said } = lines.get(identity);
    columns.forEach((column, place) => {
      const cell = (column.cell ?? column.value)(row);
      const signature = typeof cell === "object" && cell !== null ? JSON.stringify(cell) : String(cell ?? "");
      if (said[place] !== signature) fill(cells[place], cell);
      said[place] = signature;
    });
    if (chosen(row)) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
    return element;
  }

  function update(rows, text = said.textContent) {
    shown = rows;
    if (said.textContent !== text) said.textContent = text;
    columns.forEach((column, place) => {
      const direction = sort === column.name ? "ascending" : sort === `-${column.name}` ? "descending" : null;
      if (direction) heads[place].setAttribute("aria-sort", direction);
      else heads[place].removeAttribute("aria-sort");
    });
    const elements = ordered(rows, columns, sort).map((row) => line(row, key(row)));
    arrange(body, elements);
    const keys = new Set(rows.map(key));
    for (const identity of lines.keys()) if (!keys.has(identity)) lines.delete(identity);
  }

  return { element: h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, made), update };
}
