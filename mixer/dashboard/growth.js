// The chart of how a stream has grown.

import { get } from "./api.js";
import { chart, timesAxis } from "./chart.js";
import { say, short } from "./dom.js";

export function growthChart() {
  const made = chart("Growth", { height: 300 });

  async function update(name, signal) {
    const grown = await get(`growth?stream=${encodeURIComponent(name)}`, signal);
    say(made.element.querySelector("figcaption"), `Growth of ${name}`);
    const last = grown.at(-1)?.tokens ?? 0;
    const data = [{ type: "scatter", mode: grown.length > 30 ? "lines" : "lines+markers", line: { shape: "hv", width: 1.6 }, fill: "tozeroy", fillcolor: "rgba(59, 111, 212, 0.12)", marker: { size: 4 },
      x: grown.map((one) => new Date(one.at_s * 1000)), y: grown.map((one) => one.tokens), customdata: grown.map((one) => short(one.tokens)), hovertemplate: "%{x}: %{customdata} tokens<extra></extra>" }];
    return made.update(grown.length ? `${name} has ${short(last)} tokens` : `${name} is empty`, data, { xaxis: grown.length ? timesAxis(data[0].x) : {}, yaxis: { exponentformat: "B", rangemode: "tozero" } });
  }

  return { element: made.element, update };
}
