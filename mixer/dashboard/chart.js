// Charts by Plotly, in the page's own colours, light and dark. Each says in words what it shows.

import { h } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const still = { displayModeBar: false, responsive: true, doubleClick: false };
const COLOURS = ["#3b6fd4", "#d9822b", "#2a9d78", "#c2477f", "#8a63c9", "#b0911c", "#2b9fc4", "#c4573b", "#6c8b3c", "#7d7f86"];
const drawn = new Set();
let library = null;

export const narrow = () => matchMedia("(max-width: 40rem)").matches;
export const colour = (place) => COLOURS[place % COLOURS.length];

// A name that leaves a chart its room: of a long one the begin and the end.
export const cut = (name, most = 24) => (name.length > most ? `${name.slice(0, most / 2 - 1)}…${name.slice(-most / 2)}` : name);

// An axis of names, each cut, which is still another than all others.
export const namesAxis = (names) => ({ type: "category", tickmode: "array", tickvals: names, ticktext: names.map((name) => cut(name, 16)) });

// An axis of times no finer than what a clock shows.
export function timesAxis(times) {
  const spare_ms = Math.max(0, 60_000 - (times.at(-1) - times[0])) / 2;
  return spare_ms ? { range: [new Date(times[0].getTime() - spare_ms), new Date(times.at(-1).getTime() + spare_ms)] } : {};
}

// Loads the library once; 5 MB that the browser keeps.
export function loadPlotly() {
  library ??= new Promise((done, failed) => {
    const script = h("script", { src: "library/plotly.min.js", load: () => done(globalThis.Plotly) });
    script.addEventListener("error", () => failed(new Error("the chart library did not come; reload the page")));
    document.head.append(script);
  });
  return library;
}

function themed(layout, zooms) {
  const style = getComputedStyle(document.documentElement);
  const [ink, quiet, line] = ["--ink", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line, automargin: true, fixedrange: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", dragmode: zooms && !narrow() ? "zoom" : false, uirevision: "kept",
    font: { family: style.fontFamily, size: 12, color: quiet },
    margin: { l: 8, r: 12, t: 12, b: 8 }, colorway: COLOURS, barcornerradius: 2,
    hoverlabel: { font: { family: style.fontFamily, color: ink }, bgcolor: style.getPropertyValue("--raised").trim(), bordercolor: line },
    autosize: true,
    ...layout,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: ink }, ...layout.legend },
    xaxis: { ...axis, fixedrange: !zooms, showgrid: false, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  };
}

// A figure, `tall` pixels taller on a narrow screen, where a legend takes lines. `update(said, data, layout)`: what it shows, in words; Plotly's traces and layout.
// `onPoint(x)`: told of a point that was clicked; `onRange(start, end)`: of a stretch of the x axis that was marked with the pointer.
export function chart(title, { height = 280, tall = 0, onPoint = null, onRange = null } = {}) {
  const place = h("div", { class: "plot", role: "img", "aria-label": title });
  const element = h("figure", {}, h("figcaption", {}, title), place);
  let last = null;
  loadPlotly().catch(() => {}); // comes while the page asks for its data; who draws sees the error

  async function draw() {
    const Plotly = await loadPlotly();
    if (!last || !element.isConnected) return;
    const { data, layout } = last;
    place.style.height = `${narrow() ? height + tall : height}px`;
    const isFirst = !place.on;
    await Plotly.react(place, data, themed(layout, onRange !== null), still);
    if (isFirst) listen();
  }

  function listen() {
    if (onPoint) place.on("plotly_click", ({ points: [point] }) => onPoint(point.x));
    if (onRange) {
      place.on("plotly_relayout", ({ "xaxis.range[0]": start, "xaxis.range[1]": end }) => {
        if (start !== undefined && end !== undefined) onRange(start, end);
      });
    }
  }

  function update(said, data, layout = {}) {
    place.setAttribute("aria-label", `${title}: ${said}`);
    last = { data, layout };
    drawn.add(again);
    return draw();
  }

  function again() {
    if (element.isConnected) draw();
    else drawn.delete(again);
  }

  return { element, place, update };
}

dark.addEventListener("change", () => drawn.forEach((again) => again()));
