// The curves of a run over its steps: target and realised shares, losses, speed.

import { chart, colour, cut, narrow } from "../chart.js";
import { keepOrder, smoothed } from "../curves.js";
import { share, short } from "../dom.js";

const MARKED = 6; // switches that are named
const LINES = 8; // shown; the next are a click in the legend away
const MOST = 24; // what a chart can still tell apart; the table has all

// `onPoint(step)`: a point was clicked; `onRange(start, end)`: a stretch of steps was marked.
export function charts({ onPoint, onRange }) {
  const shares = chart("Target (dashed) and realised share, over steps", { height: 340, tall: 60, onPoint, onRange });
  const losses = chart("Loss, over steps", { height: 300, tall: 60, onPoint, onRange });
  const speed = chart("Tokens a second, over steps", { height: 180, onPoint, onRange });
  let order = []; // groups by their share when they came, so that no line changes its colour

  // range: { start, end } that is looked at, or null; weight: of the smoothing of losses
  function update(series, range, weight) {
    order = keepOrder(order, largestFirst(series));
    const groups = order.slice(0, MOST).map((name, place) => (
      { name, column: series.groups.indexOf(name), color: colour(place), visible: place < LINES ? true : "legendonly", showlegend: place < LINES || !narrow() }));
    const axes = axesOf(series, range);
    const hasLoss = series.total_loss.some((one) => one !== null);
    const hasSpeed = series.tokens_per_s.some((one) => one !== null);
    losses.element.hidden = !hasLoss;
    speed.element.hidden = !hasSpeed;
    return Promise.all([drawShares(shares, series, groups, axes), hasLoss && drawLosses(losses, series, groups, axes, weight), hasSpeed && drawSpeed(speed, series, axes)]);
  }

  return { elements: [shares.element, losses.element, speed.element], losses, update };
}

function largestFirst({ groups, target, realised }) {
  const most = (column) => Math.max(target[0][column], target.at(-1)[column], realised.at(-1)[column]);
  return groups.map((name, column) => [most(column), name]).sort(([a], [b]) => b - a).map(([, name]) => name);
}

// The steps, and what happened at which: a line for each event, the names of the last switches.
function axesOf({ events, first_step: first, steps }, range) {
  const line = (step) => ({ type: "line", x0: step, x1: step, yref: "paper", y0: 0, y1: 1, line: { width: 1, dash: "dot", color: "#888" } });
  const text = ({ step, mixture }) => ({ x: step, yref: "paper", y: 1, yanchor: "bottom", text: mixture, showarrow: false, font: { size: 11 } });
  const [low, high] = range ? [range.start, range.end] : [first, steps.at(-1)];
  const shown = events.filter(({ event, step }) => ["switched", "skipped", "dry"].includes(event) && low <= step && step <= high);
  const switches = shown.filter(({ event }) => event === "switched").slice(-MARKED);
  return {
    shapes: shown.map(({ step }) => line(step)), annotations: switches.map(text), margin: { l: 8, r: 12, t: 28, b: 8 }, legend: { y: -0.16, yanchor: "top" },
    xaxis: { tickformat: ",", uirevision: `${low} ${high}`, ...(range ? { range: [low, high] } : { rangemode: "tozero" }) },
  };
}

function drawShares(place, series, groups, axes) {
  const mode = series.steps.length > 20 ? "lines" : "lines+markers";
  const trace = ({ name, column, color, visible, showlegend }, rows, more) => ({ type: "scatter", name: cut(name), legendgroup: name, visible, showlegend, x: series.steps, y: rows.map((row) => row[column]), ...more, line: { color, width: 1.6, ...more.line } });
  const data = groups.flatMap((one) => [
    trace(one, series.target, { mode: "lines", showlegend: false, meta: "target", hovertemplate: `${one.name}, target %{y:.2%} to step %{x}<extra></extra>`, line: { dash: "dash", shape: "vh" } }),
    trace(one, series.realised, { mode, meta: "realised", marker: { size: 5, color: one.color }, hovertemplate: `${one.name}, realised %{y:.2%} to step %{x}<extra></extra>` }),
  ]);
  const said = groups.slice(0, 5).map(({ name, column }) => `${name} target ${share(series.target.at(-1)[column])}, realised ${share(series.realised.at(-1)[column])}`).join("; ");
  return place.update(said, data, { ...axes, yaxis: { tickformat: ".2~%", rangemode: "tozero" } });
}

function drawLosses(place, series, groups, axes, weight) {
  const line = { type: "scatter", mode: series.steps.length > 40 ? "lines" : "lines+markers", marker: { size: 4 }, connectgaps: true, x: series.steps };
  const total = { ...line, name: "all streams", meta: "total", y: smoothed(series.total_loss, weight), line: { color: "#808794", width: 3 }, hovertemplate: "all streams: %{y:.3f} to step %{x}<extra></extra>" };
  const parts = groups.map(({ name, column, color, visible, showlegend }) => (
    { ...line, name: cut(name), meta: "group", visible, showlegend, y: smoothed(series.loss.map((row) => row[column]), weight), line: { color, width: 1.4 }, hovertemplate: `${name}: %{y:.3f} to step %{x}<extra></extra>` }));
  const data = [total, ...parts];
  const said = data.slice(0, 5).map((one) => `${one.name} ${one.y.findLast((value) => value !== null)?.toFixed(3) ?? "not measured"}`).join(", ");
  return place.update(said, data, { ...axes, showlegend: true });
}

function drawSpeed(place, series, axes) {
  const y = series.tokens_per_s;
  const data = [{ type: "scatter", mode: "lines", connectgaps: false, name: "tokens a second", x: series.steps, y, line: { color: colour(2), width: 1.6 }, customdata: y.map((one) => (one === null ? "" : short(one))), hovertemplate: "%{customdata} tokens a second to step %{x}<extra></extra>" }];
  return place.update(`${short(series.speed_tokens_per_s ?? 0)} lately`, data, { ...axes, annotations: [], showlegend: false, yaxis: { rangemode: "tozero", exponentformat: "B" } });
}
