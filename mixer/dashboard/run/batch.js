// The documents of a run's batches: text, scores, where they come from; and what can be done about them.

import { get, runPath } from "../api.js";
import { count, h, say, section } from "../dom.js";
import { field, form } from "../form.js";
import { passageList } from "../passages.js";
import { streamAddress } from "./tables.js";

const ROWS = 8; // that are asked for at once
const SOURCES = { ledger: "in the ledger", forecast: "not in the ledger yet: this is a forecast", skipped: "left out" };

// `propose(what, values)`: fills the form of a fork or a skip; null for those who may only read.
export function batchPanel(name, address, propose) {
  let asked = null; // { step, first }
  let covered = null; // { start, end }: the batches of the point that was clicked
  const step = field("Batch", { kind: "number", name: "step", min: 0, step: 1, inputmode: "numeric", placeholder: "0" });
  const said = h("p", { class: "quiet", "aria-live": "polite" });
  const error = h("p", { class: "error", role: "alert" });
  const rows = h("div", { class: "rows" });
  const onward = h("div", { class: "buttons" });
  const steer = h("div", { class: "buttons" });
  const asking = h("div", { class: "inline" }, form("Show its documents", [step], ({ step: batch = 0 }) => { covered = null; return show(batch); }, { tone: null }));
  const element = section("Documents of a batch", h("p", { class: "quiet" }, "Click a point of a chart above, or give a batch's number."), asking, error, said, steer, rows, onward);
  const button = (text, click) => h("button", { type: "button", click }, text);

  async function show(batch, first = 0) {
    const wanted = { batch, first };
    asked = wanted;
    step.input.value = batch;
    address.set("batch", batch);
    element.setAttribute("aria-busy", "true");
    try {
      const found = await get(`${runPath(name)}/batch?step=${batch}&first=${first}&limit=${ROWS}`);
      if (asked === wanted) draw(found, first);
    } catch (refused) {
      if (asked === wanted) fail(refused);
    }
    element.removeAttribute("aria-busy");
  }

  function fail(refused) {
    say(error, refused.message);
    say(said, "");
    for (const place of [rows, onward, steer]) place.replaceChildren();
  }

  function draw(found, first) {
    const { step: batch, size } = found;
    const [start, end] = covered ? [covered.start, covered.end] : [batch, batch + 1];
    const point = end - start > 1 ? ` The point stands for batches ${count(start)} to ${count(end - 1)}.` : "";
    say(error, "");
    say(said, `Batch ${count(batch)} is ${SOURCES[found.source]}; rows ${count(first)} to ${count(first + found.rows.length - 1)} of ${count(size)}.${point}`);
    rows.replaceChildren(...found.rows.map(drawRow));
    onward.replaceChildren(
      ...(first > 0 ? [button("Rows before", () => show(batch, Math.max(0, first - ROWS)))] : []),
      ...(first + ROWS < size ? [button("Next rows", () => show(batch, first + ROWS))] : []),
      ...(batch > start || (!covered && batch > 0) ? [button("Batch before", () => show(batch - 1))] : []),
      button("Next batch", () => show(batch + 1)),
    );
    if (!propose) return;
    const batches = end - start;
    const these = batches > 1 ? `these ${count(batches)} batches` : "this batch";
    steer.replaceChildren(
      ...(found.source === "forecast" ? [button(`Skip ${these}`, () => propose("skip", { start_step: start, batches }))] : []),
      ...(found.source === "ledger" ? [button(`Fork before ${these}`, () => propose("fork", { at_step: start, skip: "" })), button(`Fork without ${these}`, () => propose("fork", { at_step: start, skip: batches }))] : []),
    );
  }

  function drawRow(row) {
    const about = h("p", { class: "quiet" }, `Row ${count(row.slot)} from `, h("a", { href: streamAddress(row.stream) }, row.stream), `, pass ${count(row.pass_index + 1)} (part ${count(row.part)}, row ${count(row.row)} in it)`);
    return h("div", { class: "card row" }, about, passageList(row.passages));
  }

  // The batches of a point that was clicked.
  function showPoint(range) {
    covered = range;
    element.scrollIntoView({ block: "start" });
    return show(range.start);
  }

  const chosen = address.query.get("batch");
  if (chosen !== null && /^\d+$/.test(chosen)) show(Number(chosen));
  return { element, showPoint };
}
