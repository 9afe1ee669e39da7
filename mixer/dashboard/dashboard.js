// Draws catalog, runs and pool from the same JSON API as the command line. Data enters by textContent only.

const REFRESH_MS = 3000;
const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 2 });

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// columns: [title, row => text or element, is it a number]
function table(caption, columns, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const head = made.createTHead().insertRow();
  for (const [title, , right] of columns) head.append(element("th", title, { scope: "col", class: right ? "number" : "" }));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, cell, right] of columns) {
      const value = cell(row);
      const place = element("td", undefined, { class: right ? "number" : "" });
      place.append(value instanceof Node ? value : String(value));
      line.append(place);
    }
  }
  return made;
}

function share(value) {
  const made = element("span");
  made.append(element("meter", undefined, { min: 0, max: 1, value, "aria-hidden": "true" }), percent.format(value));
  return made;
}

function drawRun(run) {
  const drawn = Math.max(1, run.use.reduce((sum, use) => sum + use.realised_samples, 0));
  const state = run.ended ? `ended: ${run.ended}` : "open";
  const caption = `${run.name}: ${run.mixture}, ${number.format(run.end_step)} batches of ${run.global_batch}, ${state}`;
  return table(caption, [
    ["stream", (use) => use.stream],
    ["share now", (use) => share(run.shares[use.stream] ?? 0)],
    ["target", (use) => percent.format(use.target_samples / drawn), true],
    ["realised", (use) => percent.format(use.realised_samples / drawn), true],
    ["tokens", (use) => number.format(use.realised_samples * run.seq_len), true],
    ["passes", (use) => use.passes.toFixed(3), true],
  ], run.use);
}

function drawPool({ wanted, state }) {
  const text = state === null
    ? `${wanted} wanted; no pool known`
    : `${wanted} wanted, ${state.workers.length} alive on ${state.engine_label}; ${state.queue_waiting} jobs waiting, ` +
      `${state.queue_running} running; ${state.accepted} files accepted, rejected: ${JSON.stringify(state.rejected)}`;
  document.querySelector("#pool").textContent = text;
  const rows = state === null ? [] : [table("Workers", [
    ["name", (w) => w.name], ["engine", (w) => w.engine], ["running", (w) => w.running, true],
    ["accepted", (w) => w.accepted, true], ["rejected", (w) => w.rejected, true],
    ["tokens/s", (w) => w.tokens_per_s.toFixed(1), true],
  ], state.workers)];
  document.querySelector("#workers-table").replaceChildren(...rows);
}

async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

async function refresh() {
  const state = document.querySelector("#state");
  try {
    const [streams, runs, pool] = await Promise.all(["api/streams", "api/runs", "api/pool"].map((path) => fetchJson(path)));
    document.querySelector("#runs").replaceChildren(...runs.map(drawRun));
    document.querySelector("#streams").replaceChildren(table(`${streams.length} streams`, [
      ["stream", (s) => s.name], ["kind", (s) => s.kind], ["parts", (s) => number.format(s.parts), true],
      ["samples", (s) => number.format(s.samples), true], ["tokens", (s) => number.format(s.tokens), true],
    ], streams));
    drawPool(pool);
    state.textContent = "up to date";
  } catch (error) {
    state.textContent = `not up to date: ${error.message}`;
  }
}

document.querySelector("#scale").addEventListener("submit", async (event) => {
  event.preventDefault();
  const workers = Number(document.querySelector("#workers").value);
  const headers = { "Content-Type": "application/json" };
  try {
    await fetchJson("api/pool", { method: "POST", headers, body: JSON.stringify({ workers }) });
    await refresh();
  } catch (error) {
    document.querySelector("#state").textContent = `not scaled: ${error.message}`;
  }
});

await refresh();
setInterval(refresh, REFRESH_MS);
